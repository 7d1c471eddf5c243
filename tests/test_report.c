/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a server writes of its tokens, and what another process reads of it. */
#include "lock.h"
#include "report.h"
#include "report_internal.h"
#include "rig.h"
#include "softhsm.h"

#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* Below SoftHSM's, and removed with it. */
static char directory[128];

struct seen {
  unsigned lines;
  pid_t pid;
  char module[64], slot[256], state[16], pin[16], trouble[1024];
  struct p11s_rate rate;
  unsigned room;
  int64_t since;
};

static void see(const struct p11s_report_line *line, void *arg)
{
  struct seen *seen = arg;

  seen->lines++;
  seen->pid = line->pid;
  seen->since = line->since;
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
  assert_int_equal(p11s_report_read(directory, see, seen, &servers, NULL), P11S_OK);
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
  struct p11s_config config = {.sessions = 1,
                               .timeout_ms = 5000,
                               .transfer_timeout_ms = 60000,
                               .verify = true,
                               .state_dir = state_dir,
                               .report = true};
  struct p11s_signer *signer;

  assert_int_equal(p11s_signer_new(&config, &signer, NULL), P11S_OK);
  return signer;
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
  assert_int_equal(p11s_key_check(key, rig_later(), &e), P11S_OK);
  until_state("ready", &seen);
  assert_true(seen.since > 1700000000);
  assert_string_equal(seen.pin, "ok");
  assert_string_equal(seen.trouble, "");
  rig_fake()->refuse("C_SignInit", 1, 1, CKR_DEVICE_REMOVED);
  rig_fake()->refuse("C_OpenSession", 1, FAKEP11_EVER, CKR_DEVICE_REMOVED);
  assert_int_equal(p11s_key_check(key, rig_later(), &e), P11S_ERR_NO_TOKEN);
  until_state("away", &seen);
  assert_non_null(strstr(seen.trouble, "has been removed"));
  rig_fake()->reset();
  until_state("ready", &seen);
  assert_int_equal(seen.lines, 1);
  p11s_key_release(key);
  rig_signer_free(signer);
  assert_int_equal(read_all(&seen), 0); /* a server that ends takes its file with it */
}

static void put(const char *name, const char *text)
{
  char path[256];
  FILE *out;

  (void)snprintf(path, sizeof path, "%s/%s", directory, name);
  out = fopen(path, "w");
  assert_non_null(out);
  assert_true(fputs(text, out) >= 0);
  assert_int_equal(fclose(out), 0);
}

static bool is_there(const char *name)
{
  char path[256];

  (void)snprintf(path, sizeof path, "%s/%s", directory, name);
  return access(path, F_OK) == 0;
}

/* Of servers that are gone, and files that are none. */
static void leftovers_are_not_believed(void **state)
{
  char text[256];
  struct seen seen;

  (void)state;
  (void)snprintf(text, sizeof text, "%s\t%ld\t%llu\nm\ts\tready\t1\t0\t0\tok\t\t\n",
                 P11S_REPORT_HEAD, (long)getpid(), p11s_report_start_time(getpid()) - 1);
  put("status.1", text); /* that number has been given out again */
  put("status.2", P11S_REPORT_HEAD "\t0\t0\n");
  put("status.3", "");
  put("status.4", "pkcs11signer status 9\n");
  put("other", "not ours");
  assert_int_equal(read_all(&seen), 0);
  assert_int_equal(seen.lines, 0);
  assert_false(is_there("status.1") || is_there("status.2") || is_there("status.3") ||
               is_there("status.4"));
  assert_true(is_there("other"));
  (void)snprintf(text, sizeof text, "%s\t%ld\t%llu\nm\ts\tready\nm\ts\tready\t1\t0\t0\tok\twhy\t\n",
                 P11S_REPORT_HEAD, (long)getpid(), p11s_report_start_time(getpid()));
  put("status.5", text);
  assert_int_equal(read_all(&seen), 1);
  assert_int_equal(seen.lines, 1); /* a line cut short is left out */
  assert_string_equal(seen.trouble, "why");
  assert_int_equal(p11s_rate_best(&seen.rate), P11S_RATE_LEVELS); /* it does not say */
  (void)snprintf(text, sizeof text, "%s/status.5", directory);
  assert_int_equal(unlink(text), 0);
  assert_int_equal(p11s_report_start_time(0), 0);
}

/* With what an earlier version did not write, and with what a later one may. */
static void rates_are_read(void **state)
{
  char text[256];
  struct seen seen;

  (void)state;
  (void)snprintf(text, sizeof text,
                 "%s\t%ld\t%llu\nm\ts\tready\t1\t0\t0\tok\t\t0:20:20:400000\t5\tmore\t\n",
                 P11S_REPORT_HEAD, (long)getpid(), p11s_report_start_time(getpid()));
  put("status.6", text);
  assert_int_equal(read_all(&seen), 1);
  assert_int_equal(seen.lines, 1);
  assert_int_equal(seen.rate.level[0].count, 20);
  assert_int_equal(seen.rate.level[0].us, 400000);
  assert_int_equal(seen.room, 5);
  (void)snprintf(text, sizeof text, "%s/status.6", directory);
  assert_int_equal(unlink(text), 0);
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
    assert_int_equal(p11s_key_try(key, rig_later(), NULL), P11S_OK);
  p11s_key_release(key);
  do { /* rates follow within ten seconds */
    sched_yield();
    (void)read_all(&seen);
  } while (seen.rate.level[0].count < 4);
  assert_int_equal(seen.rate.level[0].count, 4);
  assert_true(seen.rate.level[0].us >= 4 * 20000);
  assert_true(p11s_rate_at(&seen.rate, 0) <= 50);
  assert_true(seen.room > 0);
  rig_fake()->reset();
  rig_signer_free(signer);
}

static void no_directory(void **state)
{
  struct p11s_signer *signer = reporting_signer("/nonexistent/state");
  struct p11s_key *key = rig_key(signer, "reported", RIG_PIN);
  struct p11s_error e;
  unsigned servers;

  (void)state;
  assert_int_equal(p11s_key_check(key, rig_later(), &e), P11S_OK);
  assert_int_equal(p11s_report_read("/nonexistent/state", see, NULL, &servers, &e), P11S_ERR_HOST);
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
      cmocka_unit_test_setup(leftovers_are_not_believed, rig_reset),
      cmocka_unit_test_setup(rates_are_read, rig_reset),
      cmocka_unit_test_setup(signatures_are_measured, rig_reset),
      cmocka_unit_test_setup(no_directory, rig_reset),
  };

  return cmocka_run_group_tests(tests, setup, rig_teardown);
}
