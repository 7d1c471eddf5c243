/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The rules for PINs, in memory and over a state directory. */
/*
 * wrap: p11s_pinmarks_hash
 */
#include "lock.h"
#include "log.h"
#include "pinfile.h"
#include "pinguard.h"

#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define LOW CKF_USER_PIN_COUNT_LOW

/* Linked in place of p11s_pinmarks_hash(): counted. */
bool __real_p11s_pinmarks_hash(const unsigned char *salt, const char *serial,
                               const struct p11s_secret *pin, unsigned char *ret_hash);
bool __wrap_p11s_pinmarks_hash(const unsigned char *salt, const char *serial,
                               const struct p11s_secret *pin, unsigned char *ret_hash);
static atomic_uint hashes;

bool __wrap_p11s_pinmarks_hash(const unsigned char *salt, const char *serial,
                               const struct p11s_secret *pin, unsigned char *ret_hash)
{
  atomic_fetch_add(&hashes, 1);
  return __real_p11s_pinmarks_hash(salt, serial, pin, ret_hash);
}

/* -- a state directory, and what was logged */

static char dir[64];
static unsigned lines;
static char last_line[1024];

static void sink(enum p11s_log_level level, const char *line)
{
  (void)level;
  lines++;
  (void)snprintf(last_line, sizeof last_line, "%s", line);
}

static const char *in_dir(const char *name)
{
  static char path[128];

  (void)snprintf(path, sizeof path, "%s/%s", dir, name);
  return path;
}

static int setup(void **state)
{
  (void)state;
  (void)snprintf(dir, sizeof dir, "/tmp/p11s-pinguard-XXXXXX");
  lines = 0;
  last_line[0] = '\0';
  atomic_store(&hashes, 0);
  p11s_log_set_sink(sink);
  return mkdtemp(dir) != NULL ? 0 : -1;
}

static int teardown(void **state)
{
  static const char *const names[] = {"refused-pins", "refused-pins.lock", "refused-pins.corrupt",
                                      "refused-pins.new"};

  (void)state;
  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
    (void)unlink(in_dir(names[i]));
    (void)rmdir(in_dir(names[i]));
  }
  return rmdir(dir);
}

static void overwrite(const char *name, const char *text, size_t len)
{
  int fd = open(in_dir(name), O_WRONLY | O_CREAT | O_TRUNC, 0600);

  assert_true(fd >= 0);
  assert_int_equal(write(fd, text, len), len);
  assert_int_equal(close(fd), 0);
}

static size_t content(char *to, size_t size)
{
  int fd = open(in_dir("refused-pins"), O_RDONLY);
  ssize_t len;

  assert_true(fd >= 0);
  len = read(fd, to, size - 1);
  assert_true(len >= 0);
  to[len] = '\0';
  assert_int_equal(close(fd), 0);
  return (size_t)len;
}

/* -- logins to a token that takes one PIN */

/* By its serial, or "serial/label". */
static struct p11s_slot_info token(const char *name, CK_FLAGS flags)
{
  struct p11s_slot_info info = {.label = "a token", .flags = flags};
  size_t len = strcspn(name, "/");

  (void)snprintf(info.serial, sizeof info.serial, "%.*s", (int)len, name);
  if (name[len] == '/')
    (void)snprintf(info.label, sizeof info.label, "%s", name + len + 1);
  return info;
}

/* The result of permit; a login follows when that is good. */
static enum p11s_err login(struct p11s_pinguard *g, const char *serial, CK_FLAGS flags,
                           const char *pin, enum p11s_pin_outcome outcome)
{
  struct p11s_secret *s = p11s_secret_new(pin, strlen(pin));
  struct p11s_slot_info slot = token(serial, flags);
  struct p11s_error e = {P11S_OK, ""};
  struct p11s_pin_try *t = NULL;
  enum p11s_err result;

  assert_int_equal(p11s_pinguard_enter(g, &slot, s, &t, &e), P11S_OK);
  result = p11s_pinguard_permit(t, &e);
  if (result != P11S_OK)
    assert_null(strstr(e.text, pin));
  p11s_pinguard_leave(t, result == P11S_OK ? outcome : P11S_PIN_NO_VERDICT);
  p11s_secret_release(s);
  return result;
}

static void wrong(struct p11s_pinguard *g, const char *serial, const char *pin)
{
  assert_int_equal(login(g, serial, 0, pin, P11S_PIN_REFUSED), P11S_OK);
}

static void right(struct p11s_pinguard *g, const char *serial, const char *pin)
{
  assert_int_equal(login(g, serial, 0, pin, P11S_PIN_ACCEPTED), P11S_OK);
}

static bool refused(struct p11s_pinguard *g, const char *serial, const char *pin)
{
  struct p11s_secret *s = p11s_secret_new(pin, strlen(pin));
  struct p11s_slot_info slot = token(serial, 0);
  bool result = p11s_pinguard_refused(g, &slot, s);

  p11s_secret_release(s);
  return result;
}

