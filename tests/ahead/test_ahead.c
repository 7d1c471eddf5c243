/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Next week's signatures, on the scripted module: step by step, and by the thread. */
#include "ahead/ahead.h"
#include "ahead/work.h"
#include "token/job.h"
#include "sign/key.h"
#include "base/lock.h"
#include "rig/message_rig.h"
#include "rig/rig.h"
#include "sign/sign.h"
#include "sign/sign_store.h"
#include "base/counters.h"
#include "store/store.h"
#include "store/record.h"
#include "rig/store_rig.h"
#include "token/token.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define ZONE "example.org"

static struct p11s_signer *signer;
static struct p11s_store *store;
static struct p11s_key *key;
static struct p11s_ahead_work work;
static struct p11s_ahead_token step;
static struct rig_event ended = RIG_EVENT_INIT;
static unsigned char message[MESSAGE_RIG_MAX];

static void note_end(void *arg)
{
  rig_event_note(arg);
}

static void make_signer(bool ahead, unsigned rate)
{
  struct p11s_config config = rig_config(1);

  config.state_dir = store_rig_directory();
  config.store = true;
  config.store_mib = 4;
  config.ahead = ahead;
  config.ahead_weeks = 1;
  config.ahead_rate = rate;
  signer = rig_signer_of(&config);
  key = rig_key(signer, "key", RIG_PIN);
  store = p11s_signer_store(signer);
  assert_non_null(store);
  rig_resolve(key);
}

static int begin(void **state)
{
  if (store_rig_reset_with_token(state) != 0)
    return 1;
  rig_make_key("key");
  rig_event_reset(&ended);
  return 0;
}

static int end(void **state)
{
  (void)state;
  p11s_ahead_keys_release(&work.keys);
  p11s_plan_free(work.plan);
  memset(&work, 0, sizeof work);
  memset(&step, 0, sizeof step);
  p11s_key_release(key);
  rig_signer_free(signer);
  rig_remove_key("key");
  return 0;
}

static uint32_t this_week(void)
{
  return p11s_week_start(p11s_record_now());
}

static size_t make(unsigned number, unsigned weeks)
{
  char owner[64];

  (void)snprintf(owner, sizeof owner, "n%u." ZONE, number);
  return message_rig_a(ZONE, owner, number, this_week() + weeks * P11S_WEEK_SECONDS, message);
}

static bool has(unsigned number, unsigned weeks)
{
  size_t len = make(number, weeks);

  store_rig_flush(store);
  return p11s_store_has(store,
                        store_rig_question(p11s_pubkey_hash(p11s_key_public(key)), message, len));
}

/* It is stored shortly after it was given out. */
static void wait_until_stored(unsigned number, unsigned weeks)
{
  uint64_t deadline = rig_later();

  while (!has(number, weeks)) {
    assert_true(p11s_now_ms() < deadline);
    (void)usleep(1000);
  }
}

static void sign(unsigned number, unsigned weeks)
{
  size_t len = make(number, weeks);
  struct p11s_signature signature;
  struct p11s_error e;

  if (rig_sign(p11s_signer_flights(signer), key, message, len, &signature, &e) != P11S_OK)
    fail_msg("%s", e.text);
  wait_until_stored(number, weeks);
}

static size_t make_dnskey(unsigned weeks)
{
  return message_rig_dnskey(ZONE, 1, this_week() + weeks * P11S_WEEK_SECONDS, message);
}

static bool has_dnskey(unsigned weeks)
{
  size_t len = make_dnskey(weeks);

  store_rig_flush(store);
  return p11s_store_has(store,
                        store_rig_question(p11s_pubkey_hash(p11s_key_public(key)), message, len));
}

static void sign_dnskey(void)
{
  size_t len = make_dnskey(0);
  uint64_t deadline = rig_later();
  struct p11s_signature signature;
  struct p11s_error e;

  if (rig_sign(p11s_signer_flights(signer), key, message, len, &signature, &e) != P11S_OK)
    fail_msg("%s", e.text);
  while (!has_dnskey(0)) {
    assert_true(p11s_now_ms() < deadline);
    (void)usleep(1000);
  }
}

/* A plan of what is stored now. */
static void plan(void)
{
  store_rig_flush(store);
  work = (struct p11s_ahead_work){.flights = p11s_signer_flights(signer),
                                  .store = store,
                                  .plan = p11s_plan_new(p11s_record_now(), 1, NULL, 0),
                                  .rate = 100000,
                                  .ended = note_end,
                                  .ended_arg = &ended};
  assert_non_null(work.plan);
  assert_true(p11s_store_each(store, p11s_plan_add, work.plan));
  assert_true(p11s_plan_finish(work.plan));
  assert_true(p11s_ahead_keys_find(&work.keys, work.plan, p11s_signer_keys(signer)));
  for (size_t i = 0; i < work.keys.count; i++)
    p11s_plan_set_token(work.plan, i, 0);
  step = (struct p11s_ahead_token){.token = p11s_key_token(key), .left = 1000};
}

