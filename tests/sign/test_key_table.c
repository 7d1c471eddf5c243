/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One key for each thing that references say; no token is asked. */
#include "sign/key_table.h"

#include "base/lock.h"
#include "pin/guard.h"
#include "rig/clock_rig.h"
#include "rig/rig.h"
#include "token/tokens.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define THREADS 5
#define ACQUIRES 2000
#define MINUTE_MS 60000

static struct p11s_pin_guard *guard;
static struct p11s_tokens *tokens;
static struct p11s_key_table *table;

static int begin(void **state)
{
  struct p11s_tokens_config on = {.token = {.sessions = 1}};
  struct p11s_key_table_config config = {.idle_ms = 10 * MINUTE_MS};

  (void)state;
  on.token.guard = guard = p11s_pin_guard_new(NULL);
  config.tokens = tokens = p11s_tokens_new(&on);
  table = p11s_key_table_new(&config);
  return guard == NULL || tokens == NULL || table == NULL;
}

static int end(void **state)
{
  (void)state;
  clock_rig_ahead_ms = 0;
  (void)p11s_tokens_stop(tokens, rig_later());
  p11s_key_table_free(table);
  p11s_tokens_free(tokens);
  p11s_pin_guard_free(guard);
  return 0;
}

static struct p11s_key *key_of(const struct p11s_keyref *ref)
{
  struct p11s_key *key = NULL;
  struct p11s_error e;

  if (p11s_key_table_get(table, ref, &key, &e) != P11S_OK)
    fail_msg("%s", e.text);
  return key;
}

static struct p11s_key *named(const char *label, const char *pin)
{
  struct p11s_keyref *ref = rig_ref(label, pin);
  struct p11s_key *key = key_of(ref);

  p11s_keyref_free(ref);
  return key;
}

static void count_one(const struct p11s_token *token, const struct p11s_token_stats *stats,
                      void *arg)
{
  (void)token;
  (void)stats;
  ++*(unsigned *)arg;
}

static unsigned count_tokens(void)
{
  unsigned count = 0;

  p11s_tokens_each(tokens, count_one, &count);
  return count;
}

static void same_reference_same_key(void **state)
{
  struct p11s_key *a = named("k", "1234"), *b = named("k", "1234");
  struct p11s_key *found;

  (void)state;
  assert_ptr_equal(a, b);
  assert_int_equal(p11s_key_table_count(table), 1);
  assert_int_equal(count_tokens(), 1);
  found = p11s_key_table_find(table, p11s_key_identity(a));
  assert_ptr_equal(found, a);
  p11s_key_release(found);
  assert_ptr_equal(p11s_key_acquire(a), a);
  p11s_key_release(a);
  p11s_key_release(a);
  p11s_key_release(b);
  p11s_key_release(NULL);
  /* it stays when nobody holds it */
  b = named("k", "1234");
  assert_ptr_equal(a, b);
  p11s_key_release(b);
}