static enum p11s_pin_proof proof(struct p11s_pinguard *g, const char *serial, const char *pin)
{
  struct p11s_secret *s = p11s_secret_new(pin, strlen(pin));
  struct p11s_slot_info slot = token(serial, 0);
  enum p11s_pin_proof result = p11s_pinguard_proof(g, &slot, s);

  p11s_secret_release(s);
  return result;
}

static size_t unlock(struct p11s_pinguard *g, const char *serial)
{
  struct p11s_slot_info slot = token(serial, 0);
  struct p11s_pin_token which = p11s_pinguard_token(&slot);
  struct p11s_error e = {P11S_OK, ""};
  size_t forgotten = 99;

  if (p11s_pinguard_unlock(g, &which, &forgotten, &e) != P11S_OK)
    fail_msg("%s", e.text);
  return forgotten;
}

static struct p11s_pinguard *new_guard(const char *where)
{
  struct p11s_pinguard *g = p11s_pinguard_new(where);

  assert_non_null(g);
  return g;
}

/* A process dies between permit and leave. */
static void die_in_login(const char *serial, const char *pin)
{
  pid_t child = fork();
  int status = 0;

  assert_true(child >= 0);
  if (child == 0) {
    struct p11s_pinguard *g = p11s_pinguard_new(dir);
    struct p11s_secret *s = p11s_secret_new(pin, strlen(pin));
    struct p11s_slot_info slot = token(serial, 0);
    struct p11s_pin_try *t = NULL;

    _exit(p11s_pinguard_enter(g, &slot, s, &t, NULL) != P11S_OK ||
          p11s_pinguard_permit(t, NULL) != P11S_OK);
  }
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_int_equal(status, 0);
}

/* -- tests: what both kinds of guard do */

static void remembers(struct p11s_pinguard *g)
{
  assert_false(refused(g, "a1", "1234"));
  wrong(g, "a1", "1234");
  assert_true(refused(g, "a1", "1234"));
  assert_false(refused(g, "a1", "12345"));
  assert_false(refused(g, "a1", "123"));
  assert_false(refused(g, "a2", "1234"));
  assert_false(refused(g, "", "1234"));
  assert_int_equal(login(g, "a1", 0, "1234", P11S_PIN_ACCEPTED), P11S_ERR_PIN_REFUSED);
  wrong(g, "ab", "c123"); /* a serial ends where it ends */
  assert_false(refused(g, "a", "bc123"));
  assert_false(refused(g, "abc", "123"));
  wrong(g, "", "c123");
  assert_true(refused(g, "", "c123"));
  right(g, "a1", "4321");
  assert_true(refused(g, "a1", "1234")); /* still wrong */
}

/* TPMs' tokens, say, or the PINs of one card. */
static void of_one_serial(struct p11s_pinguard *g)
{
  wrong(g, "00/one", "1234");
  assert_true(refused(g, "00/one", "1234"));
  assert_false(refused(g, "00/two", "1234"));
  right(g, "00/two", "1234");
  right(g, "00/one", "4321");
  assert_int_equal(proof(g, "00/one", "4321"), P11S_PIN_PROVEN);
  assert_int_equal(proof(g, "00/two", "1234"), P11S_PIN_PROVEN);
  assert_int_equal(proof(g, "00/two", "4321"), P11S_PIN_OTHER);
  assert_int_equal(proof(g, "00/three", "1234"), P11S_PIN_UNKNOWN);
  assert_true(refused(g, "00/one", "1234")); /* that the other one took it says nothing */
  assert_int_equal(login(g, "00/two", LOW, "1234", P11S_PIN_ACCEPTED), P11S_OK);
  assert_int_equal(login(g, "00/three", LOW, "1234", P11S_PIN_ACCEPTED), P11S_ERR_PIN_LOCKED);
  /* a serial and a label end where they end */
  wrong(g, "0/0one", "5678");
  assert_false(refused(g, "00/one", "5678"));
}

static void tokens_of_one_serial(void **state)
{
  struct p11s_pinguard *g = new_guard(NULL);

  (void)state;
  of_one_serial(g);
  p11s_pinguard_free(g);
  g = new_guard(dir);
  of_one_serial(g);
  p11s_pinguard_free(g);
  g = new_guard(dir); /* a restart */
  assert_true(refused(g, "00/one", "1234"));
  assert_false(refused(g, "00/two", "1234"));
  wrong(g, "00/two", "1111");
  assert_int_equal(unlock(g, "00/one"), 1);
  assert_false(refused(g, "00/one", "1234"));
  assert_true(refused(g, "00/two", "1111"));
  p11s_pinguard_free(g);
}

