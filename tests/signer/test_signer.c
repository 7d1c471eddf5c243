/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a signer is made of, what it sums up, and the end of everything. */
#include "signer/signer.h"
#include "base/lock.h"
#include "rig/rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct p11s_signer_stats stats_of(struct p11s_signer *signer)
{
  struct p11s_signer_stats stats;

  p11s_signer_get_stats(signer, &stats);
  return stats;
}

static void copies_its_configuration(void **state)
{
  char source[] = "env:SOMETHING";
  struct p11s_config config = {.pin_source = source,
                               .sessions = 3,
                               .timeout_ms = 1000,
                               .transfer_timeout_ms = 5000,
                               .verify = true};
  struct p11s_signer *signer = NULL;
  uint64_t now;

  (void)state;
  assert_int_equal(p11s_signer_new(&config, &signer, NULL), P11S_OK);
  source[0] = '?';
  config.sessions = 0;
  assert_string_equal(p11s_signer_config(signer)->pin_source, "env:SOMETHING");
  assert_int_equal(p11s_signer_config(signer)->sessions, 3);
  assert_false(p11s_signer_config(signer)->store_pins);
  assert_non_null(p11s_signer_flights(signer));
  now = p11s_now_ms();
  assert_in_range(p11s_signer_query_deadline(signer), now + 1000, p11s_now_ms() + 1000);
  assert_in_range(p11s_signer_admin_deadline(signer), now + 5000, p11s_now_ms() + 5000);
  rig_signer_free(signer);
  p11s_signer_free(NULL);

  config.pin_source = NULL;
  assert_int_equal(p11s_signer_new(&config, &signer, NULL), P11S_OK);
  assert_string_equal(p11s_signer_config(signer)->pin_source, "");
  rig_signer_free(signer);
}

static void nothing_begins_after_stop(void **state)
{
  struct p11s_signer *signer = rig_signer(1);
  struct p11s_key *known = rig_key(signer, "standing", RIG_PIN), *key = NULL;
  struct p11s_keyref *ref = rig_ref("other", RIG_PIN);
  const struct p11s_pubkey *public_key = NULL;
  struct p11s_error e;

  (void)state;
  assert_true(p11s_signer_stop(signer, 0));
  assert_int_equal(p11s_signer_key(signer, ref, &key, &e), P11S_ERR_STOPPED);
  assert_null(key);
  /* Nor with a token that was not there before. */
  assert_int_equal(p11s_signer_key(signer, rig_ref_in("elsewhere", ref), &key, &e),
                   P11S_ERR_STOPPED);
  assert_int_equal(p11s_key_resolve(known, rig_wait(rig_later()), &public_key, &e),
                   P11S_ERR_STOPPED);
  assert_int_equal(p11s_key_check(known, rig_later(), &e), P11S_ERR_STOPPED);
  assert_int_equal(p11s_key_generate(known, 0, rig_later(), &e), P11S_ERR_STOPPED);
  assert_int_equal(rig_fake()->calls("C_OpenSession"), 0);
  assert_true(p11s_signer_stop(signer, 0));
  p11s_keyref_free(ref);
  p11s_key_release(known);
  rig_signer_free(signer);
}

static void stop_waits_for_a_blocked_worker(void **state)
{
  struct p11s_signer *signer = rig_signer(2);
  struct p11s_key *key = rig_key(signer, "standing", RIG_PIN);
  uint64_t deadline;

  (void)state;
  rig_fake()->block("C_Sign", 1, FAKEP11_EVER);
  assert_int_equal(p11s_key_check(key, 0, NULL), P11S_ERR_TIMEOUT);
  assert_true(rig_fake()->wait_blocked("C_Sign", 1));
  assert_int_equal(stats_of(signer).workers, 1);
  deadline = p11s_now_ms() + 50;
  assert_false(p11s_signer_stop(signer, deadline));
  assert_true(p11s_now_ms() >= deadline);
  rig_fake()->release("C_Sign");
  assert_true(p11s_signer_stop(signer, rig_later()));
  assert_int_equal(stats_of(signer).workers, 0);
  assert_int_equal(rig_fake()->calls("C_CloseSession"), rig_fake()->calls("C_OpenSession"));
  p11s_key_release(key);
  rig_signer_free(signer);
}

static int setup(void **state)
{
  if (rig_setup(state) != 0)
    return -1;
  rig_make_key("standing");
  return 0;
}

static enum p11s_err check_by(struct p11s_signer *signer, const char *slot, const char *pin)
{
  struct p11s_key *key = rig_key_of(signer, rig_ref_in(slot, rig_ref("counted", pin)));
  enum p11s_err result = p11s_key_check(key, rig_later(), NULL);

  p11s_key_release(key);
  return result;
}

static void find_rig_token(const struct p11s_slot_info *info, void *arg)
{
  if (strcmp(info->label, RIG_TOKEN) == 0)
    *(struct p11s_slot_info *)arg = *info;
}

/* By label, serial, slot number and URI. */
static void a_token_of_four_names_counts_once(void **state)
{
  struct p11s_signer *signer = rig_signer(1);
  struct p11s_slot_info info = {0};
  char number[32], uri[64];

  (void)state;
  rig_make_key("counted");
  assert_int_equal(p11s_slot_each(rig_fake()->behind(), find_rig_token, &info, NULL), P11S_OK);
  (void)snprintf(number, sizeof number, "%lu", info.id);
  (void)snprintf(uri, sizeof uri, "pkcs11:serial=%s", info.serial);
  assert_int_equal(check_by(signer, RIG_TOKEN, RIG_PIN), P11S_OK);
  assert_int_equal(check_by(signer, info.serial, RIG_PIN), P11S_OK);
  assert_int_equal(check_by(signer, number, RIG_PIN), P11S_OK);
  assert_int_equal(stats_of(signer).tokens, 1);
  rig_fake()->token_info(CKF_USER_PIN_COUNT_LOW, 0, 0);
  assert_int_equal(check_by(signer, uri, RIG_PIN), P11S_OK);
  assert_int_equal(stats_of(signer).tokens, 1);
  assert_int_equal(stats_of(signer).pin_state, 2); /* as it was said last */
  rig_fake()->refuse("C_SignInit", 1, FAKEP11_EVER, CKR_DEVICE_REMOVED);
  rig_fake()->refuse("C_OpenSession", 1, FAKEP11_EVER, CKR_DEVICE_REMOVED);
  assert_int_equal(check_by(signer, RIG_TOKEN, RIG_PIN), P11S_ERR_NO_TOKEN);
  assert_int_equal(stats_of(signer).away, 1);
  assert_int_equal(check_by(signer, number, RIG_PIN), P11S_ERR_NO_TOKEN);
  assert_int_equal(stats_of(signer).away, 1);
  assert_int_equal(check_by(signer, "another", RIG_PIN), P11S_ERR_NO_TOKEN);
  assert_int_equal(stats_of(signer).away, 2);
  assert_int_equal(stats_of(signer).tokens, 2);
  rig_fake()->reset();
  rig_signer_free(signer);
}

int main(void)
{
  static const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup(copies_its_configuration, rig_reset),
      cmocka_unit_test_setup(a_token_of_four_names_counts_once, rig_reset),
      cmocka_unit_test_setup(nothing_begins_after_stop, rig_reset),
      cmocka_unit_test_setup(stop_waits_for_a_blocked_worker, rig_reset),
  };

  return cmocka_run_group_tests_name("signer", tests, setup, rig_teardown);
}
