/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Signing: one signature under way per message, deadlines, late signatures, lost sessions. */
/*
 * wrap: p11s_job_wait p11s_job_finish p11s_token_await p11s_now_ms
 */
#include "sign/sign.h"
#include "sign/sign_store.h"
#include "base/lock.h"
#include "token/queue.h"
#include "rig/clock_rig.h"
#include "rig/rig.h"
#include "base/counters.h"
#include "token/token.h"
#include "token/tokens.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define THREADS 6

/* Linked in place of the functions of these names, so that a test can wait for what happens. */
enum p11s_err __real_p11s_job_wait(struct p11s_job *, uint64_t, struct p11s_error *);
enum p11s_err __wrap_p11s_job_wait(struct p11s_job *, uint64_t, struct p11s_error *);
void __real_p11s_job_finish(struct p11s_job *, const struct p11s_error *);
void __wrap_p11s_job_finish(struct p11s_job *, const struct p11s_error *);
enum p11s_err __real_p11s_token_await(struct p11s_token *, struct p11s_job *, bool,
                                      struct p11s_wait, struct p11s_error *);
enum p11s_err __wrap_p11s_token_await(struct p11s_token *, struct p11s_job *, bool,
                                      struct p11s_wait, struct p11s_error *);

static struct rig_event waiting = RIG_EVENT_INIT;  /* callers that wait for a job */
static struct rig_event finished = RIG_EVENT_INIT; /* jobs that are done, and dealt with */
static atomic_uint submit_after;                   /* a new job is submitted when so many wait */

enum p11s_err __wrap_p11s_job_wait(struct p11s_job *job, uint64_t deadline_ms, struct p11s_error *e)
{
  rig_event_note(&waiting);
  return __real_p11s_job_wait(job, deadline_ms, e);
}

void __wrap_p11s_job_finish(struct p11s_job *job, const struct p11s_error *result)
{
  __real_p11s_job_finish(job, result);
  rig_event_note(&finished);
}

enum p11s_err __wrap_p11s_token_await(struct p11s_token *token, struct p11s_job *job, bool is_new,
                                      struct p11s_wait wait, struct p11s_error *e)
{
  if (is_new)
    rig_event_wait(&waiting, atomic_load(&submit_after));
  return __real_p11s_token_await(token, job, is_new, wait, e);
}

/* Linked in place of both: whether other servers of the fleet wait now for a signature that is not
   found, and how often they were told that it does not come. */
bool __real_p11s_sign_find(struct p11s_key *key, const struct p11s_question *question,
                           struct p11s_wait wait, struct p11s_signature *ret, bool *ret_claimed);
bool __wrap_p11s_sign_find(struct p11s_key *key, const struct p11s_question *question,
                           struct p11s_wait wait, struct p11s_signature *ret, bool *ret_claimed);
void __wrap_p11s_sign_abandon(struct p11s_key *key, const struct p11s_question *question);
static atomic_bool claims;
static atomic_uint given_back;

bool __wrap_p11s_sign_find(struct p11s_key *key, const struct p11s_question *question,
                           struct p11s_wait wait, struct p11s_signature *ret, bool *ret_claimed)
{
  bool found = __real_p11s_sign_find(key, question, wait, ret, ret_claimed);

  *ret_claimed = atomic_load(&claims);
  return found;
}

void __wrap_p11s_sign_abandon(struct p11s_key *key, const struct p11s_question *question)
{
  /* The store would not find the claim otherwise. */
  if (memcmp(question->key, p11s_pubkey_hash(p11s_key_public(key)), P11S_STORE_ID_LEN) == 0)
    atomic_fetch_add(&given_back, 1);
}

/* -- signing */

struct bench {
  struct rig_keys *keys;
  struct p11s_key *key;
};

static struct bench set_up(unsigned sessions, const char *label, const char *pin)
{
  struct bench b = {rig_keys_new(sessions), NULL};

  b.key = rig_key_on(b.keys, label, pin);
  atomic_store(&submit_after, 0);
  rig_event_reset(&waiting);
  rig_event_reset(&finished);
  return b;
}

static void tear_down(struct bench *b)
{
  p11s_key_release(b->key);
  rig_keys_free(b->keys);
}

static enum p11s_err sign_until(struct bench *b, unsigned number, uint64_t deadline_ms,
                                struct p11s_error *e)
{
  struct p11s_signature signature, untouched;
  struct p11s_question question;
  unsigned char message[64] = {0};
  enum p11s_err result;