/* Each of them has its own turn: a token that hangs in C_Login holds up no other one. */
static void logins_to_tokens_of_one_serial(void **state)
{
  struct p11s_slot_info one = token("00/one", 0), two = token("00/two", 0);
  struct p11s_secret *pin = p11s_secret_new("1234", 4);
  struct p11s_pinguard *g = new_guard(dir), *other = new_guard(dir);
  struct p11s_pin_try *first = NULL, *second = NULL, *third = NULL;
  uint64_t begin = p11s_now_ms();

  (void)state;
  assert_int_equal(p11s_pinguard_enter(g, &one, pin, &first, NULL), P11S_OK);
  assert_int_equal(p11s_pinguard_enter(g, &two, pin, &second, NULL), P11S_OK);
  p11s_pinguard_leave(second, P11S_PIN_NO_VERDICT);
  assert_int_equal(p11s_pinguard_enter(other, &two, pin, &third, NULL), P11S_OK);
  assert_true(p11s_now_ms() - begin < P11S_PINGUARD_PATIENCE_MS);
  p11s_pinguard_leave(third, P11S_PIN_NO_VERDICT);
  p11s_pinguard_leave(first, P11S_PIN_NO_VERDICT);
  p11s_pinguard_free(g);
  p11s_pinguard_free(other);
  p11s_secret_release(pin);
}

static void in_memory(void **state)
{
  struct p11s_pinguard *g = new_guard(NULL), *other = new_guard("");

  (void)state;
  remembers(g);
  assert_false(refused(other, "a1", "1234")); /* not shared */
  p11s_pinguard_free(g);
  p11s_pinguard_free(other);
  p11s_pinguard_free(NULL);
}

static void in_the_directory(void **state)
{
  struct p11s_pinguard *g = new_guard(dir), *other = new_guard(dir);
  struct stat st;

  (void)state;
  remembers(g);
  assert_true(refused(other, "a1", "1234")); /* another process */
  p11s_pinguard_free(g);
  p11s_pinguard_free(other);
  g = new_guard(dir); /* a restart */
  assert_true(refused(g, "a1", "1234"));
  assert_false(refused(g, "a1", "4321"));
  assert_int_equal(login(g, "a1", 0, "1234", P11S_PIN_ACCEPTED), P11S_ERR_PIN_REFUSED);
  assert_int_equal(stat(in_dir("refused-pins"), &st), 0);
  assert_int_equal(st.st_mode & 07777, 0600);
  assert_int_equal(stat(in_dir("refused-pins.lock"), &st), 0);
  assert_int_equal(st.st_mode & 07777, 0600);
  assert_int_equal(lines, 0);
  p11s_pinguard_free(g);
}

static void pins_of_any_length(void **state)
{
  static const size_t lengths[] = {1, 31, 32, 33, 255, 1024, 60000};
  struct p11s_pinguard *g = new_guard(dir);
  struct p11s_slot_info slot = token("a1", 0);
  static unsigned char pin[60000];

  (void)state;
  memset(pin, 'x', sizeof pin);
  pin[0] = '\0';
  for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
    struct p11s_secret *s = p11s_secret_new(pin, lengths[i]);
    struct p11s_pin_try *t = NULL;

    assert_false(p11s_pinguard_refused(g, &slot, s));
    assert_int_equal(p11s_pinguard_enter(g, &slot, s, &t, NULL), P11S_OK);
    assert_int_equal(p11s_pinguard_permit(t, NULL), P11S_OK);
    p11s_pinguard_leave(t, P11S_PIN_REFUSED);
    assert_true(p11s_pinguard_refused(g, &slot, s));
    p11s_secret_release(s);
  }
  p11s_pinguard_free(g);
}

static void a_thousand_questions_cost_one_hash(void **state)
{
  struct p11s_pinguard *g = new_guard(dir);

  (void)state;
  wrong(g, "a1", "1234");
  p11s_pinguard_free(g);
  g = new_guard(dir);
  atomic_store(&hashes, 0);
  assert_false(refused(g, "a2", "1234")); /* nothing is known of that token */
  assert_int_equal(atomic_load(&hashes), 0);
  for (int i = 0; i < 1000; i++)
    assert_true(refused(g, "a1", "1234"));
  assert_int_equal(atomic_load(&hashes), 1);
  p11s_pinguard_free(g);
}

static void the_oldest_goes(void **state)
{
  struct p11s_pinguard *g = new_guard(dir);
  char serial[16], text[P11S_PINMARKS_TEXT_MAX];

  (void)state;
  for (int i = 0; i < P11S_PINMARKS_MAX / 2 + 1; i++) { /* refused and one-more each */
    (void)snprintf(serial, sizeof serial, "t%d", i);
    wrong(g, serial, "1234");
  }
  assert_false(refused(g, "t0", "1234"));
  assert_true(refused(g, "t1", "1234"));
  assert_true(refused(g, serial, "1234"));
  (void)content(text, sizeof text);
  assert_null(strstr(text, " t0 "));
  p11s_pinguard_free(g);
}

