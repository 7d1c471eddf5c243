/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a server writes of its tokens, and what another process reads of it. */
#include "base/lock.h"
#include "token/status_file.h"
#include "token/status_internal.h"
#include "rig/rig.h"
#include "rig/softhsm.h"

#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* Below SoftHSM's, and removed with it. */
static char directory[128];

struct seen {
  unsigned lines;
  pid_t pid;
  char module[64], slot[256], state[16], pin[16], trouble[1024];
  struct p11s_speed rate;
  unsigned room;
  int64_t since, last;
  struct p11s_slot_info found;
};

static void see(const struct p11s_status_line *line, void *arg)
{
  struct seen *seen = arg;

  seen->lines++;
  seen->pid = line->pid;
  seen->since = line->since;
  seen->last = line->seen;
  seen->found = line->found;
  seen->rate = line->rate;
  seen->room = line->room;
  (void)snprintf(seen->module, sizeof seen->module, "%s", line->module);
  (void)snprintf(seen->slot, sizeof seen->slot, "%s", line->slot);
  (void)snprintf(seen->state, sizeof seen->state, "%s", line->state);
  (void)snprintf(seen->pin, sizeof seen->pin, "%s", line->pin);
  (void)snprintf(seen->trouble, sizeof seen->trouble, "%s", line->trouble);
}

static unsigned read_all(struct seen *seen)
{
  unsigned servers = 0;

  memset(seen, 0, sizeof *seen);
  assert_int_equal(p11s_status_read(directory, see, seen, &servers, NULL), P11S_OK);
  return servers;
}

/* Until the file says this of the only token. */
static void until_state(const char *state, struct seen *seen)
{
  do {
    sched_yield();
    (void)read_all(seen);
  } while (strcmp(seen->state, state) != 0);
}

static struct p11s_signer *reporting_signer(const char *state_dir)
{
  struct p11s_config config = rig_config(1);

  config.timeout_ms = 5000;
  config.state_dir = state_dir;
  config.report = true;
  return rig_signer_of(&config);
}

static void follows_the_token(void **state)
{
  struct p11s_signer *signer = reporting_signer(directory);
  struct p11s_key *key = rig_key(signer, "reported", RIG_PIN);
  struct p11s_error e;
  struct seen seen;

  (void)state;
  until_state("untried", &seen);
  assert_int_equal(seen.pid, getpid());
  assert_string_equal(seen.module, RIG_MODULE);
  assert_string_equal(seen.slot, RIG_TOKEN);
  assert_int_equal(seen.since, 0);
  assert_int_equal(seen.last, 0);
  assert_false(p11s_slot_is_known(&seen.found));
  assert_int_equal(p11s_key_check(key, rig_later(), &e), P11S_OK);
  until_state("ready", &seen);
  assert_true(seen.since > 1700000000);
  assert_true(seen.last >= seen.since);
  assert_string_equal(seen.found.label, RIG_TOKEN);
  assert_true(seen.found.serial[0] != '\0');
  assert_string_equal(seen.found.manufacturer, "SoftHSM project");
  assert_string_equal(seen.found.model, "SoftHSM v2");
  assert_string_equal(seen.pin, "ok");
  assert_string_equal(seen.trouble, "");
  rig_fake()->refuse("C_SignInit", 1, 1, CKR_DEVICE_REMOVED);
  rig_fake()->refuse("C_OpenSession", 1, FAKEP11_EVER, CKR_DEVICE_REMOVED);
  assert_int_equal(p11s_key_check(key, rig_later(), &e), P11S_ERR_NO_TOKEN);
  until_state("away", &seen);
  assert_non_null(strstr(seen.trouble, "has been removed"));
  assert_string_equal(seen.found.label, RIG_TOKEN); /* the one that is away */
  rig_fake()->reset();
  until_state("ready", &seen);
  assert_int_equal(seen.lines, 1);
  p11s_key_release(key);
  rig_signer_free(signer);
  assert_int_equal(read_all(&seen), 0); /* a server that ends takes its file with it */
}

/* PIN: as the token says behind the login, not at the session before it. */
static void says_that_nobody_is_logged_in(void **state)
{
  struct p11s_signer *signer = reporting_signer(directory);
  struct p11s_key *wrong = rig_key(signer, "reported", RIG_WRONG_PIN);
  struct p11s_key *right = rig_key(signer, "reported", RIG_PIN);
  struct p11s_error e;
  struct seen seen;
  int64_t since;

  (void)state;
  assert_int_equal(p11s_key_check(wrong, rig_later(), &e), P11S_ERR_PIN_REFUSED);
  until_state("no-login", &seen);
  assert_string_equal(seen.pin, "low");
  assert_non_null(strstr(seen.trouble, "refused the PIN"));
  assert_null(strstr(seen.trouble, RIG_WRONG_PIN));
  since = seen.since;
  assert_true(since > 1700000000);
  assert_int_equal(p11s_key_check(wrong, rig_later(), &e), P11S_ERR_PIN_REFUSED);
  do /* the reason of now */
    until_state("no-login", &seen);
  while (strstr(seen.trouble, "has refused this PIN before") == NULL);
  assert_true(seen.since <= since + 1);
  assert_int_equal(p11s_key_check(right, rig_later(), &e), P11S_OK);
  until_state("ready", &seen);
  assert_string_equal(seen.pin, "ok");
  assert_string_equal(seen.trouble, "");
  p11s_key_release(wrong);
  p11s_key_release(right);
  rig_signer_free(signer);
}

