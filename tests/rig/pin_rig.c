/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "rig/pin_rig.h"

#include "base/log.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* -- a state directory, and what was logged */

char pin_dir[64];
unsigned pin_lines;
char pin_last_line[1024];

static void sink(enum p11s_log_level level, const char *line)
{
  (void)level;
  pin_lines++;
  (void)snprintf(pin_last_line, sizeof pin_last_line, "%s", line);
}

const char *pin_path(const char *name)
{
  static char path[128];

  (void)snprintf(path, sizeof path, "%s/%s", pin_dir, name);
  return path;
}

int pin_rig_setup(void **state)
{
  (void)state;
  (void)snprintf(pin_dir, sizeof pin_dir, "/tmp/p11s-pinguard-XXXXXX");
  pin_lines = 0;
  pin_last_line[0] = '\0';
  p11s_log_set_sink(sink);
  return mkdtemp(pin_dir) != NULL ? 0 : -1;
}

int pin_rig_teardown(void **state)
{
  static const char *const names[] = {"refused-pins", "refused-pins.lock", "refused-pins.corrupt",
                                      "refused-pins.new"};

  (void)state;
  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
    (void)unlink(pin_path(names[i]));
    (void)rmdir(pin_path(names[i]));
  }
  return rmdir(pin_dir);
}

void pin_overwrite(const char *name, const char *text, size_t len)
{
  int fd = open(pin_path(name), O_WRONLY | O_CREAT | O_TRUNC, 0600);

  assert_true(fd >= 0);
  assert_int_equal(write(fd, text, len), len);
  assert_int_equal(close(fd), 0);
}

size_t pin_content(char *to, size_t size)
{
  int fd = open(pin_path("refused-pins"), O_RDONLY);
  ssize_t len;

  assert_true(fd >= 0);
  len = read(fd, to, size - 1);
  assert_true(len >= 0);
  to[len] = '\0';
  assert_int_equal(close(fd), 0);
  return (size_t)len;
}

/* -- logins to a token that takes one PIN */

struct p11s_slot_info pin_token(const char *name, CK_FLAGS flags)
{
  struct p11s_slot_info info = {.label = "a token", .flags = flags};
  size_t len = strcspn(name, "/");

  (void)snprintf(info.serial, sizeof info.serial, "%.*s", (int)len, name);
  if (name[len] == '/')
    (void)snprintf(info.label, sizeof info.label, "%s", name + len + 1);
  return info;
}

enum p11s_err pin_login(struct p11s_pin_guard *g, const char *serial, CK_FLAGS flags,
                        const char *pin, enum p11s_pin_outcome outcome)
{
  struct p11s_secret *s = p11s_secret_new(pin, strlen(pin));
  struct p11s_slot_info slot = pin_token(serial, flags);
  struct p11s_error e = {0};
  struct p11s_pin_try *t = NULL;
  enum p11s_err result;

  assert_int_equal(p11s_pin_guard_enter(g, &slot, s, false, &t, &e), P11S_OK);
  result = p11s_pin_guard_permit(t, &e);
  if (result != P11S_OK)
    assert_null(strstr(e.text, pin));
  p11s_pin_guard_leave(t, result == P11S_OK ? outcome : P11S_PIN_NO_VERDICT);
  p11s_secret_release(s);
  return result;
}

void pin_wrong(struct p11s_pin_guard *g, const char *serial, const char *pin)
{
  assert_int_equal(pin_login(g, serial, 0, pin, P11S_PIN_REFUSED), P11S_OK);
}

void pin_right(struct p11s_pin_guard *g, const char *serial, const char *pin)
{
  assert_int_equal(pin_login(g, serial, 0, pin, P11S_PIN_ACCEPTED), P11S_OK);
}

bool pin_refused(struct p11s_pin_guard *g, const char *serial, const char *pin)
{
  struct p11s_secret *s = p11s_secret_new(pin, strlen(pin));
  struct p11s_slot_info slot = pin_token(serial, 0);
  bool result = p11s_pin_guard_refused(g, &slot, s);

  p11s_secret_release(s);
  return result;
}

enum p11s_pin_proof pin_proof(struct p11s_pin_guard *g, const char *serial, const char *pin)
{
  struct p11s_secret *s = p11s_secret_new(pin, strlen(pin));
  struct p11s_slot_info slot = pin_token(serial, 0);
  enum p11s_pin_proof result = p11s_pin_guard_proof(g, &slot, s);

  p11s_secret_release(s);
  return result;
}

size_t pin_unlock(struct p11s_pin_guard *g, const char *serial)
{
  struct p11s_slot_info slot = pin_token(serial, 0);
  struct p11s_pin_token which = p11s_pin_guard_token(&slot);
  struct p11s_error e = {0};
  size_t forgotten = 99;

  if (p11s_pin_guard_unlock(g, &which, &forgotten, &e) != P11S_OK)
    fail_msg("%s", e.text);
  return forgotten;
}

struct p11s_pin_guard *pin_guard(const char *where)
{
  struct p11s_pin_guard *g = p11s_pin_guard_new(where);

  assert_non_null(g);
  return g;
}

void pin_die_in_login(const char *serial, const char *pin)
{
  pid_t child = fork();
  int status = 0;

  assert_true(child >= 0);
  if (child == 0) {
    struct p11s_pin_guard *g = p11s_pin_guard_new(pin_dir);
    struct p11s_secret *s = p11s_secret_new(pin, strlen(pin));
    struct p11s_slot_info slot = pin_token(serial, 0);
    struct p11s_pin_try *t = NULL;

    _exit(p11s_pin_guard_enter(g, &slot, s, false, &t, NULL) != P11S_OK ||
          p11s_pin_guard_permit(t, NULL) != P11S_OK);
  }
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_int_equal(status, 0);
}