static void no_pin_in_the_directory(void **state)
{
  struct p11s_pinguard *g = new_guard(dir);
  char text[P11S_PINMARKS_TEXT_MAX];

  (void)state;
  wrong(g, "a1", "pin-73519264");
  right(g, "a1", "pin-62418375");
  (void)content(text, sizeof text);
  assert_null(strstr(text, "7351"));
  assert_null(strstr(text, "6241"));
  assert_non_null(strstr(text, "refused a1 a%20token"));
  p11s_pinguard_free(g);
}

/* -- a token that says a wrong PIN was given lately */

static void count_low(struct p11s_pinguard *g)
{
  /* somebody else's fault */
  assert_int_equal(login(g, "a1", LOW, "1234", P11S_PIN_ACCEPTED), P11S_ERR_PIN_LOCKED);
  right(g, "a1", "1234");
  assert_int_equal(login(g, "a1", LOW, "1234", P11S_PIN_ACCEPTED), P11S_OK);
  assert_int_equal(login(g, "a1", LOW, "5678", P11S_PIN_ACCEPTED), P11S_ERR_PIN_LOCKED);
  /* ours: it can be corrected, once */
  wrong(g, "a2", "1111");
  assert_int_equal(login(g, "a2", LOW, "2222", P11S_PIN_REFUSED), P11S_OK);
  assert_int_equal(login(g, "a2", LOW, "3333", P11S_PIN_ACCEPTED), P11S_ERR_PIN_LOCKED);
  /* a try that came to nothing uses nothing up */
  wrong(g, "a3", "1111");
  assert_int_equal(login(g, "a3", LOW, "2222", P11S_PIN_NO_VERDICT), P11S_OK);
  assert_int_equal(login(g, "a3", LOW, "2222", P11S_PIN_ACCEPTED), P11S_OK);
  /* what was taken once may be wrong today */
  assert_int_equal(login(g, "a1", LOW, "1234", P11S_PIN_REFUSED), P11S_OK);
  assert_true(refused(g, "a1", "1234"));
  assert_int_equal(login(g, "a1", LOW, "5678", P11S_PIN_ACCEPTED), P11S_ERR_PIN_LOCKED);
}

static void count_low_in_memory(void **state)
{
  struct p11s_pinguard *g = new_guard(NULL);

  (void)state;
  count_low(g);
  p11s_pinguard_free(g);
}

static void count_low_over_a_restart(void **state)
{
  struct p11s_pinguard *g = new_guard(dir);

  (void)state;
  count_low(g);
  right(g, "a4", "1234");
  wrong(g, "a5", "1111");
  p11s_pinguard_free(g);
  g = new_guard(dir);
  assert_int_equal(login(g, "a4", LOW, "1234", P11S_PIN_ACCEPTED), P11S_OK);
  assert_int_equal(login(g, "a4", LOW, "4321", P11S_PIN_ACCEPTED), P11S_ERR_PIN_LOCKED);
  assert_int_equal(login(g, "a5", LOW, "2222", P11S_PIN_REFUSED), P11S_OK);
  p11s_pinguard_free(g);
  g = new_guard(dir);
  assert_int_equal(login(g, "a5", LOW, "3333", P11S_PIN_ACCEPTED), P11S_ERR_PIN_LOCKED);
  p11s_pinguard_free(g);
}

/* -- unlock-login */

static void unlock_reaches_a_running_process(void **state)
{
  struct p11s_pinguard *server = new_guard(dir), *tool = new_guard(dir);

  (void)state;
  wrong(server, "a1", "1111");
  wrong(server, "a2", "1111");
  assert_int_equal(unlock(tool, "a1"), 1);
  assert_false(refused(server, "a1", "1111"));
  assert_true(refused(server, "a2", "1111"));
  assert_int_equal(login(server, "a1", LOW, "1111", P11S_PIN_REFUSED), P11S_OK); /* one try */
  assert_true(refused(server, "a1", "1111"));
  assert_int_equal(login(server, "a1", LOW, "2222", P11S_PIN_REFUSED), P11S_ERR_PIN_LOCKED);
  assert_int_equal(unlock(tool, "a3"), 0); /* nothing to forget, but one try */
  assert_int_equal(login(server, "a3", LOW, "1111", P11S_PIN_ACCEPTED), P11S_OK);
  assert_int_equal(login(server, "a3", LOW, "2222", P11S_PIN_ACCEPTED), P11S_ERR_PIN_LOCKED);
  p11s_pinguard_free(server);
  p11s_pinguard_free(tool);
}

static void unlock_needs_the_directory(void **state)
{
  struct p11s_pinguard *g = new_guard(NULL);
  struct p11s_pin_token which = {"a1", "l"};
  struct p11s_error e = {P11S_OK, ""};
  size_t forgotten;

  (void)state;
  assert_int_equal(p11s_pinguard_unlock(g, &which, &forgotten, &e), P11S_ERR_HOST);
  p11s_pinguard_free(g);
  g = new_guard("/nonexistent/directory");
  assert_int_equal(p11s_pinguard_unlock(g, &which, &forgotten, &e), P11S_ERR_HOST);
  assert_non_null(strstr(e.text, "No such file"));
  p11s_pinguard_free(g);
}