  message[1] = 1; /* type A: they keep their order (token/queue.h) */
  memcpy(message + 4, &number, sizeof number);
  memset(&signature, 0xa5, sizeof signature);
  memset(&untouched, 0xa5, sizeof untouched);
  assert_int_equal(p11s_sign_question(b->key, message, sizeof message, &question, NULL), P11S_OK);
  result = p11s_sign(b->keys->flights, b->key, &question, rig_wait(deadline_ms), &signature, e);
  if (result == P11S_OK)
    assert_true(p11s_pubkey_verify(p11s_key_public(b->key), message, sizeof message, signature.data,
                                   signature.len));
  else
    assert_memory_equal(&signature, &untouched, sizeof signature);
  return result;
}

static void must_sign(struct bench *b, unsigned number)
{
  struct p11s_error e;

  if (sign_until(b, number, rig_later(), &e) != P11S_OK)
    fail_msg("%s", e.text);
}

/* Asks, and goes away at once. The job must be held up, or it might be done in time. */
static void ask(struct bench *b, unsigned number)
{
  assert_int_equal(sign_until(b, number, 0, NULL), P11S_ERR_TIMEOUT);
}

static struct p11s_flights_stats flights_of(struct bench *b)
{
  struct p11s_flights_stats stats;

  p11s_flights_get_stats(b->keys->flights, &stats);
  return stats;
}

struct caller {
  pthread_t thread;
  struct bench *bench;
  unsigned number;
  enum p11s_err result;
};

static void *call(void *arg)
{
  struct caller *c = arg;

  c->result = sign_until(c->bench, c->number, rig_later(), NULL);
  return NULL;
}

static void start(struct caller *c, struct bench *b, unsigned number)
{
  *c = (struct caller){.bench = b, .number = number};
  assert_int_equal(pthread_create(&c->thread, NULL, call, c), 0);
}

static enum p11s_err end(struct caller *c)
{
  assert_int_equal(pthread_join(c->thread, NULL), 0);
  return c->result;
}

/* -- tests */

static void same_message_is_signed_once(void **state)
{
  struct bench b = set_up(4, "signing", RIG_PIN);
  struct caller callers[THREADS];

  (void)state;
  rig_fake()->block("C_Sign", 1, FAKEP11_EVER);
  for (int i = 0; i < THREADS; i++)
    start(&callers[i], &b, 7);
  rig_event_wait(&waiting, THREADS); /* all are in */
  assert_true(rig_fake()->wait_blocked("C_Sign", 1));
  assert_int_equal(flights_of(&b).under_way, 1);
  rig_fake()->release("C_Sign");
  for (int i = 0; i < THREADS; i++)
    assert_int_equal(end(&callers[i]), P11S_OK);
  assert_int_equal(rig_fake()->calls("C_Sign"), 1);
  rig_event_wait(&finished, 1);
  assert_int_equal(flights_of(&b).under_way, 0);
  assert_int_equal(flights_of(&b).kept, 0);
  tear_down(&b);
}

/* That is no cache: who asks later gets a new one. */
static void next_one_is_signed_anew(void **state)
{
  struct bench b = set_up(1, "signing", RIG_PIN);

  (void)state;
  for (unsigned i = 1; i <= 20; i++) {
    must_sign(&b, 7);
    rig_event_wait(&finished, i);
    assert_int_equal(flights_of(&b).kept, 0);
    assert_int_equal(rig_fake()->calls("C_Sign"), i);
  }
  tear_down(&b);
}

static void messages_run_in_parallel(void **state)
{
  struct bench b = set_up(4, "signing", RIG_PIN);
  struct caller callers[4];

  (void)state;
  rig_fake()->block("C_Sign", 1, FAKEP11_EVER);
  for (unsigned i = 0; i < 4; i++)
    start(&callers[i], &b, i);
  assert_true(rig_fake()->wait_blocked("C_Sign", 4));
  assert_int_equal(flights_of(&b).under_way, 4);
  rig_fake()->release("C_Sign");
  for (int i = 0; i < 4; i++)
    assert_int_equal(end(&callers[i]), P11S_OK);
  assert_int_equal(rig_fake()->calls("C_Sign"), 4);
  assert_int_equal(rig_fake()->calls("C_Login"), 1);
  tear_down(&b);
}

static void keys_do_not_share(void **state)
{
  struct bench b = set_up(1, "signing", RIG_PIN), other = b;

  (void)state;
  other.key = rig_key_on(b.keys, "other", RIG_PIN);
  rig_fake()->block("C_Sign", 1, FAKEP11_EVER);
  ask(&b, 7);
  ask(&other, 7);
  assert_int_equal(flights_of(&b).under_way, 2);
  rig_fake()->release("C_Sign");
  must_sign(&b, 7);
  must_sign(&other, 7);
  p11s_key_release(other.key);
  tear_down(&b);
}