/* Whatever a reference says makes another key, but for a public label that is the label. */
static void every_difference_counts(void **state)
{
  static const char *const labels[] = {"k", "K", "k ", "kk"};
  struct p11s_key *keys[16];
  struct p11s_keyref *ref;
  size_t n = 0;

  (void)state;
  for (size_t i = 0; i < sizeof labels / sizeof labels[0]; i++)
    keys[n++] = named(labels[i], "1234");
  keys[n++] = named("k", "12345");
  keys[n++] = named("k", NULL);
  ref = rig_ref("k", "1234");
  ref->algorithm = 14;
  keys[n++] = key_of(ref);
  ref->algorithm = 13;
  ref->pub_label = strdup("p");
  keys[n++] = key_of(ref);
  free(ref->pub_label);
  ref->pub_label = NULL;
  ref->extra = strdup("Colour: blue\n");
  keys[n++] = key_of(ref);
  free(ref->extra);
  ref->extra = NULL;
  keys[n++] = key_of(rig_ref_in("another", ref));
  free(ref->engine);
  ref->engine = strdup("softhsm2");
  keys[n++] = key_of(ref);
  p11s_keyref_free(ref);
  for (size_t i = 0; i < n; i++)
    for (size_t j = 0; j < i; j++) {
      assert_ptr_not_equal(keys[i], keys[j]);
      assert_memory_not_equal(p11s_key_identity(keys[i]), p11s_key_identity(keys[j]),
                              P11S_KEY_IDENTITY_LEN);
    }
  assert_int_equal(p11s_key_table_count(table), n);
  assert_int_equal(count_tokens(), 3);
  assert_ptr_equal(p11s_key_token(keys[0]), p11s_key_token(keys[4])); /* one token, two PINs */

  ref = rig_ref("k", "1234");
  ref->pub_label = strdup("k");
  assert_ptr_equal(key_of(ref), keys[0]);
  p11s_keyref_free(ref);
  p11s_key_release(keys[0]);
  for (size_t i = 0; i < n; i++)
    p11s_key_release(keys[i]);
}

/* Parts do not run into each other. */
static void parts_are_kept_apart(void **state)
{
  struct p11s_keyref *a = rig_ref("a", "bc"), *b = rig_ref("ab", "c");
  struct p11s_key *key_a, *key_b;

  (void)state;
  key_a = key_of(a);
  key_b = key_of(b);
  assert_ptr_not_equal(key_a, key_b);
  p11s_key_release(key_a);
  p11s_key_release(key_b);
  p11s_keyref_free(a);
  p11s_keyref_free(b);
}

static void *acquire_many(void *arg)
{
  struct p11s_key **held = arg;
  struct p11s_keyref *ref = rig_ref("k", "1234");

  for (int i = 0; i < ACQUIRES; i++) {
    struct p11s_key *key = NULL;

    if (p11s_key_table_get(table, ref, &key, NULL) != P11S_OK)
      break;
    if (i == 0)
      *held = key; /* stays held */
    else
      p11s_key_release(key);
    if (key != *held)
      *held = NULL;
  }
  p11s_keyref_free(ref);
  return NULL;
}

static void ten_thousand_acquires_one_key(void **state)
{
  struct p11s_key *held[THREADS] = {NULL};
  pthread_t threads[THREADS];

  (void)state;
  for (int i = 0; i < THREADS; i++)
    assert_int_equal(pthread_create(&threads[i], NULL, acquire_many, &held[i]), 0);
  for (int i = 0; i < THREADS; i++)
    assert_int_equal(pthread_join(threads[i], NULL), 0);
  assert_non_null(held[0]);
  for (int i = 0; i < THREADS; i++) {
    assert_ptr_equal(held[i], held[0]);
    p11s_key_release(held[i]);
  }
  assert_int_equal(p11s_key_table_count(table), 1);
  assert_int_equal(count_tokens(), 1);
}

static void unknown_algorithm_is_refused(void **state)
{
  static const unsigned numbers[] = {0, 1, 3, 6, 12, 17, 253, 65549};
  struct p11s_keyref *ref = rig_ref("k", "1234");
  struct p11s_key *key = NULL;
  struct p11s_error e;

  (void)state;
  for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
    ref->algorithm = numbers[i];
    assert_int_equal(p11s_key_table_get(table, ref, &key, &e), P11S_ERR_KEY_TYPE);
    assert_non_null(strstr(e.text, "13"));
    assert_null(key);
  }
  assert_int_equal(p11s_key_table_count(table), 0);
  p11s_keyref_free(ref);
}