/* Steps until so many signatures are made, or nothing is left. */
static void run(unsigned made)
{
  uint64_t wait, deadline = rig_later();
  unsigned count = 0;

  while (!(step.exhausted && step.job == NULL) && count < made) {
    /* It is stored when it has ended, not when it is done. */
    if (step.job != NULL)
      rig_event_wait(&ended, count + 1);
    count += p11s_ahead_step(&work, &step, &wait);
    assert_true(p11s_now_ms() < deadline);
  }
}

static void next_week_s_are_made(void **state)
{
  (void)state;
  make_signer(false, 0);
  for (unsigned i = 0; i < 5; i++)
    sign(i, 0);
  plan();
  run(100);
  for (unsigned i = 0; i < 5; i++) {
    assert_true(has(i, 1));
    assert_false(has(i, 2));
  }
  /* They are good, and cost nothing any more. */
  rig_fake()->refuse("C_Sign", 1, FAKEP11_EVER, CKR_GENERAL_ERROR);
  for (unsigned i = 0; i < 5; i++)
    sign(i, 1);
}

static void what_is_there_meanwhile_is_not_made_again(void **state)
{
  (void)state;
  make_signer(false, 0);
  sign(1, 0);
  sign(2, 0);
  plan();
  sign(1, 1);
  sign(2, 1);
  store_rig_flush(store);
  rig_fake()->refuse("C_Sign", 1, FAKEP11_EVER, CKR_GENERAL_ERROR);
  run(100);
  assert_true(step.exhausted);
  assert_int_equal(rig_event_count(&ended), 0);
  assert_int_equal(step.failures, 0);
}

/* Who can write to the file must not have other things signed. */
static void what_this_key_has_not_signed_is_not_signed(void **state)
{
  size_t len;

  (void)state;
  make_signer(false, 0);
  sign(1, 0);
  len = make(2, 0);
  p11s_store_put(
      store, store_rig_question(p11s_pubkey_hash(p11s_key_public(key)), message, len),
      (const unsigned char *)"0123456789012345678901234567890123456789012345678901234567890123", 64,
      false);
  plan();
  run(100);
  assert_true(step.exhausted);
  assert_true(has(1, 1));
  assert_false(has(2, 1));
}

/* Without room for anything else. */
static void dnskeys_are_made_for_a_crowded_store(void **state)
{
  uint64_t wait;

  (void)state;
  make_signer(false, 0);
  sign(1, 0);
  sign_dnskey();
  plan();
  work.crowded = true;
  run(1);
  assert_false(p11s_ahead_step(&work, &step, &wait));
  assert_null(step.job);
  assert_true(has_dnskey(1));
  assert_false(has(1, 1));
  assert_false(p11s_ahead_step(&work, &step, &wait));
  assert_in_range(wait, 1, 2500000);
  assert_false(step.exhausted);
  /* There is room again. */
  work.crowded = false;
  step.not_before_us = 0;
  run(2);
  assert_true(has(1, 1));
  assert_true(step.exhausted);
}

static void queries_go_first(void **state)
{
  uint64_t wait;

  (void)state;
  make_signer(false, 0);
  sign(1, 0);
  plan();
  rig_fake()->block("C_Sign", 1, 1);
  assert_false(p11s_ahead_step(&work, &step, &wait));
  assert_true(rig_fake()->wait_blocked("C_Sign", 1));
  /* While the token is at work, nothing more begins. */
  assert_non_null(step.job);
  assert_false(p11s_ahead_step(&work, &step, &wait));
  assert_int_equal(wait, UINT64_MAX);
  rig_fake()->release("C_Sign");
  run(1);
  assert_true(has(1, 1));
}

static struct p11s_job *sign_in_background(unsigned number, unsigned weeks)
{
  const struct p11s_sign_ahead ahead = {false, note_end, &ended};
  size_t len = make(number, weeks);
  struct p11s_question question;
  struct p11s_job *job = NULL;

  assert_int_equal(p11s_sign_question(key, message, len, &question, NULL), P11S_OK);
  assert_int_equal(
      p11s_sign_in_background(p11s_signer_flights(signer), key, &question, &ahead, &job, NULL),
      P11S_OK);
  return job;
}

static void *ask(void *arg)
{
  unsigned char asked[MESSAGE_RIG_MAX];
  struct p11s_signature signature;
  size_t *len = arg;

  memcpy(asked, message, *len);
  *len = rig_sign(p11s_signer_flights(signer), key, asked, *len, &signature, NULL) == P11S_OK;
  return NULL;
}