static void late_signature_is_handed_on(void **state)
{
  struct bench b = set_up(1, "signing", RIG_PIN);
  struct p11s_error e;

  (void)state;
  rig_fake()->block("C_Sign", 1, FAKEP11_EVER);
  assert_int_equal(sign_until(&b, 7, p11s_now_ms() + 20, &e), P11S_ERR_TIMEOUT);
  assert_non_null(strstr(e.text, "'signing'"));
  assert_null(strstr(e.text, RIG_PIN));
  ask(&b, 7); /* joins */
  assert_true(rig_fake()->wait_blocked("C_Sign", 1));
  rig_fake()->release("C_Sign");
  rig_event_wait(&finished, 1);
  assert_int_equal(flights_of(&b).under_way, 0);
  assert_int_equal(flights_of(&b).kept, 1);
  /* at once, without the token */
  assert_int_equal(sign_until(&b, 7, 0, &e), P11S_OK);
  assert_int_equal(rig_fake()->calls("C_Sign"), 1);
  assert_int_equal(flights_of(&b).kept, 0);
  must_sign(&b, 7);
  assert_int_equal(rig_fake()->calls("C_Sign"), 2);
  tear_down(&b);
}

/* One of two is still there when it comes: it is handed over, not kept. */
static void one_patient_caller_suffices(void **state)
{
  struct bench b = set_up(1, "signing", RIG_PIN);
  struct caller patient;

  (void)state;
  rig_fake()->block("C_Sign", 1, FAKEP11_EVER);
  start(&patient, &b, 7);
  rig_event_wait(&waiting, 1);
  ask(&b, 7);
  assert_true(rig_fake()->wait_blocked("C_Sign", 1));
  rig_fake()->release("C_Sign");
  assert_int_equal(end(&patient), P11S_OK);
  rig_event_wait(&finished, 1);
  assert_int_equal(flights_of(&b).kept, 0);
  assert_int_equal(rig_fake()->calls("C_Sign"), 1);
  tear_down(&b);
}

static void late_failure_is_not_kept(void **state)
{
  struct bench b = set_up(1, "signing", RIG_PIN);

  (void)state;
  rig_fake()->block("C_SignInit", 1, FAKEP11_EVER);
  rig_fake()->refuse("C_SignInit", 1, 1, CKR_KEY_FUNCTION_NOT_PERMITTED);
  ask(&b, 7);
  assert_true(rig_fake()->wait_blocked("C_SignInit", 1));
  rig_fake()->release("C_SignInit");
  rig_event_wait(&finished, 1);
  assert_int_equal(flights_of(&b).kept, 0);
  assert_int_equal(flights_of(&b).under_way, 0);
  must_sign(&b, 7);
  tear_down(&b);
}

static void kept_ones_are_bounded(void **state)
{
  const unsigned more = 10, count = P11S_FLIGHTS_KEPT + more;
  struct bench b = set_up(1, "signing", RIG_PIN);

  (void)state;
  for (unsigned i = 0; i < count;) {
    unsigned until = i + P11S_QUEUE_LEFT_ZONE < count ? i + P11S_QUEUE_LEFT_ZONE : count;

    rig_fake()->block("C_Sign", 1, FAKEP11_EVER);
    ask(&b, i++);
    /* A worker that is awake only now would take one that is still waited for before those left. */
    assert_true(rig_fake()->wait_blocked("C_Sign", 1));
    while (i < until)
      ask(&b, i++);
    rig_fake()->release("C_Sign");
    rig_event_wait(&finished, until);
  }
  assert_int_equal(flights_of(&b).under_way, 0);
  assert_int_equal(flights_of(&b).kept, P11S_FLIGHTS_KEPT);
  assert_int_equal(rig_fake()->calls("C_Sign"), count);
  /* the oldest had to go: the first of those kept, one from the middle, the last */
  assert_int_equal(sign_until(&b, more, 0, NULL), P11S_OK);
  assert_int_equal(sign_until(&b, count / 2, 0, NULL), P11S_OK);
  assert_int_equal(sign_until(&b, count - 1, 0, NULL), P11S_OK);
  assert_int_equal(flights_of(&b).kept, P11S_FLIGHTS_KEPT - 3);
  assert_int_equal(rig_fake()->calls("C_Sign"), count);
  must_sign(&b, more - 1);
  assert_int_equal(rig_fake()->calls("C_Sign"), count + 1);
  /* and there is room again behind the last */
  rig_fake()->block("C_Sign", 1, FAKEP11_EVER);
  for (unsigned i = 0; i < 5; i++)
    ask(&b, count + i);
  rig_fake()->release("C_Sign");
  rig_event_wait(&finished, count + 6);
  assert_int_equal(flights_of(&b).kept, P11S_FLIGHTS_KEPT);
  assert_int_equal(sign_until(&b, count + 4, 0, NULL), P11S_OK);
  rig_fake()->block("C_Sign", 1, FAKEP11_EVER);
  ask(&b, more + 1); /* dropped for the five */
  rig_fake()->release("C_Sign");
  tear_down(&b);
}

