/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The table of keys, and the end of everything. */
/*
 * wrap: p11s_now_ms
 */
#include "signer/signer.h"
#include "base/lock.h"
#include "rig/rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define THREADS 5
#define ACQUIRES 2000
#define MINUTE_MS 60000

/* Linked in place of p11s_now_ms(): a test puts the core's clock forward. */
uint64_t __real_p11s_now_ms(void);
uint64_t __wrap_p11s_now_ms(void);
static atomic_ullong clock_ahead_ms;

uint64_t __wrap_p11s_now_ms(void)
{
  return __real_p11s_now_ms() + atomic_load(&clock_ahead_ms);
}

static struct p11s_signer_stats stats_of(struct p11s_signer *signer)
{
  struct p11s_signer_stats stats;

  p11s_signer_get_stats(signer, &stats);
  return stats;
}

static struct p11s_key *key_of(struct p11s_signer *signer, const struct p11s_keyref *ref)
{
  struct p11s_key *key = NULL;
  struct p11s_error e;

  if (p11s_signer_key(signer, ref, &key, &e) != P11S_OK)
    fail_msg("%s", e.text);
  return key;
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

static void same_reference_same_key(void **state)
{
  struct p11s_signer *signer = rig_signer(1);
  struct p11s_key *a = rig_key(signer, "k", "1234"), *b = rig_key(signer, "k", "1234");
  struct p11s_key *found;

  (void)state;
  assert_ptr_equal(a, b);
  assert_int_equal(stats_of(signer).keys, 1);
  assert_int_equal(stats_of(signer).tokens, 1);
  found = p11s_signer_find_key(signer, p11s_key_identity(a));
  assert_ptr_equal(found, a);
  p11s_key_release(found);
  assert_ptr_equal(p11s_key_acquire(a), a);
  p11s_key_release(a);
  p11s_key_release(a);
  p11s_key_release(b);
  p11s_key_release(NULL);
  /* it stays when nobody holds it */
  b = rig_key(signer, "k", "1234");
  assert_ptr_equal(a, b);
  p11s_key_release(b);
  rig_signer_free(signer);
}

/* Whatever a reference says makes another key, but for a public label that is the label. */
static void every_difference_counts(void **state)
{
  static const char *const labels[] = {"k", "K", "k ", "kk"};
  struct p11s_signer *signer = rig_signer(1);
  struct p11s_key *keys[16];
  struct p11s_keyref *ref;
  size_t n = 0;

  (void)state;
  for (size_t i = 0; i < sizeof labels / sizeof labels[0]; i++)
    keys[n++] = rig_key(signer, labels[i], "1234");
  keys[n++] = rig_key(signer, "k", "12345");
  keys[n++] = rig_key(signer, "k", NULL);
  ref = rig_ref("k", "1234");
  ref->algorithm = 14;
  keys[n++] = key_of(signer, ref);
  ref->algorithm = 13;
  ref->pub_label = strdup("p");
  keys[n++] = key_of(signer, ref);
  free(ref->pub_label);
  ref->pub_label = NULL;
  ref->extra = strdup("Colour: blue\n");
  keys[n++] = key_of(signer, ref);
  free(ref->extra);
  ref->extra = NULL;
  keys[n++] = key_of(signer, rig_ref_in("another", ref));
  free(ref->engine);
  ref->engine = strdup("softhsm2");
  keys[n++] = key_of(signer, ref);
  p11s_keyref_free(ref);
  for (size_t i = 0; i < n; i++)
    for (size_t j = 0; j < i; j++) {
      assert_ptr_not_equal(keys[i], keys[j]);
      assert_memory_not_equal(p11s_key_identity(keys[i]), p11s_key_identity(keys[j]),
                              P11S_KEY_IDENTITY_LEN);
    }
  assert_int_equal(stats_of(signer).keys, n);
  assert_int_equal(stats_of(signer).tokens, 3);
  assert_ptr_equal(p11s_key_token(keys[0]), p11s_key_token(keys[4])); /* one token, two PINs */

  ref = rig_ref("k", "1234");
  ref->pub_label = strdup("k");
  assert_ptr_equal(key_of(signer, ref), keys[0]);
  p11s_keyref_free(ref);
  p11s_key_release(keys[0]);
  for (size_t i = 0; i < n; i++)
    p11s_key_release(keys[i]);
  rig_signer_free(signer);
}

/* Parts do not run into each other. */
static void parts_are_kept_apart(void **state)
{
  struct p11s_signer *signer = rig_signer(1);
  struct p11s_keyref *a = rig_ref("a", "bc"), *b = rig_ref("ab", "c");
  struct p11s_key *key_a, *key_b;

  (void)state;
  key_a = key_of(signer, a);
  key_b = key_of(signer, b);
  assert_ptr_not_equal(key_a, key_b);
  p11s_key_release(key_a);
  p11s_key_release(key_b);
  p11s_keyref_free(a);
  p11s_keyref_free(b);
  rig_signer_free(signer);
}

struct crowd {
  struct p11s_signer *signer;
  struct p11s_key *key;
};

static void *acquire_many(void *arg)
{
  struct crowd *crowd = arg;
  struct p11s_keyref *ref = rig_ref("k", "1234");

  for (int i = 0; i < ACQUIRES; i++) {
    struct p11s_key *key = NULL;

    if (p11s_signer_key(crowd->signer, ref, &key, NULL) != P11S_OK)
      break;
    if (i == 0)
      crowd->key = key; /* stays held */
    else
      p11s_key_release(key);
    if (key != crowd->key)
      crowd->key = NULL;
  }
  p11s_keyref_free(ref);
  return NULL;
}

static void ten_thousand_acquires_one_key(void **state)
{
  struct p11s_signer *signer = rig_signer(1);
  struct crowd crowds[THREADS];
  pthread_t threads[THREADS];

  (void)state;
  for (int i = 0; i < THREADS; i++) {
    crowds[i] = (struct crowd){signer, NULL};
    assert_int_equal(pthread_create(&threads[i], NULL, acquire_many, &crowds[i]), 0);
  }
  for (int i = 0; i < THREADS; i++)
    assert_int_equal(pthread_join(threads[i], NULL), 0);
  assert_non_null(crowds[0].key);
  for (int i = 0; i < THREADS; i++) {
    assert_ptr_equal(crowds[i].key, crowds[0].key);
    p11s_key_release(crowds[i].key);
  }
  assert_int_equal(stats_of(signer).keys, 1);
  assert_int_equal(stats_of(signer).tokens, 1);
  rig_signer_free(signer);
}

static void unknown_algorithm_is_refused(void **state)
{
  static const unsigned numbers[] = {0, 1, 3, 6, 12, 17, 253, 65549};
  struct p11s_signer *signer = rig_signer(1);
  struct p11s_keyref *ref = rig_ref("k", "1234");
  struct p11s_key *key = NULL;
  struct p11s_error e;

  (void)state;
  for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
    ref->algorithm = numbers[i];
    assert_int_equal(p11s_signer_key(signer, ref, &key, &e), P11S_ERR_KEY_TYPE);
    assert_non_null(strstr(e.text, "13"));
    assert_null(key);
  }
  assert_int_equal(stats_of(signer).keys, 0);
  p11s_keyref_free(ref);
  rig_signer_free(signer);
}