/* At the week's turn: a query for what waits in the background goes before what else is there. */
static void a_query_takes_over_what_is_in_the_background(void **state)
{
  uint64_t before = p11s_counter_get(P11S_STAT_SIGNATURES), deadline = rig_later();
  uint64_t ahead = p11s_counter_get(P11S_STAT_AHEAD_SIGNATURES);
  uint64_t shared = p11s_counter_get(P11S_STAT_SHARED);
  struct p11s_job *job[3];
  pthread_t thread;
  size_t len;

  (void)state;
  make_signer(false, 0);
  rig_fake()->block("C_Sign", 1, 1);
  job[0] = sign_in_background(0, 1);
  assert_true(rig_fake()->wait_blocked("C_Sign", 1));
  job[1] = sign_in_background(1, 1);
  job[2] = sign_in_background(2, 1);
  len = make(2, 1);
  assert_int_equal(pthread_create(&thread, NULL, ask, &len), 0);
  while (p11s_counter_get(P11S_STAT_SHARED) == shared) {
    assert_true(p11s_now_ms() < deadline);
    (void)usleep(1000);
  }
  rig_fake()->release("C_Sign");
  assert_int_equal(pthread_join(thread, NULL), 0);
  assert_int_equal(len, 1);
  rig_event_wait(&ended, 3);
  assert_int_equal(p11s_counter_get(P11S_STAT_SIGNATURES) - before, 3);
  assert_int_equal(p11s_counter_get(P11S_STAT_AHEAD_SIGNATURES) - ahead, 2);
  for (unsigned i = 0; i < 3; i++)
    p11s_job_release(job[i]);
}

static void a_failure_is_not_tried_again_at_once(void **state)
{
  uint64_t wait;

  (void)state;
  make_signer(false, 0);
  sign(1, 0);
  sign(2, 0);
  plan();
  rig_fake()->refuse("C_Sign", 1, FAKEP11_EVER, CKR_ARGUMENTS_BAD);
  assert_false(p11s_ahead_step(&work, &step, &wait));
  rig_event_wait(&ended, 1);
  while (!p11s_job_is_done(step.job))
    (void)usleep(1000);
  assert_false(p11s_ahead_step(&work, &step, &wait));
  assert_null(step.job);
  assert_int_equal(step.failures, 1);
  assert_true(wait > 1000000 || wait == 50000);
  rig_fake()->refuse("C_Sign", 1, 0, CKR_OK);
}

/* -- the thread */

static void the_thread_does_it(void **state)
{
  uint64_t deadline = rig_later(), before = p11s_counter_get(P11S_STAT_AHEAD_SIGNATURES);
  struct p11s_signer_stats stats;

  (void)state;
  make_signer(true, 0);
  for (unsigned i = 0; i < 10; i++)
    sign(i, 0);
  for (unsigned i = 0; i < 10; i++)
    wait_until_stored(i, 1);
  do {
    assert_true(p11s_now_ms() < deadline);
    (void)usleep(20000);
    p11s_signer_get_stats(signer, &stats);
  } while (stats.ahead_until != this_week() + 2 * P11S_WEEK_SECONDS);
  assert_int_equal(p11s_counter_get(P11S_STAT_AHEAD_SIGNATURES) - before, 10);
  assert_int_equal(stats.ahead_missing, 0);
  assert_true(stats.ahead_seconds > P11S_WEEK_SECONDS - 60);
}

/* Signatures of other keys, for weeks to come, until some had to go. */
static void crowd(void)
{
  struct p11s_store_stats stats;
  unsigned number = 0;

  do {
    for (unsigned i = 0; i < 500; i++, number++) {
      size_t len = make(number, 1);

      p11s_store_put(store, store_rig_question(store_rig_key(9), message, len),
                     (const unsigned char *)"signature", 9, true);
    }
    store_rig_flush(store);
    p11s_store_get_stats(store, &stats);
    assert_in_range(number, 1, 20000);
  } while (!stats.crowded);
  assert_false(stats.full);
}

static void the_thread_makes_dnskeys_for_a_crowded_store(void **state)
{
  uint64_t deadline = rig_later();

  (void)state;
  make_signer(true, 1000);
  crowd();
  sign(100000, 0);
  sign_dnskey();
  while (!has_dnskey(1)) {
    assert_true(p11s_now_ms() < deadline);
    (void)usleep(20000);
  }
  assert_false(has(100000, 1));
}

/* A signature that does not come back keeps nobody from ending. */
static void it_ends_while_the_token_hangs(void **state)
{
  uint64_t began;

  (void)state;
  make_signer(true, 1000);
  sign(1, 0);
  rig_fake()->block("C_Sign", 1, 1);
  assert_true(rig_fake()->wait_blocked("C_Sign", 1));
  began = p11s_now_ms();
  assert_false(p11s_signer_stop(signer, began + 300)); /* the worker is still there */
  rig_fake()->release("C_Sign");
}

#define ON_TOKEN(test) cmocka_unit_test_setup_teardown(test, begin, end)

int main(void)
{
  const struct CMUnitTest tests[] = {
      ON_TOKEN(next_week_s_are_made),
      ON_TOKEN(what_is_there_meanwhile_is_not_made_again),
      ON_TOKEN(what_this_key_has_not_signed_is_not_signed),
      ON_TOKEN(dnskeys_are_made_for_a_crowded_store),
      ON_TOKEN(queries_go_first),
      ON_TOKEN(a_query_takes_over_what_is_in_the_background),
      ON_TOKEN(a_failure_is_not_tried_again_at_once),
      ON_TOKEN(the_thread_does_it),
      ON_TOKEN(the_thread_makes_dnskeys_for_a_crowded_store),
      ON_TOKEN(it_ends_while_the_token_hangs),
  };

  return cmocka_run_group_tests(tests, store_rig_setup_with_token, store_rig_teardown_with_token);
}