/* One caller has made the flight but not yet submitted it; the others wait for it. */
static void all_see_a_failed_submit(struct bench *b, enum p11s_err expected)
{
  struct caller callers[THREADS];

  rig_event_reset(&waiting);
  atomic_store(&submit_after, THREADS - 1);
  for (int i = 0; i < THREADS; i++)
    start(&callers[i], b, 424242);
  for (int i = 0; i < THREADS; i++)
    assert_int_equal(end(&callers[i]), expected);
  atomic_store(&submit_after, 0);
}

/* So that a caller who has got his signature can look before many more are made. */
static void slow_down_after_the_next(void)
{
  rig_fake()->delay("C_Sign", 2, 8, 100);
}

/* However many have asked and gone away: who comes then waits for what is under way, and is next.
 */
static void who_waits_goes_before_what_a_flood_left(void **state)
{
  const unsigned flood = 20 * P11S_QUEUE_LEFT_ZONE;
  struct bench b = set_up(1, "signing", RIG_PIN);
  struct caller patient;

  (void)state;
  rig_fake()->block("C_Sign", 1, FAKEP11_EVER);
  ask(&b, 0);
  assert_true(rig_fake()->wait_blocked("C_Sign", 1));
  for (unsigned i = 1; i <= flood; i++)
    ask(&b, i);
  assert_int_equal(flights_of(&b).under_way, 1 + P11S_QUEUE_LEFT_ZONE);
  assert_int_equal(rig_event_count(&finished), flood - P11S_QUEUE_LEFT_ZONE);
  rig_event_reset(&waiting);
  start(&patient, &b, flood + 1);
  rig_event_wait(&waiting, 1);
  slow_down_after_the_next();
  rig_fake()->release("C_Sign");
  assert_int_equal(end(&patient), P11S_OK);
  assert_in_range(rig_fake()->calls("C_Sign"), 2, 10);
  rig_event_wait(&finished, flood + 2);
  assert_int_equal(rig_fake()->calls("C_Sign"), 2 + P11S_QUEUE_LEFT_ZONE);
  tear_down(&b);
}

/* Somebody asks again for what was left: he is a waiter like any other. */
static void what_was_left_is_waited_for_again(void **state)
{
  struct bench b = set_up(1, "signing", RIG_PIN);
  struct caller patient;

  (void)state;
  rig_fake()->block("C_Sign", 1, FAKEP11_EVER);
  for (unsigned i = 0; i <= P11S_QUEUE_LEFT_ZONE; i++)
    ask(&b, i);
  assert_true(rig_fake()->wait_blocked("C_Sign", 1));
  rig_event_reset(&waiting);
  start(&patient, &b, P11S_QUEUE_LEFT_ZONE); /* the last of them */
  rig_event_wait(&waiting, 1);
  slow_down_after_the_next();
  rig_fake()->release("C_Sign");
  assert_int_equal(end(&patient), P11S_OK);
  assert_in_range(rig_fake()->calls("C_Sign"), 2, 10);
  tear_down(&b);
}

static void stopped_token_wakes_everyone(void **state)
{
  struct bench b = set_up(1, "signing", RIG_PIN);

  (void)state;
  assert_true(p11s_tokens_stop(b.keys->tokens, rig_later()));
  all_see_a_failed_submit(&b, P11S_ERR_STOPPED);
  assert_int_equal(flights_of(&b).under_way, 0);
  assert_int_equal(flights_of(&b).kept, 0);
  tear_down(&b);
}

static void stop_wakes_who_waits(void **state)
{
  struct bench b = set_up(1, "signing", RIG_PIN);
  struct caller running, queued;
  uint64_t deadline;

  (void)state;
  rig_fake()->block("C_Sign", 1, FAKEP11_EVER);
  start(&running, &b, 1);
  assert_true(rig_fake()->wait_blocked("C_Sign", 1));
  rig_event_wait(&waiting, 1);
  start(&queued, &b, 2);
  rig_event_wait(&waiting, 2);
  deadline = p11s_now_ms() + 50;
  assert_false(p11s_tokens_stop(b.keys->tokens, deadline)); /* the worker does not come back */
  assert_true(p11s_now_ms() >= deadline);
  assert_int_equal(end(&queued), P11S_ERR_STOPPED);
  assert_int_equal(sign_until(&b, 3, rig_later(), NULL), P11S_ERR_STOPPED);
  rig_fake()->release("C_Sign");
  assert_true(p11s_tokens_stop(b.keys->tokens, rig_later()));
  assert_int_equal(end(&running), P11S_OK);
  tear_down(&b);
}