static void subjects_are_listed(void **state)
{
  struct p11s_pinguard *g = new_guard(dir);
  struct p11s_pin_subject subjects[4];

  (void)state;
  right(g, "a1", "1111");
  wrong(g, "a2", "1111");
  wrong(g, "a2", "2222");
  assert_int_equal(p11s_pinguard_subjects(g, subjects, 4), 2);
  assert_string_equal(subjects[0].token.serial, "a1");
  assert_int_equal(subjects[0].refused, 0);
  assert_string_equal(subjects[1].token.serial, "a2");
  assert_string_equal(subjects[1].token.label, "a token");
  assert_int_equal(subjects[1].refused, 2);
  assert_int_equal(p11s_pinguard_subjects(g, subjects, 1), 1);
  p11s_pinguard_free(g);
}

/* -- a process that dies */

static void a_login_cut_short_is_not_tried_again(void **state)
{
  struct p11s_pinguard *g;

  (void)state;
  die_in_login("a1", "1234");
  g = new_guard(dir);
  assert_int_equal(login(g, "a1", 0, "1234", P11S_PIN_ACCEPTED), P11S_ERR_PIN_REFUSED);
  assert_int_equal(login(g, "a1", 0, "4321", P11S_PIN_NO_VERDICT), P11S_OK);
  assert_int_equal(unlock(g, "a1"), 1);
  right(g, "a1", "1234");
  p11s_pinguard_free(g);
  die_in_login("a1", "1234"); /* a PIN that the token took before is trusted */
  g = new_guard(dir);
  right(g, "a1", "1234");
  p11s_pinguard_free(g);
}

/* -- a token that does not say what is wrong */

static void unclear(struct p11s_pinguard *g, const char *serial, const char *pin)
{
  assert_int_equal(login(g, serial, 0, pin, P11S_PIN_UNCLEAR), P11S_OK);
}

static void twice_unclear(struct p11s_pinguard *g)
{
  unclear(g, "a1", "1234");
  unclear(g, "a2", "1234"); /* another token */
  unclear(g, "a1", "5678"); /* another PIN */
  unclear(g, "a1", "1234");
  assert_int_equal(login(g, "a1", 0, "1234", P11S_PIN_ACCEPTED), P11S_ERR_PIN_REFUSED);
  assert_false(refused(g, "a1", "1234")); /* nobody has said so */
  unclear(g, "a2", "1234");
  right(g, "a1", "5678"); /* all is forgotten, and nothing is held against it any more */
  for (int i = 0; i < 3; i++)
    unclear(g, "a1", "5678");
  assert_int_equal(login(g, "a1", 0, "1234", P11S_PIN_ACCEPTED), P11S_ERR_PIN_REFUSED);
  wrong(g, "a1", "5678"); /* changed there */
  assert_true(refused(g, "a1", "5678"));
  /* a try that may be used up uses up what allowed it */
  wrong(g, "a3", "1111");
  assert_int_equal(login(g, "a3", LOW, "2222", P11S_PIN_UNCLEAR), P11S_OK);
  assert_int_equal(login(g, "a3", LOW, "2222", P11S_PIN_ACCEPTED), P11S_ERR_PIN_LOCKED);
}

static void unclear_in_memory(void **state)
{
  struct p11s_pinguard *g = new_guard(NULL);

  (void)state;
  twice_unclear(g);
  p11s_pinguard_free(g);
}

static void unclear_over_a_restart(void **state)
{
  struct p11s_pinguard *g = new_guard(dir);

  (void)state;
  twice_unclear(g);
  unclear(g, "a4", "1234");
  p11s_pinguard_free(g);
  g = new_guard(dir);
  unclear(g, "a4", "1234");
  p11s_pinguard_free(g);
  g = new_guard(dir);
  assert_int_equal(login(g, "a4", 0, "1234", P11S_PIN_ACCEPTED), P11S_ERR_PIN_REFUSED);
  assert_int_equal(unlock(g, "a4"), 1);
  unclear(g, "a4", "1234"); /* as if nothing had been */
  right(g, "a4", "1234");
  unclear(g, "a5", "1234"); /* one, and then the process dies */
  p11s_pinguard_free(g);
  die_in_login("a5", "1234");
  g = new_guard(dir);
  assert_int_equal(login(g, "a5", 0, "1234", P11S_PIN_ACCEPTED), P11S_ERR_PIN_REFUSED);
  p11s_pinguard_free(g);
}

/* -- what is proven */