static void forgotten_key_is_made_anew(void **state)
{
  struct p11s_signer *signer = rig_signer(1);
  struct p11s_key *old = rig_key(signer, "k", "1234"), *other = rig_key(signer, "o", "1234");
  unsigned char identity[P11S_KEY_IDENTITY_LEN];
  struct p11s_key *fresh;

  (void)state;
  memcpy(identity, p11s_key_identity(old), sizeof identity);
  p11s_key_table_forget(p11s_signer_keys(signer), old);
  assert_int_equal(stats_of(signer).keys, 1);
  assert_null(p11s_signer_find_key(signer, identity));
  p11s_key_table_forget(p11s_signer_keys(signer), old); /* twice is no harm */
  assert_int_equal(stats_of(signer).keys, 1);
  assert_string_equal(p11s_key_reference(old)->label, "k"); /* still good for who holds it */
  fresh = rig_key(signer, "k", "1234");
  assert_ptr_not_equal(fresh, old);
  assert_memory_equal(p11s_key_identity(fresh), identity, sizeof identity);
  p11s_key_release(old); /* freed: AddressSanitizer would tell */
  assert_ptr_equal(p11s_signer_find_key(signer, identity), fresh);
  p11s_key_release(fresh);
  p11s_key_release(fresh);
  p11s_key_release(other);
  rig_signer_free(signer);
}