static void lost_session_costs_nobody(void **state)
{
  struct bench b = set_up(1, "signing", RIG_PIN);
  struct p11s_error e;

  (void)state;
  must_sign(&b, 1);
  assert_int_equal(rig_fake()->calls("C_OpenSession"), 1);
  rig_fake()->refuse("C_Sign", 1, 1, CKR_SESSION_HANDLE_INVALID);
  must_sign(&b, 2);
  assert_int_equal(rig_fake()->calls("C_Sign"), 3);
  assert_int_equal(rig_fake()->calls("C_OpenSession"), 2);
  /* once only */
  rig_fake()->refuse("C_Sign", 1, 2, CKR_SESSION_HANDLE_INVALID);
  assert_int_equal(sign_until(&b, 3, rig_later(), &e), P11S_ERR_TOKEN);
  assert_non_null(strstr(e.text, "CKR_SESSION_HANDLE_INVALID"));
  assert_int_equal(rig_fake()->calls("C_Sign"), 5);
  must_sign(&b, 4);
  tear_down(&b);
}

/* Losing one session does not lose those of the others, but handles are looked up again. */
static void lost_session_among_several(void **state)
{
  struct bench b = set_up(3, "signing", RIG_PIN);
  struct caller callers[3];

  (void)state;
  rig_fake()->block("C_Sign", 1, 3);
  rig_fake()->refuse("C_Sign", 2, 1, CKR_SESSION_CLOSED);
  for (unsigned i = 0; i < 3; i++)
    start(&callers[i], &b, i);
  assert_true(rig_fake()->wait_blocked("C_Sign", 3));
  rig_fake()->release("C_Sign");
  for (int i = 0; i < 3; i++)
    assert_int_equal(end(&callers[i]), P11S_OK);
  assert_int_equal(rig_fake()->calls("C_Sign"), 4);
  assert_int_equal(rig_fake()->calls("C_OpenSession"), 4);
  assert_int_equal(rig_fake()->calls("C_Login"), 1); /* the others kept the token logged in */
  tear_down(&b);
}

/* Another server may sign at once what this one has said it would, and does not. */
static void a_claim_is_given_back_when_signing_fails(void **state)
{
  struct bench b = set_up(1, "signing", RIG_PIN);

  (void)state;
  atomic_store(&given_back, 0);
  atomic_store(&claims, true);
  must_sign(&b, 1);
  rig_event_wait(&finished, 1);
  assert_int_equal(atomic_load(&given_back), 0);
  rig_fake()->refuse("C_Sign", 1, FAKEP11_EVER, CKR_DEVICE_ERROR);
  assert_int_equal(sign_until(&b, 2, rig_later(), NULL), P11S_ERR_TOKEN);
  rig_event_wait(&finished, 2);
  assert_int_equal(atomic_load(&given_back), 1);
  atomic_store(&claims, false);
  assert_int_equal(sign_until(&b, 3, rig_later(), NULL), P11S_ERR_TOKEN);
  rig_event_wait(&finished, 3);
  assert_int_equal(atomic_load(&given_back), 1);
  /* Nor is it forgotten when others join. */
  rig_fake()->block("C_SignInit", 1, 1);
  atomic_store(&claims, true);
  ask(&b, 4);
  atomic_store(&claims, false);
  ask(&b, 4);
  rig_fake()->release("C_SignInit");
  rig_event_wait(&finished, 4);
  assert_int_equal(atomic_load(&given_back), 2);
  tear_down(&b);
}

/* The first one asked when the key was not known yet, so no other server waits for that one. */
static void a_claim_of_one_who_joins_is_given_back(void **state)
{
  struct bench b = set_up(1, "signing", RIG_PIN);

  (void)state;
  atomic_store(&given_back, 0);
  rig_fake()->refuse("C_Sign", 1, FAKEP11_EVER, CKR_DEVICE_ERROR);
  rig_fake()->block("C_SignInit", 1, 1);
  assert_null(p11s_key_public(b.key));
  ask(&b, 1);
  assert_true(rig_fake()->wait_blocked("C_SignInit", 1));
  assert_non_null(p11s_key_public(b.key));
  atomic_store(&claims, true);
  ask(&b, 1);
  atomic_store(&claims, false);
  rig_fake()->release("C_SignInit");
  rig_event_wait(&finished, 1);
  assert_int_equal(atomic_load(&given_back), 1);
  tear_down(&b);
}