static void knows_the_accepted_pin(void **state)
{
  struct p11s_pinguard *g = new_guard(NULL);

  (void)state;
  wrong(g, "a1", "9999");
  assert_int_equal(proof(g, "a1", "1234"), P11S_PIN_UNKNOWN);
  right(g, "a1", "1234");
  assert_int_equal(proof(g, "a1", "1234"), P11S_PIN_PROVEN);
  assert_int_equal(proof(g, "a1", "12345"), P11S_PIN_OTHER);
  assert_int_equal(proof(g, "a1", ""), P11S_PIN_OTHER);
  assert_int_equal(proof(g, "a2", "1234"), P11S_PIN_UNKNOWN);
  right(g, "a2", "5678"); /* each token has its own */
  assert_int_equal(proof(g, "a1", "1234"), P11S_PIN_PROVEN);
  assert_int_equal(proof(g, "a2", "1234"), P11S_PIN_OTHER);
  right(g, "a1", "4321"); /* it was changed */
  assert_int_equal(proof(g, "a1", "4321"), P11S_PIN_PROVEN);
  assert_int_equal(proof(g, "a1", "1234"), P11S_PIN_OTHER);
  assert_false(refused(g, "a1", "1234")); /* OTHER is not refused: it was not tried */
  p11s_pinguard_free(g);
}

static void an_accepted_pin_is_taken_no_more(void **state)
{
  struct p11s_pinguard *g = new_guard(NULL);

  (void)state;
  right(g, "a1", "1234");
  right(g, "a2", "5678");
  wrong(g, "a1", "9999"); /* says nothing about the one that was taken */
  assert_int_equal(proof(g, "a1", "4321"), P11S_PIN_OTHER);
  wrong(g, "a1", "1234");
  assert_true(refused(g, "a1", "1234"));
  assert_int_equal(proof(g, "a1", "4321"), P11S_PIN_UNKNOWN);
  assert_int_equal(proof(g, "a2", "5678"), P11S_PIN_PROVEN);
  right(g, "a1", "4321");
  assert_int_equal(proof(g, "a1", "4321"), P11S_PIN_PROVEN);
  p11s_pinguard_free(g);
}

static void another_process_proves_a_changed_pin(void **state)
{
  struct p11s_pinguard *server = new_guard(dir), *tool = new_guard(dir);

  (void)state;
  right(server, "a1", "1234");
  assert_int_equal(proof(tool, "a1", "1234"), P11S_PIN_UNKNOWN); /* it is not logged in */
  assert_int_equal(proof(server, "a1", "4321"), P11S_PIN_OTHER);
  wrong(tool, "a1", "5555");
  assert_int_equal(proof(server, "a1", "5555"), P11S_PIN_OTHER);
  right(tool, "a1", "4321");
  assert_int_equal(proof(server, "a1", "4321"), P11S_PIN_PROVEN);
  assert_int_equal(proof(server, "a1", "1234"), P11S_PIN_OTHER);
  p11s_pinguard_free(server);
  p11s_pinguard_free(tool);
}

static void news_is_told_once(void **state)
{
  struct p11s_secret *pin = p11s_secret_new("1234", 4), *other = p11s_secret_new("4321", 4);
  struct p11s_slot_info a1 = token("a1", 0), a2 = token("a2", 0);
  struct p11s_pinguard *g = new_guard(NULL);

  (void)state;
  for (int i = 0; i < 2; i++) {
    assert_true(p11s_pinguard_is_news(g, &a1, pin, P11S_ERR_PIN_REFUSED));
    assert_false(p11s_pinguard_is_news(g, &a1, pin, P11S_ERR_PIN_REFUSED));
    assert_true(p11s_pinguard_is_news(g, &a1, pin, P11S_ERR_PIN_LOCKED));
    assert_true(p11s_pinguard_is_news(g, &a1, other, P11S_ERR_PIN_REFUSED));
    assert_true(p11s_pinguard_is_news(g, &a2, pin, P11S_ERR_PIN_REFUSED) == (i == 0));
    assert_false(p11s_pinguard_is_news(g, &a1, pin, P11S_ERR_PIN_LOCKED));
    right(g, "a1", "5678"); /* and again when that is over */
  }
  p11s_pinguard_free(g);
  p11s_secret_release(pin);
  p11s_secret_release(other);
}

/* -- a directory that is no help */

static void works_by_itself(const char *where)
{
  struct p11s_pinguard *g = new_guard(where);

  lines = 0;
  wrong(g, "a1", "1234");
  assert_true(refused(g, "a1", "1234"));
  assert_int_equal(login(g, "a1", 0, "1234", P11S_PIN_ACCEPTED), P11S_ERR_PIN_REFUSED);
  right(g, "a1", "4321");
  assert_int_equal(login(g, "a1", LOW, "4321", P11S_PIN_ACCEPTED), P11S_OK);
  assert_int_equal(login(g, "a1", LOW, "5678", P11S_PIN_ACCEPTED), P11S_ERR_PIN_LOCKED);
  assert_int_equal(lines, 1); /* said once */
  assert_non_null(strstr(last_line, where));
  p11s_pinguard_free(g);
}