static const char *path_of(const char *name)
{
  static char path[256];

  (void)snprintf(path, sizeof path, "%s/%s", directory, name);
  return path;
}

static void put(const char *name, const char *text)
{
  FILE *out = fopen(path_of(name), "w");

  assert_non_null(out);
  assert_true(fputs(text, out) >= 0);
  assert_int_equal(fclose(out), 0);
}

/* As of a server that runs; returns what release() wants. */
static int put_locked(const char *name, const char *text)
{
  int fd;

  put(name, text);
  fd = open(path_of(name), O_RDONLY | O_CLOEXEC);
  assert_true(fd >= 0);
  assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0);
  return fd;
}

static void release(const char *name, int fd)
{
  assert_int_equal(unlink(path_of(name)), 0);
  assert_int_equal(close(fd), 0);
}

static bool is_there(const char *name)
{
  return access(path_of(name), F_OK) == 0;
}

/* Of servers that are gone, and files that are none. */
static void leftovers_are_not_believed(void **state)
{
  static const char *const names[] = {"status.1", "status.2.00000000", "status.3", ".status.4"};
  char text[256];
  struct seen seen;
  int fd;

  (void)state;
  /* That number is given out, but to nobody who holds the file. */
  (void)snprintf(text, sizeof text, "%s\t%ld\nm\ts\tready\t1\t0\t0\tok\t\t\n", P11S_STATUS_HEAD,
                 (long)getpid());
  put(names[0], text);
  put(names[1], P11S_STATUS_HEAD "\t0\n");
  put(names[2], "");
  put(names[3], "half a l");
  put("other", "not ours");
  assert_int_equal(read_all(&seen), 0);
  assert_int_equal(seen.lines, 0);
  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
    assert_false(is_there(names[i]));
  assert_true(is_there("other"));
  (void)snprintf(text, sizeof text, "%s\t%ld\nm\ts\tready\nm\ts\tready\t1\t0\t0\tok\twhy\t\n",
                 P11S_STATUS_HEAD, (long)getpid());
  fd = put_locked("status.5", text);
  assert_int_equal(read_all(&seen), 1);
  assert_int_equal(seen.lines, 1); /* a line cut short is left out */
  assert_string_equal(seen.trouble, "why");
  assert_int_equal(p11s_speed_best(&seen.rate), P11S_SPEED_LEVELS); /* it does not say */
  release("status.5", fd);
  fd = put_locked("status.6", "pkcs11signer status 9\n");
  assert_int_equal(read_all(&seen), 0);
  assert_true(is_there("status.6")); /* another version's, and it runs */
  release("status.6", fd);
}

/* In another namespace of processes: its number means nobody here, and another one's as well. */
static void a_running_server_is_known_by_its_lock(void **state)
{
  static const char text[] = P11S_STATUS_HEAD "\t999999999\nm\ts\tready\t1\t0\t0\tok\t\t\n";
  struct seen seen;
  int one, other;

  (void)state;
  one = put_locked("status.999999999.00000001", text);
  other = put_locked("status.999999999.00000002", text);
  for (int i = 0; i < 2; i++) {
    assert_int_equal(read_all(&seen), 2);
    assert_int_equal(seen.lines, 2);
    assert_int_equal(seen.pid, 999999999);
  }
  release("status.999999999.00000001", one);
  assert_int_equal(close(other), 0);
  assert_int_equal(read_all(&seen), 0);
  assert_false(is_there("status.999999999.00000002"));
}

/* Whoever runs, also with the number of one that was killed, removes what that one has left. */
static void a_server_tidies_up(void **state)
{
  struct p11s_signer *signer;
  struct p11s_key *key;
  struct seen seen;

  (void)state;
  put("status.1.00000000", P11S_STATUS_HEAD "\t1\n");
  put(".status.1.00000000", "");
  signer = reporting_signer(directory);
  key = rig_key(signer, "reported", RIG_PIN);
  until_state("untried", &seen);
  p11s_key_release(key);
  rig_signer_free(signer);
  assert_false(is_there("status.1.00000000") || is_there(".status.1.00000000"));
}