static void wrong_pin_is_tried_once(void **state)
{
  struct bench b = set_up(4, "signing", RIG_WRONG_PIN), right = b;
  struct caller callers[THREADS];
  struct p11s_error e;

  (void)state;
  for (unsigned round = 0; round < 5; round++) {
    for (unsigned i = 0; i < THREADS; i++)
      start(&callers[i], &b, THREADS * round + i);
    for (int i = 0; i < THREADS; i++)
      assert_int_equal(end(&callers[i]), P11S_ERR_PIN_REFUSED);
  }
  assert_int_equal(rig_fake()->calls("C_Login"), 1);
  assert_int_equal(sign_until(&b, 1, rig_later(), &e), P11S_ERR_PIN_REFUSED);
  assert_null(strstr(e.text, RIG_WRONG_PIN));
  right.key = rig_key_on(b.keys, "signing", RIG_PIN);
  must_sign(&right, 1);
  assert_int_equal(rig_fake()->calls("C_Login"), 2);
  p11s_key_release(right.key);
  tear_down(&b);
}

/* Login belongs to the token: what one reference's PIN has unlocked is not for the others. */
static void other_pin_is_not_served(void **state)
{
  struct bench b = set_up(2, "signing", RIG_PIN), wrong = b, none = b;
  struct p11s_error e;

  (void)state;
  must_sign(&b, 1);
  wrong.key = rig_key_on(b.keys, "signing", RIG_WRONG_PIN);
  none.key = rig_key_on(b.keys, "signing", NULL);
  assert_int_equal(sign_until(&wrong, 1, rig_later(), &e), P11S_ERR_PIN_REFUSED);
  assert_null(strstr(e.text, RIG_WRONG_PIN));
  assert_int_equal(sign_until(&none, 1, rig_later(), &e), P11S_ERR_NO_PIN);
  assert_int_equal(rig_fake()->calls("C_Login"), 1); /* that cost no try */
  assert_int_equal(rig_fake()->calls("C_Sign"), 1);
  must_sign(&b, 2);
  p11s_key_release(wrong.key);
  p11s_key_release(none.key);
  tear_down(&b);
}

/* The token by another name is the same token, with the same tries. */
static void wrong_pin_by_another_name(void **state)
{
  struct bench b = set_up(1, "signing", RIG_WRONG_PIN), other = b;

  (void)state;
  other.key = rig_intern(b.keys->table,
                         rig_ref_in("pkcs11:token=" RIG_TOKEN, rig_ref("signing", RIG_WRONG_PIN)));
  assert_ptr_not_equal(p11s_key_token(other.key), p11s_key_token(b.key));
  assert_int_equal(sign_until(&b, 1, rig_later(), NULL), P11S_ERR_PIN_REFUSED);
  assert_int_equal(sign_until(&other, 1, rig_later(), NULL), P11S_ERR_PIN_REFUSED);
  assert_int_equal(rig_fake()->calls("C_Login"), 1);
  p11s_key_release(other.key);
  tear_down(&b);
}

/* Somebody else logs in just before a worker does, with a wrong PIN: CKR_USER_ALREADY_LOGGED_IN
   says nothing about that one, least of all that the right one is wrong. */
static void login_of_others_proves_nothing(void **state)
{
  struct bench b = set_up(1, "signing", RIG_WRONG_PIN), right = b;
  CK_SESSION_HANDLE session;

  (void)state;
  right.key = rig_key_on(b.keys, "signing", RIG_PIN);
  rig_fake()->block("C_Login", 1, FAKEP11_EVER);
  ask(&b, 1);
  assert_true(rig_fake()->wait_blocked("C_Login", 1));
  session = rig_log_in();
  rig_fake()->release("C_Login");
  must_sign(&right, 1);
  rig_log_out(session);
  p11s_key_release(right.key);
  tear_down(&b);
}

static void key_is_found_once(void **state)
{
  struct bench b = set_up(1, "signing", RIG_PIN);
  unsigned searches, reads;

  (void)state;
  must_sign(&b, 0);
  searches = rig_fake()->calls("C_FindObjectsInit");
  reads = rig_fake()->calls("C_GetAttributeValue");
  for (unsigned i = 1; i < 50; i++)
    must_sign(&b, i);
  assert_int_equal(rig_fake()->calls("C_FindObjectsInit"), searches);
  assert_int_equal(rig_fake()->calls("C_GetAttributeValue"), reads);
  assert_int_equal(rig_fake()->calls("C_Sign"), 50);
  tear_down(&b);
}

static void replaced_key_does_not_sign(void **state)
{
  struct bench b;
  struct p11s_error e;

  (void)state;
  rig_make_key("swapped");
  b = set_up(2, "swapped", RIG_PIN);
  must_sign(&b, 1);
  rig_remove_key("swapped");
  rig_make_key("swapped");
  assert_int_equal(sign_until(&b, 2, rig_later(), &e), P11S_ERR_KEY_MISMATCH);
  assert_int_equal(sign_until(&b, 3, rig_later(), &e), P11S_ERR_KEY_MISMATCH);
  assert_non_null(strstr(e.text, "'swapped'"));
  assert_int_equal(rig_fake()->calls("C_Sign"), 1);
  rig_remove_key("swapped");
  assert_int_equal(sign_until(&b, 4, rig_later(), &e), P11S_ERR_NO_KEY);
  tear_down(&b);
}