static void idle_keys_are_swept(void **state)
{
  struct p11s_signer *signer = rig_signer(1);
  struct p11s_key *held = rig_key(signer, "held", "1234"), *idle = rig_key(signer, "idle", "1234");
  struct p11s_key *late;
  unsigned char identity[P11S_KEY_IDENTITY_LEN];

  (void)state;
  memcpy(identity, p11s_key_identity(idle), sizeof identity);
  p11s_key_release(idle);
  atomic_store(&clock_ahead_ms, 9 * MINUTE_MS);
  late = rig_key(signer, "new 1", "1234"); /* sweeps: not idle for long enough */
  p11s_key_release(late);
  assert_int_equal(stats_of(signer).keys, 3);
  atomic_store(&clock_ahead_ms, 10 * MINUTE_MS + 1);
  late = rig_key(signer, "new 2", "1234");
  assert_int_equal(stats_of(signer).keys, 3); /* idle went, new 2 came */
  assert_null(p11s_signer_find_key(signer, identity));
  p11s_key_release(late);
  /* one that is used again in between begins anew */
  idle = rig_key(signer, "new 1", "1234");
  p11s_key_release(idle);
  atomic_store(&clock_ahead_ms, 19 * MINUTE_MS);
  late = rig_key(signer, "new 3", "1234");
  assert_int_equal(stats_of(signer).keys, 4);
  p11s_key_release(late);
  atomic_store(&clock_ahead_ms, 60 * MINUTE_MS);
  late = rig_key(signer, "new 4", "1234");
  assert_int_equal(stats_of(signer).keys, 2); /* held, and the one just made */
  assert_string_equal(p11s_key_reference(held)->label, "held");
  p11s_key_release(late);
  p11s_key_release(held);
  atomic_store(&clock_ahead_ms, 0);
  rig_signer_free(signer);
}

/* Sweeping is no work for every call. */
static void sweeps_once_a_minute(void **state)
{
  struct p11s_signer *signer = rig_signer(1);

  (void)state;
  p11s_key_release(rig_key(signer, "a", NULL));
  atomic_store(&clock_ahead_ms, 11 * MINUTE_MS);
  p11s_key_release(rig_key(signer, "b", NULL)); /* a goes */
  assert_int_equal(stats_of(signer).keys, 1);
  atomic_store(&clock_ahead_ms, 20 * MINUTE_MS + 59000);
  p11s_key_release(rig_key(signer, "c", NULL)); /* b is not old enough */
  assert_int_equal(stats_of(signer).keys, 2);
  atomic_store(&clock_ahead_ms, 21 * MINUTE_MS + 30000);
  p11s_key_release(rig_key(signer, "d", NULL)); /* it is now, but the last sweep was just now */
  assert_int_equal(stats_of(signer).keys, 3);
  atomic_store(&clock_ahead_ms, 22 * MINUTE_MS);
  p11s_key_release(rig_key(signer, "e", NULL));
  assert_int_equal(stats_of(signer).keys, 3);
  atomic_store(&clock_ahead_ms, 0);
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
  assert_int_equal(stats_of(signer).pin_tries_left, 2); /* as it was said last */
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
      cmocka_unit_test_setup(same_reference_same_key, rig_reset),
      cmocka_unit_test_setup(a_token_of_four_names_counts_once, rig_reset),
      cmocka_unit_test_setup(every_difference_counts, rig_reset),
      cmocka_unit_test_setup(parts_are_kept_apart, rig_reset),
      cmocka_unit_test_setup(ten_thousand_acquires_one_key, rig_reset),
      cmocka_unit_test_setup(unknown_algorithm_is_refused, rig_reset),
      cmocka_unit_test_setup(forgotten_key_is_made_anew, rig_reset),
      cmocka_unit_test_setup(idle_keys_are_swept, rig_reset),
      cmocka_unit_test_setup(sweeps_once_a_minute, rig_reset),
      cmocka_unit_test_setup(nothing_begins_after_stop, rig_reset),
      cmocka_unit_test_setup(stop_waits_for_a_blocked_worker, rig_reset),
  };

  return cmocka_run_group_tests_name("signer", tests, setup, rig_teardown);
}