static void directory_that_is_no_help(void **state)
{
  (void)state;
  works_by_itself("/nonexistent/directory");
  overwrite("refused-pins.new", "", 0); /* a file */
  works_by_itself(in_dir("refused-pins.new"));
  works_by_itself("/proc/self"); /* cannot be written, not even by root */
}

static void full_disk(void **state)
{
  struct p11s_pinguard *g = new_guard(dir);
  struct rlimit before, tiny = {20, 20};
  char text[P11S_PINMARKS_TEXT_MAX], then[P11S_PINMARKS_TEXT_MAX];
  size_t len;

  (void)state;
  wrong(g, "a0", "1234");
  len = content(text, sizeof text);
  (void)signal(SIGXFSZ, SIG_IGN);
  assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
  tiny.rlim_max = before.rlim_max;
  assert_int_equal(setrlimit(RLIMIT_FSIZE, &tiny), 0);
  wrong(g, "a1", "1234");
  assert_true(refused(g, "a1", "1234"));
  assert_true(refused(g, "a0", "1234"));
  right(g, "a1", "4321");
  assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
  assert_int_equal(lines, 1);
  assert_int_equal(content(then, sizeof then), len); /* as it was */
  assert_memory_equal(text, then, len);
  assert_int_equal(access(in_dir("refused-pins.new"), F_OK), -1);
  wrong(g, "a2", "1234"); /* there is room again */
  assert_true(content(then, sizeof then) > len);
  /* and what could not be written can be unlocked all the same */
  assert_true(refused(g, "a1", "1234"));
  (void)unlock(g, "a1");
  assert_false(refused(g, "a1", "1234"));
  p11s_pinguard_free(g);
}

static void unlock_reaches_what_was_not_written(void **state)
{
  struct p11s_pinguard *g = new_guard(dir), *tool = new_guard(dir);
  char away[128];

  (void)state;
  (void)snprintf(away, sizeof away, "%s-away", dir);
  assert_int_equal(rename(dir, away), 0);
  wrong(g, "a1", "1234");
  assert_int_equal(rename(away, dir), 0);
  assert_true(refused(g, "a1", "1234"));
  assert_int_equal(unlock(tool, "a1"), 0);
  assert_false(refused(g, "a1", "1234"));
  p11s_pinguard_free(g);
  p11s_pinguard_free(tool);
}

static void damaged(const char *text, size_t len)
{
  struct p11s_pinguard *g = new_guard(dir);

  overwrite("refused-pins", text, len);
  lines = 0;
  assert_false(refused(g, "a1", "1234"));
  assert_int_equal(lines, 1);
  assert_non_null(strstr(last_line, "refused-pins.corrupt"));
  assert_int_equal(access(in_dir("refused-pins.corrupt"), F_OK), 0);
  wrong(g, "a1", "1234");
  assert_true(refused(g, "a1", "1234"));
  assert_int_equal(lines, 1);
  p11s_pinguard_free(g);
  g = new_guard(dir); /* a new file was made */
  assert_true(refused(g, "a1", "1234"));
  p11s_pinguard_free(g);
}

static void damaged_file(void **state)
{
  static const char newer[] = "pkcs11signer refused-pins 2\nsalt 00\n";
  static char big[P11S_PINMARKS_TEXT_MAX * 2];
  struct p11s_pinguard *g = new_guard(dir);
  char text[P11S_PINMARKS_TEXT_MAX];
  size_t len;

  (void)state;
  wrong(g, "b1", "1234");
  p11s_pinguard_free(g);
  len = content(text, sizeof text);
  damaged("", 0);
  damaged("\0\0\0\0", 4);
  damaged(newer, sizeof newer - 1);
  damaged(big, sizeof big);
  damaged(text, len / 2);
  text[len - 10] ^= 1;
  damaged(text, len);
}

static void directory_instead_of_the_file(void **state)
{
  struct p11s_pinguard *g = new_guard(dir);

  (void)state;
  assert_int_equal(mkdir(in_dir("refused-pins"), 0700), 0);
  wrong(g, "a1", "1234");
  assert_int_equal(lines, 1);
  p11s_pinguard_free(g);
  g = new_guard(dir);
  assert_true(refused(g, "a1", "1234"));
  p11s_pinguard_free(g);
}

/* -- several at once */

#define PROCESSES 6