static void corrupted_signature_is_not_returned(void **state)
{
  struct bench b = set_up(1, "signing", RIG_PIN);
  struct p11s_error e;

  (void)state;
  must_sign(&b, 1);
  rig_fake()->corrupt(1, 1);
  must_sign(&b, 2); /* another try did better */
  assert_int_equal(rig_fake()->calls("C_Sign"), 3);
  rig_fake()->corrupt(1, 2);
  assert_int_equal(sign_until(&b, 3, rig_later(), &e), P11S_ERR_SIGNATURE);
  assert_int_equal(rig_fake()->calls("C_Sign"), 5);
  rig_event_wait(&finished, 3);
  assert_int_equal(flights_of(&b).kept, 0);
  must_sign(&b, 3);
  /* nor kept for the next one */
  rig_fake()->corrupt(1, 2);
  rig_fake()->block("C_Sign", 1, 2);
  ask(&b, 4);
  assert_true(rig_fake()->wait_blocked("C_Sign", 1));
  rig_fake()->release("C_Sign");
  rig_event_wait(&finished, 5);
  assert_int_equal(flights_of(&b).kept, 0);
  tear_down(&b);
}

/* Without `verify`, what a key signs first is verified all the same. */
static void unproven_key_is_verified(void **state)
{
  struct p11s_flights *flights = p11s_flights_new(false);
  struct rig_keys *keys = rig_keys_new(1);
  struct p11s_key *key = rig_key_on(keys, "signing", RIG_PIN);
  unsigned char message[4] = "abc";
  struct p11s_signature signature;

  (void)state;
  rig_event_reset(&finished);
  assert_non_null(flights);
  rig_fake()->corrupt(1, 2);
  assert_int_equal(rig_sign(flights, key, message, sizeof message, &signature, NULL),
                   P11S_ERR_SIGNATURE);
  rig_event_wait(&finished, 1); /* who asks before that gets the same answer */
  assert_int_equal(rig_sign(flights, key, message, sizeof message, &signature, NULL), P11S_OK);
  assert_true(p11s_pubkey_verify(p11s_key_public(key), message, sizeof message, signature.data,
                                 signature.len));
  p11s_key_release(key);
  rig_keys_free(keys);
  p11s_flights_free(flights);
}

static void messages_of_any_size(void **state)
{
  static const size_t sizes[] = {0, 1, 17, 18, 19, 65535, 1 << 20};
  struct bench b = set_up(1, "signing", RIG_PIN);
  unsigned char *message = calloc(1, 1 << 20);
  struct p11s_signature signature;

  (void)state;
  assert_non_null(message);
  for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
    assert_int_equal(rig_sign(b.keys->flights, b.key, message, sizes[i], &signature, NULL),
                     P11S_OK);
    assert_int_equal(signature.len, 64);
    assert_true(p11s_pubkey_verify(p11s_key_public(b.key), message, sizes[i], signature.data,
                                   signature.len));
  }
  free(message);
  tear_down(&b);
}

static void *sign_many(void *arg)
{
  struct bench *b = arg;

  /* overlapping messages; every fourth caller does not wait */
  for (unsigned i = 0; i < 60; i++)
    (void)sign_until(b, i / 2 % 20, i % 4 == 0 ? 0 : rig_later(), NULL);
  return NULL;
}

/* For the sanitizers: everything at once, with sessions lost and signatures spoilt. */
static void crowd_is_served(void **state)
{
  struct bench b = set_up(3, "signing", RIG_PIN);
  pthread_t threads[THREADS];

  (void)state;
  for (unsigned i = 5; i < 60; i += 20) {
    rig_fake()->refuse("C_Sign", i, 1, CKR_SESSION_HANDLE_INVALID);
    rig_fake()->corrupt(i + 7, 1);
  }
  for (int i = 0; i < THREADS; i++)
    assert_int_equal(pthread_create(&threads[i], NULL, sign_many, &b), 0);
  for (int i = 0; i < THREADS; i++)
    assert_int_equal(pthread_join(threads[i], NULL), 0);
  must_sign(&b, 1000);
  tear_down(&b);
}

static int setup(void **state)
{
  if (rig_setup(state) != 0)
    return -1;
  rig_make_key("signing");
  rig_make_key("other");
  return 0;
}

/* -- looking for the key */

