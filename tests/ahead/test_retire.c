/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Tokens that no row names. */
#include "ahead/retire.h"

#include "rig/clock_rig.h"
#include "rig/fakehost.h"
#include "sign/key.h"
#include "base/lock.h"
#include "rig/rig.h"
#include "signer/internal.h"
#include "token/token.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define ORG "example.org."
#define NET "example.net."

static struct p11s_signer *signer;
static struct p11s_zones *zones;
static struct p11s_retire retire;
static const atomic_bool stop;

static int begin(void **state)
{
  if (rig_reset(state) != 0)
    return 1;
  fakehost_reset();
  rig_make_key("key");
  signer = rig_signer(1);
  zones = p11s_zones_new(p11s_signer_keys(signer), NULL, &fakehost_source);
  return zones == NULL;
}

static int end(void **state)
{
  (void)state;
  p11s_retire_clear(&retire);
  p11s_zones_free(zones);
  rig_signer_free(signer);
  rig_remove_key("key");
  fakehost_reset();
  return 0;
}

static void put(const char *zone, const char *slot)
{
  fakehost_put_ref(zone, 257, rig_ref_in(slot, rig_ref("key", RIG_PIN)));
}

static struct p11s_key *use(const char *slot)
{
  return rig_key_of(signer, rig_ref_in(slot, rig_ref("key", RIG_PIN)));
}

static size_t tokens(void)
{
  struct p11s_signer_stats stats;

  p11s_signer_get_stats(signer, &stats);
  return stats.tokens;
}

static void steps(uint64_t seconds)
{
  for (uint64_t i = 0; i < seconds; i++) {
    clock_rig_ahead_ms += 1000;
    p11s_retire_step(&retire, signer->tokens, zones, &stop);
  }
}

static void a_token_that_no_row_names_is_retired(void **state)
{
  struct p11s_key *old = use("old"), *good = use(RIG_TOKEN);

  (void)state;
  put(ORG, "old");
  put(NET, RIG_TOKEN);
  steps(120);
  assert_int_equal(tokens(), 2);
  (void)snprintf(fakehost_rows[0].zone, sizeof fakehost_rows[0].zone, "elsewhere.");
  steps(15);
  assert_int_equal(tokens(), 2);
  steps(45);
  assert_int_equal(tokens(), 1);
  /* A row that names it brings it back. */
  p11s_key_release(use("old"));
  assert_int_equal(tokens(), 2);
  steps(60);
  assert_int_equal(tokens(), 1);
  (void)snprintf(fakehost_rows[0].zone, sizeof fakehost_rows[0].zone, NET);
  p11s_key_release(use("old"));
  steps(120);
  assert_int_equal(tokens(), 2);
  p11s_key_release(old);
  p11s_key_release(good);
}

/* Another zone names it still. */
static void one_row_is_enough(void **state)
{
  struct p11s_key *key = use(RIG_TOKEN);

  (void)state;
  put(NET, RIG_TOKEN);
  put(ORG, RIG_TOKEN);
  steps(30);
  fakehost_hide(NET);
  (void)snprintf(fakehost_rows[0].zone, sizeof fakehost_rows[0].zone, "elsewhere.");
  steps(120);
  assert_int_equal(tokens(), 1);
  fakehost_hide(ORG);
  (void)snprintf(fakehost_rows[1].zone, sizeof fakehost_rows[1].zone, "elsewhere.");
  steps(60);
  assert_int_equal(tokens(), 0);
  p11s_key_release(key);
}

static void a_database_that_does_not_answer_retires_nothing(void **state)
{
  struct p11s_key *key = use(RIG_TOKEN);

  (void)state;
  steps(15);
  fakehost_refuse_listing(true);
  steps(300);
  assert_int_equal(tokens(), 1);
  fakehost_refuse_listing(false);
  steps(120);
  assert_int_equal(tokens(), 0);
  p11s_key_release(key);
}

/* Its sessions are closed and its workers end; a request finds it as one that is new. */
static void workers_end_and_come_back(void **state)
{
  struct p11s_key *key = use(RIG_TOKEN);
  struct p11s_token_stats stats;
  uint64_t deadline;

  (void)state;
  rig_resolve(key);
  steps(60);
  assert_int_equal(tokens(), 0);
  deadline = rig_later();
  do {
    assert_true(clock_rig_real_ms() < deadline);
    (void)usleep(1000);
    p11s_token_get_stats(p11s_key_token(key), &stats);
  } while (stats.workers > 0);
  while (rig_fake()->calls("C_CloseSession") < rig_fake()->calls("C_OpenSession")) {
    assert_true(clock_rig_real_ms() < deadline);
    (void)usleep(1000);
  }
  assert_int_equal(stats.state, P11S_TOKEN_UNTRIED);
  assert_int_equal(p11s_key_check(key, rig_later(), NULL), P11S_OK);
  assert_int_equal(tokens(), 1);
  p11s_key_release(key);
}

/* One that is away is not looked for any more. */
static void nobody_looks_for_it(void **state)
{
  struct p11s_key *key = use("nowhere");
  struct p11s_signer_stats stats;
  uint64_t deadline;
  unsigned calls;

  (void)state;
  assert_int_not_equal(p11s_key_check(key, rig_later(), NULL), P11S_OK);
  p11s_signer_get_stats(signer, &stats);
  assert_int_equal(stats.away, 1);
  steps(60);
  p11s_signer_get_stats(signer, &stats);
  assert_int_equal(stats.away, 0);
  assert_int_equal(stats.tokens, 0);
  deadline = rig_later();
  do {
    assert_true(clock_rig_real_ms() < deadline);
    (void)usleep(1000);
    p11s_signer_get_stats(signer, &stats);
  } while (stats.workers > 0);
  calls = rig_fake()->calls("C_GetSlotList");
  clock_rig_ahead_ms += 5000;
  (void)usleep(50000);
  assert_int_equal(rig_fake()->calls("C_GetSlotList"), calls);
  p11s_key_release(key);
}

#define ON_TOKEN(test) cmocka_unit_test_setup_teardown(test, begin, end)

int main(void)
{
  const struct CMUnitTest tests[] = {
      ON_TOKEN(a_token_that_no_row_names_is_retired),
      ON_TOKEN(one_row_is_enough),
      ON_TOKEN(a_database_that_does_not_answer_retires_nothing),
      ON_TOKEN(workers_end_and_come_back),
      ON_TOKEN(nobody_looks_for_it),
  };

  return cmocka_run_group_tests(tests, rig_setup, rig_teardown);
}