/* All with the same wrong PIN: how many called C_Login. */
static void many_processes_make_one_login(void **state)
{
  int start[2], done[2];
  char logins[PROCESSES + 1];
  pid_t child[PROCESSES];
  ssize_t count = 0, n;

  (void)state;
  assert_int_equal(pipe(start), 0);
  assert_int_equal(pipe(done), 0);
  for (int i = 0; i < PROCESSES; i++) {
    child[i] = fork();
    assert_true(child[i] >= 0);
    if (child[i] == 0) {
      struct p11s_pinguard *g = p11s_pinguard_new(dir);
      struct p11s_slot_info slot = token("a1", 0);
      struct p11s_secret *s = p11s_secret_new("1234", 4);
      struct p11s_pin_try *t = NULL;
      enum p11s_err result;
      char c;

      (void)close(start[1]);
      if (read(start[0], &c, 1) != 0) /* until it is closed */
        _exit(4);
      if (p11s_pinguard_enter(g, &slot, s, &t, NULL) != P11S_OK)
        _exit(1);
      result = p11s_pinguard_permit(t, NULL);
      if (result == P11S_OK && write(done[1], "L", 1) != 1)
        _exit(2);
      p11s_pinguard_leave(t, result == P11S_OK ? P11S_PIN_REFUSED : P11S_PIN_NO_VERDICT);
      /* and one of its own, which no other must lose */
      (void)snprintf(slot.serial, sizeof slot.serial, "own%d", i);
      if (p11s_pinguard_enter(g, &slot, s, &t, NULL) != P11S_OK ||
          p11s_pinguard_permit(t, NULL) != P11S_OK)
        _exit(3);
      p11s_pinguard_leave(t, P11S_PIN_REFUSED);
      _exit(0);
    }
  }
  (void)close(start[0]);
  (void)close(start[1]);
  (void)close(done[1]);
  for (int i = 0; i < PROCESSES; i++) {
    int status = 0;

    assert_int_equal(waitpid(child[i], &status, 0), child[i]);
    assert_int_equal(status, 0);
  }
  while (count < PROCESSES && (n = read(done[0], logins + count, sizeof logins)) > 0)
    count += n;
  (void)close(done[0]);
  assert_int_equal(count, 1);
  {
    struct p11s_pinguard *g = new_guard(dir);
    char serial[16];

    assert_true(refused(g, "a1", "1234"));
    for (int i = 0; i < PROCESSES; i++) {
      (void)snprintf(serial, sizeof serial, "own%d", i);
      assert_true(refused(g, serial, "1234"));
    }
    p11s_pinguard_free(g);
  }
}

static atomic_uint permitted;

static void *wrong_in_a_thread(void *arg)
{
  for (int i = 0; i < 20; i++)
    if (login(arg, "a1", 0, "1234", P11S_PIN_REFUSED) == P11S_OK)
      atomic_fetch_add(&permitted, 1);
  return NULL;
}

static void threads_make_one_login(const char *where)
{
  struct p11s_pinguard *g = new_guard(where);
  pthread_t threads[8];

  atomic_store(&permitted, 0);
  for (int i = 0; i < 8; i++)
    assert_int_equal(pthread_create(&threads[i], NULL, wrong_in_a_thread, g), 0);
  for (int i = 0; i < 8; i++)
    assert_int_equal(pthread_join(threads[i], NULL), 0);
  assert_int_equal(atomic_load(&permitted), 1);
  p11s_pinguard_free(g);
}

static void many_threads_make_one_login(void **state)
{
  (void)state;
  threads_make_one_login(NULL);
  threads_make_one_login(dir);
}

static void a_lock_has_a_deadline_and_ends_with_its_holder(void **state)
{
  int first, second;

  (void)state;
  first = p11s_pinfile_lock(dir, 7, p11s_now_ms());
  assert_true(first >= 0);
  assert_int_equal(p11s_pinfile_lock(dir, 7, p11s_now_ms() + 20), -1);
  second = p11s_pinfile_lock(dir, 8, p11s_now_ms()); /* another token */
  assert_true(second >= 0);
  assert_int_equal(close(first), 0);
  assert_int_equal(close(second), 0);
  first = p11s_pinfile_lock(dir, 7, p11s_now_ms());
  assert_true(first >= 0);
  assert_int_equal(close(first), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
  static const struct CMUnitTest tests[] = {
      TEST(in_memory),
      TEST(in_the_directory),
      TEST(tokens_of_one_serial),
      TEST(logins_to_tokens_of_one_serial),
      TEST(pins_of_any_length),
      TEST(a_thousand_questions_cost_one_hash),
      TEST(the_oldest_goes),
      TEST(no_pin_in_the_directory),
      TEST(count_low_in_memory),
      TEST(count_low_over_a_restart),
      TEST(unlock_reaches_a_running_process),
      TEST(unlock_needs_the_directory),
      TEST(subjects_are_listed),
      TEST(a_login_cut_short_is_not_tried_again),
      TEST(unclear_in_memory),
      TEST(unclear_over_a_restart),
      TEST(knows_the_accepted_pin),
      TEST(an_accepted_pin_is_taken_no_more),
      TEST(another_process_proves_a_changed_pin),
      TEST(news_is_told_once),
      TEST(directory_that_is_no_help),
      TEST(full_disk),
      TEST(unlock_reaches_what_was_not_written),
      TEST(damaged_file),
      TEST(directory_instead_of_the_file),
      TEST(many_processes_make_one_login),
      TEST(many_threads_make_one_login),
      TEST(a_lock_has_a_deadline_and_ends_with_its_holder),
  };
#undef TEST

  return cmocka_run_group_tests_name("pinguard", tests, NULL, NULL);
}