/* Four workers with a session each want it. */
static void one_worker_looks_for_the_key_of_all(void **state)
{
  uint64_t before = p11s_counter_get(P11S_STAT_KEY_LOOKUPS);
  struct bench b;

  (void)state;
  clock_rig_ahead_ms = 60000;
  b = set_up(4, "signing", RIG_PIN);
  rig_fake()->block("C_FindObjectsInit", 1, FAKEP11_EVER);
  for (unsigned i = 0; i < 4; i++)
    ask(&b, i);
  assert_true(rig_fake()->wait_blocked("C_FindObjectsInit", 1));
  while (rig_fake()->calls("C_OpenSession") < 4)
    usleep(1000); /* the program's watchdog ends it */
  rig_fake()->release("C_FindObjectsInit");
  rig_event_wait(&finished, 4);
  for (unsigned i = 0; i < 4; i++)
    must_sign(&b, i);
  assert_int_equal(p11s_counter_get(P11S_STAT_KEY_LOOKUPS), before + 1);
  tear_down(&b);
  clock_rig_ahead_ms = 0;
}

static void nobody_waits_long_for_one_who_looks_for_the_key(void **state)
{
  uint64_t before = p11s_counter_get(P11S_STAT_KEY_LOOKUPS);
  struct bench b = set_up(4, "signing", RIG_PIN);

  (void)state;
  rig_fake()->block("C_FindObjectsInit", 1, 1);
  for (unsigned i = 0; i < 4; i++)
    ask(&b, i);
  assert_true(rig_fake()->wait_blocked("C_FindObjectsInit", 1));
  rig_event_wait(&finished, 3);
  assert_true(p11s_counter_get(P11S_STAT_KEY_LOOKUPS) > before + 1);
  rig_fake()->release("C_FindObjectsInit");
  rig_event_wait(&finished, 4);
  tear_down(&b);
}

/* A look-up that fails is no reason for the others to fail. */
static void the_next_one_looks_for_the_key_when_the_first_has_failed(void **state)
{
  struct bench b = set_up(4, "signing", RIG_PIN);

  (void)state;
  rig_fake()->refuse("C_FindObjectsInit", 1, 1, CKR_DEVICE_ERROR);
  for (unsigned i = 0; i < 4; i++)
    ask(&b, i);
  rig_event_wait(&finished, 4);
  for (unsigned i = 0; i < 4; i++)
    must_sign(&b, i);
  tear_down(&b);
}

int main(void)
{
  static const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup(same_message_is_signed_once, rig_reset),
      cmocka_unit_test_setup(next_one_is_signed_anew, rig_reset),
      cmocka_unit_test_setup(messages_run_in_parallel, rig_reset),
      cmocka_unit_test_setup(keys_do_not_share, rig_reset),
      cmocka_unit_test_setup(late_signature_is_handed_on, rig_reset),
      cmocka_unit_test_setup(one_patient_caller_suffices, rig_reset),
      cmocka_unit_test_setup(late_failure_is_not_kept, rig_reset),
      cmocka_unit_test_setup(kept_ones_are_bounded, rig_reset),
      cmocka_unit_test_setup(who_waits_goes_before_what_a_flood_left, rig_reset),
      cmocka_unit_test_setup(what_was_left_is_waited_for_again, rig_reset),
      cmocka_unit_test_setup(stopped_token_wakes_everyone, rig_reset),
      cmocka_unit_test_setup(stop_wakes_who_waits, rig_reset),
      cmocka_unit_test_setup(lost_session_costs_nobody, rig_reset),
      cmocka_unit_test_setup(lost_session_among_several, rig_reset),
      cmocka_unit_test_setup(a_claim_is_given_back_when_signing_fails, rig_reset),
      cmocka_unit_test_setup(a_claim_of_one_who_joins_is_given_back, rig_reset),
      cmocka_unit_test_setup(wrong_pin_is_tried_once, rig_reset),
      cmocka_unit_test_setup(other_pin_is_not_served, rig_reset),
      cmocka_unit_test_setup(wrong_pin_by_another_name, rig_reset),
      cmocka_unit_test_setup(login_of_others_proves_nothing, rig_reset),
      cmocka_unit_test_setup(key_is_found_once, rig_reset),
      cmocka_unit_test_setup(replaced_key_does_not_sign, rig_reset),
      cmocka_unit_test_setup(corrupted_signature_is_not_returned, rig_reset),
      cmocka_unit_test_setup(unproven_key_is_verified, rig_reset),
      cmocka_unit_test_setup(messages_of_any_size, rig_reset),
      cmocka_unit_test_setup(crowd_is_served, rig_reset),
      cmocka_unit_test_setup(one_worker_looks_for_the_key_of_all, rig_reset),
      cmocka_unit_test_setup(nobody_waits_long_for_one_who_looks_for_the_key, rig_reset),
      cmocka_unit_test_setup(the_next_one_looks_for_the_key_when_the_first_has_failed, rig_reset),
  };

  return cmocka_run_group_tests_name("sign", tests, setup, rig_teardown);
}