static void forgotten_key_is_made_anew(void **state)
{
  struct p11s_key *old = named("k", "1234"), *other = named("o", "1234");
  unsigned char identity[P11S_KEY_IDENTITY_LEN];
  struct p11s_key *fresh;

  (void)state;
  memcpy(identity, p11s_key_identity(old), sizeof identity);
  p11s_key_table_forget(table, old);
  assert_int_equal(p11s_key_table_count(table), 1);
  assert_null(p11s_key_table_find(table, identity));
  p11s_key_table_forget(table, old); /* twice is no harm */
  assert_int_equal(p11s_key_table_count(table), 1);
  assert_string_equal(p11s_key_reference(old)->label, "k"); /* still good for who holds it */
  fresh = named("k", "1234");
  assert_ptr_not_equal(fresh, old);
  assert_memory_equal(p11s_key_identity(fresh), identity, sizeof identity);
  p11s_key_release(old); /* freed: AddressSanitizer would tell */
  assert_ptr_equal(p11s_key_table_find(table, identity), fresh);
  p11s_key_release(fresh);
  p11s_key_release(fresh);
  p11s_key_release(other);
}

static void idle_keys_are_swept(void **state)
{
  struct p11s_key *held = named("held", "1234"), *idle = named("idle", "1234");
  struct p11s_key *late;
  unsigned char identity[P11S_KEY_IDENTITY_LEN];

  (void)state;
  memcpy(identity, p11s_key_identity(idle), sizeof identity);
  p11s_key_release(idle);
  clock_rig_ahead_ms = 9 * MINUTE_MS;
  late = named("new 1", "1234"); /* sweeps: not idle for long enough */
  p11s_key_release(late);
  assert_int_equal(p11s_key_table_count(table), 3);
  clock_rig_ahead_ms = 10 * MINUTE_MS + 1;
  late = named("new 2", "1234");
  assert_int_equal(p11s_key_table_count(table), 3); /* idle went, new 2 came */
  assert_null(p11s_key_table_find(table, identity));
  p11s_key_release(late);
  /* one that is used again in between begins anew */
  idle = named("new 1", "1234");
  p11s_key_release(idle);
  clock_rig_ahead_ms = 19 * MINUTE_MS;
  late = named("new 3", "1234");
  assert_int_equal(p11s_key_table_count(table), 4);
  p11s_key_release(late);
  clock_rig_ahead_ms = 60 * MINUTE_MS;
  late = named("new 4", "1234");
  assert_int_equal(p11s_key_table_count(table), 2); /* held, and the one just made */
  assert_string_equal(p11s_key_reference(held)->label, "held");
  p11s_key_release(late);
  p11s_key_release(held);
  clock_rig_ahead_ms = 0;
}

/* Sweeping is no work for every call. */
static void sweeps_once_a_minute(void **state)
{
  (void)state;
  p11s_key_release(named("a", NULL));
  clock_rig_ahead_ms = 11 * MINUTE_MS;
  p11s_key_release(named("b", NULL)); /* a goes */
  assert_int_equal(p11s_key_table_count(table), 1);
  clock_rig_ahead_ms = 20 * MINUTE_MS + 59000;
  p11s_key_release(named("c", NULL)); /* b is not old enough */
  assert_int_equal(p11s_key_table_count(table), 2);
  clock_rig_ahead_ms = 21 * MINUTE_MS + 30000;
  p11s_key_release(named("d", NULL)); /* it is now, but the last sweep was just now */
  assert_int_equal(p11s_key_table_count(table), 3);
  clock_rig_ahead_ms = 22 * MINUTE_MS;
  p11s_key_release(named("e", NULL));
  assert_int_equal(p11s_key_table_count(table), 3);
  clock_rig_ahead_ms = 0;
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
  static const struct CMUnitTest tests[] = {
      TEST(same_reference_same_key),      TEST(every_difference_counts),
      TEST(parts_are_kept_apart),         TEST(ten_thousand_acquires_one_key),
      TEST(unknown_algorithm_is_refused), TEST(forgotten_key_is_made_anew),
      TEST(idle_keys_are_swept),          TEST(sweeps_once_a_minute),
  };

  rig_watchdog();
  return cmocka_run_group_tests_name("key table", tests, NULL, NULL);
}