/* With what an earlier version did not write, and with what a later one may. */
static void rates_are_read(void **state)
{
  char text[256];
  struct seen seen;
  int fd;

  (void)state;
  (void)snprintf(text, sizeof text,
                 "%s\t%ld\nm\ts\tready\t1\t0\t0\tok\t\t0:20:20:400000\t5\tmore\t\n",
                 P11S_STATUS_HEAD, (long)getpid());
  fd = put_locked("status.6", text);
  assert_int_equal(read_all(&seen), 1);
  assert_int_equal(seen.lines, 1);
  assert_int_equal(seen.rate.level[0].count, 20);
  assert_int_equal(seen.rate.level[0].us, 400000);
  assert_int_equal(seen.room, 5);
  assert_int_equal(seen.last, 0);
  assert_false(p11s_slot_is_known(&seen.found));
  release("status.6", fd);
  (void)snprintf(text, sizeof text,
                 "%s\t%ld\nm\ts\tready\t1\t0\t0\tok\t\t-\t5\t1700000000\t7\tserial\tlabel\tmaker\t"
                 "model\tmore\t\n",
                 P11S_STATUS_HEAD, (long)getpid());
  fd = put_locked("status.6", text);
  assert_int_equal(read_all(&seen), 1);
  assert_int_equal(seen.room, 5);
  assert_int_equal(seen.last, 1700000000);
  assert_int_equal(seen.found.id, 7);
  assert_string_equal(seen.found.serial, "serial");
  assert_string_equal(seen.found.label, "label");
  assert_string_equal(seen.found.manufacturer, "maker");
  assert_string_equal(seen.found.model, "model");
  release("status.6", fd);
}

/* A try opens no session after the first one, and is measured from then on. */
static void signatures_are_measured(void **state)
{
  struct p11s_signer *signer = reporting_signer(directory);
  struct p11s_key *key = rig_key(signer, "reported", RIG_PIN);
  struct seen seen;

  (void)state;
  rig_fake()->delay("C_Sign", 1, FAKEP11_EVER, 20);
  for (unsigned i = 0; i < 5; i++)
    assert_int_equal(p11s_key_try(key, 0, rig_later(), NULL), P11S_OK);
  p11s_key_release(key);
  do { /* rates follow within ten seconds */
    sched_yield();
    (void)read_all(&seen);
  } while (seen.rate.level[0].count < 4);
  assert_int_equal(seen.rate.level[0].count, 4);
  assert_true(seen.rate.level[0].us >= 4 * 20000);
  assert_true(p11s_speed_at(&seen.rate, 0) <= 50);
  assert_true(seen.room > 0);
  rig_fake()->reset();
  rig_signer_free(signer);
}

struct said {
  unsigned servers;
  pid_t pid;
  char settings[256];
};

static void hear(pid_t pid, const char *settings, void *arg)
{
  struct said *said = arg;

  said->servers++;
  said->pid = pid;
  (void)snprintf(said->settings, sizeof said->settings, "%s", settings);
}

static void settings_are_said(void **state)
{
  const struct p11s_config config = {.sessions = 1,
                                     .state_dir = directory,
                                     .report = true,
                                     .host_settings = "default-soa-edit=\trrsig-expiry-extend=60"};
  struct p11s_signer *signer;
  struct said said = {0};
  struct p11s_key *key;
  struct seen seen;
  int older;

  (void)state;
  assert_int_equal(p11s_signer_new(&config, &signer, NULL), P11S_OK);
  key = rig_key(signer, "reported", RIG_PIN);
  until_state("untried", &seen);
  assert_int_equal(seen.lines, 1);
  older = put_locked("status.7", P11S_STATUS_HEAD "\t7\nm\ts\tready\t1\t0\t0\tok\t\t\n");
  p11s_status_each_settings(directory, hear, &said);
  assert_int_equal(said.servers, 1); /* another version says none */
  assert_int_equal(said.pid, getpid());
  assert_string_equal(said.settings, config.host_settings);
  release("status.7", older);
  p11s_key_release(key);
  rig_signer_free(signer);
  p11s_status_each_settings("/nonexistent/state", hear, &said);
  assert_int_equal(said.servers, 1);
}

static void no_directory(void **state)
{
  struct p11s_signer *signer = reporting_signer("/nonexistent/state");
  struct p11s_key *key = rig_key(signer, "reported", RIG_PIN);
  struct p11s_error e;
  unsigned servers;

  (void)state;
  assert_int_equal(p11s_key_check(key, rig_later(), &e), P11S_OK);
  assert_int_equal(p11s_status_read("/nonexistent/state", see, NULL, &servers, &e), P11S_ERR_HOST);
  p11s_key_release(key);
  rig_signer_free(signer);
}

static int setup(void **state)
{
  int result = rig_setup(state);

  rig_make_key("reported");
  (void)snprintf(directory, sizeof directory, "%s/reports", softhsm_dir());
  return result != 0 || mkdir(directory, 0700) != 0 ? -1 : 0;
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup(follows_the_token, rig_reset),
      cmocka_unit_test_setup(says_that_nobody_is_logged_in, rig_reset),
      cmocka_unit_test_setup(leftovers_are_not_believed, rig_reset),
      cmocka_unit_test_setup(a_running_server_is_known_by_its_lock, rig_reset),
      cmocka_unit_test_setup(a_server_tidies_up, rig_reset),
      cmocka_unit_test_setup(rates_are_read, rig_reset),
      cmocka_unit_test_setup(signatures_are_measured, rig_reset),
      cmocka_unit_test_setup(settings_are_said, rig_reset),
      cmocka_unit_test_setup(no_directory, rig_reset),
  };

  return cmocka_run_group_tests(tests, setup, rig_teardown);
}
