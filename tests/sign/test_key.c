/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Keys: sign/key.c, sign/key_work.c and sign/key_job.c. */
/*
 * wrap: p11s_job_wait p11s_job_finish
 */
#include "sign/key.h"
#include "sign/key_internal.h"
#include "base/lock.h"
#include "rig/rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define THREADS 6

/* Linked in place of p11s_job_wait(): begins to wait only when a call of this name is blocked. */
enum p11s_err __real_p11s_job_wait(struct p11s_job *job, uint64_t deadline_ms,
                                   struct p11s_error *e);
enum p11s_err __wrap_p11s_job_wait(struct p11s_job *job, uint64_t deadline_ms,
                                   struct p11s_error *e);
static const char *wait_when_blocked;

enum p11s_err __wrap_p11s_job_wait(struct p11s_job *job, uint64_t deadline_ms, struct p11s_error *e)
{
  if (wait_when_blocked != NULL)
    assert_true(rig_fake()->wait_blocked(wait_when_blocked, 1));
  return __real_p11s_job_wait(job, deadline_ms, e);
}

/* The same for p11s_job_finish(): jobs that are done, and dealt with. */
void __real_p11s_job_finish(struct p11s_job *job, const struct p11s_error *result);
void __wrap_p11s_job_finish(struct p11s_job *job, const struct p11s_error *result);
static struct rig_event finished = RIG_EVENT_INIT;

void __wrap_p11s_job_finish(struct p11s_job *job, const struct p11s_error *result)
{
  __real_p11s_job_finish(job, result);
  rig_event_note(&finished);
}

static void assert_public(const struct p11s_key *key, const char *label)
{
  struct p11s_pubkey *there = rig_public(label);

  assert_non_null(p11s_key_public(key));
  assert_true(p11s_pubkey_equal(p11s_key_public(key), there));
  p11s_pubkey_free(there);
}

static void copies_its_reference(void **state)
{
  struct rig_keys *keys = rig_keys_new(1);
  struct p11s_keyref *ref = rig_pinned_ref("standing", RIG_PIN);
  const struct p11s_keyref *copy;
  struct p11s_key *key = NULL;

  (void)state;
  ref->pub_label = strdup("other");
  ref->extra = strdup("Colour: blue\n");
  assert_int_equal(p11s_key_table_get(keys->table, ref, &key, NULL), P11S_OK);
  copy = p11s_key_reference(key);
  assert_ptr_not_equal(copy->label, ref->label);
  p11s_keyref_free(ref);
  assert_string_equal(copy->engine, RIG_MODULE);
  assert_string_equal(copy->slot, RIG_TOKEN);
  assert_string_equal(copy->label, "standing");
  assert_string_equal(copy->pub_label, "other");
  assert_string_equal(copy->extra, "Colour: blue\n");
  assert_string_equal((const char *)p11s_secret_data(p11s_key_pin(key)), RIG_PIN);
  assert_int_equal(p11s_key_algorithm(key)->number, 13);
  assert_public(key, "standing"); /* known without a word from the token */
  assert_int_equal(rig_fake()->calls("C_OpenSession"), 0);
  p11s_key_release(key);
  rig_keys_free(keys);
}

static void pinned_garbage_is_refused(void **state)
{
  struct rig_keys *keys = rig_keys_new(1);
  struct p11s_keyref *ref = rig_pinned_ref("standing", RIG_PIN);
  struct p11s_key *key = NULL;
  struct p11s_error e;

  (void)state;
  ref->public_key_len--;
  assert_int_equal(p11s_key_table_get(keys->table, ref, &key, &e), P11S_ERR_KEY_TYPE);
  assert_non_null(strstr(e.text, "PublicKey"));
  ref->public_key_len++;
  ref->algorithm = 14;
  assert_int_equal(p11s_key_table_get(keys->table, ref, &key, &e), P11S_ERR_KEY_TYPE);
  ref->algorithm = 8;
  assert_int_equal(p11s_key_table_get(keys->table, ref, &key, &e), P11S_ERR_KEY_TYPE);
  assert_null(key);
  p11s_keyref_free(ref);
  rig_keys_free(keys);
}

static void pinned_key_resolves_without_the_token(void **state)
{
  struct rig_keys *keys = rig_keys_new(1);
  struct p11s_key *key = rig_intern(keys->table, rig_pinned_ref("standing", RIG_PIN));
  const struct p11s_pubkey *public_key = NULL;

  (void)state;
  assert_int_equal(p11s_key_resolve(key, rig_wait(0), &public_key, NULL), P11S_OK);
  assert_ptr_equal(public_key, p11s_key_public(key));
  assert_int_equal(rig_fake()->calls("C_OpenSession"), 0);
  p11s_key_release(key);
  rig_keys_free(keys);
}

static void resolves_from_the_token(void **state)
{
  struct rig_keys *keys = rig_keys_new(1);
  struct p11s_key *key = rig_key_on(keys, "standing", RIG_PIN);
  const struct p11s_pubkey *public_key = NULL, *again = NULL;
  struct p11s_error e;
  unsigned calls;

  (void)state;
  assert_null(p11s_key_public(key));
  if (p11s_key_resolve(key, rig_wait(rig_later()), &public_key, &e) != P11S_OK)
    fail_msg("%s", e.text);
  assert_ptr_equal(public_key, p11s_key_public(key));
  assert_public(key, "standing");
  calls = rig_fake()->calls("C_FindObjectsInit");
  assert_int_equal(p11s_key_resolve(key, rig_wait(0), &again, &e), P11S_OK);
  assert_ptr_equal(again, public_key);
  assert_int_equal(rig_fake()->calls("C_FindObjectsInit"), calls);
  p11s_key_release(key);
  rig_keys_free(keys);
}

static void *resolve_in_thread(void *arg)
{
  const struct p11s_pubkey *public_key = NULL;

  (void)p11s_key_resolve(arg, rig_wait(rig_later()), &public_key, NULL);
  return (void *)(intptr_t)public_key;
}

/* All ask while nothing is known yet; the token is asked once. */
static void many_ask_one_job_answers(void **state)
{
  struct rig_keys *keys = rig_keys_new(4);
  struct p11s_key *key = rig_key_on(keys, "standing", RIG_PIN);
  pthread_t threads[THREADS];

  (void)state;
  rig_fake()->block("C_Login", 1, FAKEP11_EVER);
  for (int i = 0; i < THREADS; i++)
    assert_int_equal(pthread_create(&threads[i], NULL, resolve_in_thread, key), 0);
  assert_true(rig_fake()->wait_blocked("C_Login", 1));
  rig_fake()->release("C_Login");
  for (int i = 0; i < THREADS; i++) {
    void *seen;

    assert_int_equal(pthread_join(threads[i], &seen), 0);
    assert_ptr_equal(seen, p11s_key_public(key));
    assert_non_null(seen);
  }
  assert_int_equal(rig_fake()->calls("C_Sign"), 1);
  p11s_key_release(key);
  rig_keys_free(keys);
}

static void resolve_may_take_too_long(void **state)
{
  struct rig_keys *keys = rig_keys_new(4);
  struct p11s_key *key = rig_key_on(keys, "standing", RIG_PIN);
  const struct p11s_pubkey *public_key = NULL;
  struct p11s_error e;

  (void)state;
  rig_fake()->block("C_Login", 1, FAKEP11_EVER);
  assert_int_equal(p11s_key_resolve(key, rig_wait(p11s_now_ms()), &public_key, &e),
                   P11S_ERR_TIMEOUT);
  assert_null(public_key);
  assert_non_null(strstr(e.text, "'standing'"));
  assert_non_null(strstr(e.text, "'" RIG_TOKEN "'"));
  assert_non_null(strstr(e.text, RIG_MODULE));
  assert_null(strstr(e.text, RIG_PIN));
  assert_true(rig_fake()->wait_blocked("C_Login", 1));
  /* whoever comes next joins the one under way */
  assert_int_equal(p11s_key_resolve(key, rig_wait(p11s_now_ms()), &public_key, NULL),
                   P11S_ERR_TIMEOUT);
  rig_fake()->release("C_Login");
  assert_int_equal(p11s_key_resolve(key, rig_wait(rig_later()), &public_key, NULL), P11S_OK);
  assert_non_null(public_key);
  assert_int_equal(rig_fake()->calls("C_OpenSession"), 1);
  p11s_key_release(key);
  rig_keys_free(keys);
}

/* A failure is not remembered: the fault may be gone. */
static void missing_key_may_come(void **state)
{
  struct rig_keys *keys = rig_keys_new(1);
  struct p11s_key *key = rig_key_on(keys, "later", RIG_PIN);
  const struct p11s_pubkey *public_key = NULL;
  struct p11s_error e;

  (void)state;
  rig_event_reset(&finished);
  assert_int_equal(p11s_key_resolve(key, rig_wait(rig_later()), &public_key, &e), P11S_ERR_NO_KEY);
  rig_event_wait(&finished, 1);                  /* who asks before that gets the same answer */
  assert_non_null(strstr(e.text, "'standing'")); /* what there is */
  assert_null(p11s_key_public(key));
  rig_make_key("later");
  assert_int_equal(p11s_key_resolve(key, rig_wait(rig_later()), &public_key, &e), P11S_OK);
  assert_public(key, "later");
  rig_remove_key("later");
  p11s_key_release(key);
  rig_keys_free(keys);
}

static void check_always_asks_the_token(void **state)
{
  struct rig_keys *keys = rig_keys_new(1);
  struct p11s_key *key = rig_intern(keys->table, rig_pinned_ref("standing", RIG_PIN));
  struct p11s_error e;

  (void)state;
  for (unsigned i = 1; i <= 3; i++) {
    if (p11s_key_check(key, rig_later(), &e) != P11S_OK)
      fail_msg("%s", e.text);
    assert_int_equal(rig_fake()->calls("C_Sign"), i);
  }
  assert_true(rig_fake()->calls("C_FindObjectsInit") >= 3);
  rig_fake()->corrupt(1, 2);
  assert_int_equal(p11s_key_check(key, rig_later(), &e), P11S_ERR_SIGNATURE);
  assert_int_equal(p11s_key_check(key, rig_later(), &e), P11S_OK);
  p11s_key_release(key);
  rig_keys_free(keys);
}

static void check_finds_another_key(void **state)
{
  struct rig_keys *keys = rig_keys_new(1);
  struct p11s_key *pinned, *seen;
  struct p11s_error e;

  (void)state;
  rig_make_key("moving");
  pinned = rig_intern(keys->table, rig_pinned_ref("moving", RIG_PIN));
  seen = rig_key_on(keys, "moving", RIG_PIN);
  assert_int_equal(p11s_key_check(pinned, rig_later(), &e), P11S_OK);
  assert_int_equal(p11s_key_check(seen, rig_later(), &e), P11S_OK);
  rig_remove_key("moving");
  rig_make_key("moving");
  assert_int_equal(p11s_key_check(pinned, rig_later(), &e), P11S_ERR_KEY_MISMATCH);
  assert_non_null(strstr(e.text, "pinned"));
  assert_int_equal(p11s_key_check(seen, rig_later(), &e), P11S_ERR_KEY_MISMATCH);
  assert_int_equal(rig_fake()->calls("C_Sign"), 2); /* it is not even asked to sign */
  rig_remove_key("moving");
  assert_int_equal(p11s_key_check(pinned, rig_later(), &e), P11S_ERR_NO_KEY);
  p11s_key_release(pinned);
  p11s_key_release(seen);
  rig_keys_free(keys);
}

/* Two pairs of one label and one id. The public key that is known tells which is meant. */
static void of_two_pairs_the_pinned_one(void **state)
{
  struct rig_keys *keys = rig_keys_new(1);
  struct p11s_key *pinned, *unpinned;
  struct p11s_error e;

  (void)state;
  rig_make_key("twin");
  pinned = rig_intern(keys->table, rig_pinned_ref("twin", RIG_PIN));
  rig_make_key("twin");
  unpinned = rig_key_on(keys, "twin", RIG_PIN);
  assert_int_equal(p11s_key_check(unpinned, rig_later(), &e), P11S_ERR_AMBIGUOUS);
  assert_non_null(strstr(e.text, " or 'pkcs11:object=twin;id=%"));
  rig_set_id("twin", 0xab);
  assert_int_equal(p11s_key_check(unpinned, rig_later(), &e), P11S_ERR_AMBIGUOUS);
  assert_non_null(strstr(e.text, " --login --type privkey --id ab --set-id "));
  assert_null(p11s_key_public(unpinned));
  for (unsigned i = 0; i < 2; i++)
    if (p11s_key_check(pinned, rig_later(), &e) != P11S_OK)
      fail_msg("%s", e.text);
  rig_remove_key("twin");
  rig_make_key("twin");
  rig_make_key("twin");
  assert_int_equal(p11s_key_check(pinned, rig_later(), &e), P11S_ERR_KEY_MISMATCH);
  assert_non_null(strstr(e.text, "2 private keys 'twin'"));
  rig_remove_key("twin");
  p11s_key_release(pinned);
  p11s_key_release(unpinned);
  rig_keys_free(keys);
}

/* The same key imported twice is one key. */
static void identical_twins(void **state)
{
  struct rig_keys *keys = rig_keys_new(1);
  struct p11s_key *pinned, *unpinned;
  struct p11s_error e;

  (void)state;
  rig_make_key("twin");
  pinned = rig_intern(keys->table, rig_pinned_ref("twin", RIG_PIN));
  rig_copy_key("twin");
  assert_int_equal(rig_objects("twin"), 4);
  unpinned = rig_key_on(keys, "twin", RIG_PIN);
  if (p11s_key_check(pinned, rig_later(), &e) != P11S_OK ||
      p11s_key_check(unpinned, rig_later(), &e) != P11S_OK)
    fail_msg("%s", e.text);
  assert_true(p11s_pubkey_equal(p11s_key_public(pinned), p11s_key_public(unpinned)));
  rig_remove_key("twin");
  p11s_key_release(pinned);
  p11s_key_release(unpinned);
  rig_keys_free(keys);
}

/* A public key that somebody left there under the same label and id. */
static void of_two_public_keys_the_one_that_verifies(void **state)
{
  struct rig_keys *keys = rig_keys_new(1);
  struct p11s_key *key;
  struct p11s_pubkey *left;
  struct p11s_error e;

  (void)state;
  for (unsigned i = 0; i < 2; i++) {
    rig_make_key("twin");
    left = rig_public("twin");
    rig_remove_private("twin");
    rig_make_key("twin");
    rig_set_id("twin", 0xab);
    key = rig_key_on(keys, "twin", RIG_PIN);
    if (p11s_key_check(key, rig_later(), &e) != P11S_OK)
      fail_msg("%s", e.text);
    assert_false(p11s_pubkey_equal(p11s_key_public(key), left));
    rig_remove_key("twin");
    p11s_pubkey_free(left);
    p11s_key_table_forget(keys->table, key);
    p11s_key_release(key);
  }
  rig_keys_free(keys);
}

/* Without a public key object the pinned one serves, if the signature proves it. */
static void public_half_may_be_missing(void **state)
{
  struct rig_keys *keys = rig_keys_new(1);
  struct p11s_key *pinned, *unpinned, *wrong;
  struct p11s_keyref *ref;
  struct p11s_error e;

  (void)state;
  rig_make_key("half");
  pinned = rig_intern(keys->table, rig_pinned_ref("half", RIG_PIN));
  ref = rig_pinned_ref("standing", RIG_PIN);
  free(ref->label);
  ref->label = strdup("half");
  wrong = rig_intern(keys->table, ref);
  unpinned = rig_key_on(keys, "half", RIG_PIN);
  rig_remove_public("half");
  if (p11s_key_check(pinned, rig_later(), &e) != P11S_OK)
    fail_msg("%s", e.text);
  assert_int_equal(p11s_key_check(unpinned, rig_later(), &e), P11S_ERR_NO_KEY);
  assert_int_equal(p11s_key_check(wrong, rig_later(), &e), P11S_ERR_SIGNATURE);
  rig_remove_key("half");
  p11s_key_release(pinned);
  p11s_key_release(unpinned);
  p11s_key_release(wrong);
  rig_keys_free(keys);
}

/* -- a token that refuses a mechanism it lists */

static struct p11s_key *rsa_key(struct rig_keys *keys, const char *label)
{
  struct p11s_keyref *ref = rig_ref(label, RIG_PIN);
  struct p11s_key *key;
  struct p11s_error e;

  ref->algorithm = 8;
  key = rig_intern(keys->table, ref);
  if (p11s_key_generate(key, 1024, rig_later(), &e) != P11S_OK)
    fail_msg("%s", e.text);
  return key;
}

static void drop_rsa_key(struct p11s_key *key)
{
  assert_int_equal(p11s_key_undo_generate(key, rig_later(), NULL), P11S_OK);
  p11s_key_release(key);
}

static void tries(struct p11s_key *key, unsigned inits)
{
  unsigned before = rig_fake()->calls("C_SignInit");
  struct p11s_error e;

  if (p11s_key_try(key, 0, rig_later(), &e) != P11S_OK)
    fail_msg("%s", e.text);
  assert_int_equal(rig_fake()->calls("C_SignInit") - before, inits);
}

/* inits: C_SignInit calls of the signature that finds it refused. */
static void refused_mechanism(const char *function, CK_RV rv, unsigned inits)
{
  struct rig_keys *keys = rig_keys_new(1);
  struct p11s_key *key = rsa_key(keys, "refused 1"), *other = rsa_key(keys, "refused 2");

  tries(key, 1);
  rig_fake()->refuse_mechanism(function, CKM_RSA_PKCS, rv);
  tries(key, inits);
  tries(key, 1);
  tries(other, 1); /* it is the token's */
  /* The other way round: a policy may change. */
  rig_fake()->refuse_mechanism(function, CKM_SHA256_RSA_PKCS, rv);
  tries(key, inits);
  tries(other, 1);
  rig_fake()->reset();
  drop_rsa_key(other);
  drop_rsa_key(key);
  rig_keys_free(keys);
}

static void a_mechanism_refused_at_once(void **state)
{
  (void)state;
  refused_mechanism("C_SignInit", CKR_MECHANISM_INVALID, 2);
}

static void a_mechanism_refused_late(void **state)
{
  (void)state;
  refused_mechanism("C_Sign", CKR_FUNCTION_FAILED,
                    3); /* it may be the session: a fresh one first */
}

static void both_mechanisms_refused(void **state)
{
  struct rig_keys *keys = rig_keys_new(1);
  struct p11s_key *key = rsa_key(keys, "refused");
  struct p11s_error e;

  (void)state;
  rig_fake()->refuse("C_SignInit", 1, FAKEP11_EVER, CKR_MECHANISM_INVALID);
  assert_int_equal(p11s_key_try(key, 0, rig_later(), &e), P11S_ERR_TOKEN);
  assert_non_null(strstr(e.text, "CKR_MECHANISM_INVALID for CKM_RSA_PKCS;"));
  assert_non_null(strstr(e.text, "CKR_MECHANISM_INVALID for CKM_SHA256_RSA_PKCS)"));
  assert_int_equal(rig_fake()->calls("C_SignInit"), 2);
  rig_fake()->reset();
  tries(key, 1);
  drop_rsa_key(key);
  rig_keys_free(keys);
}

/* A token that lost its way says nothing of a mechanism. */
static void an_error_that_is_no_refusal(void **state)
{
  struct rig_keys *keys = rig_keys_new(1);
  struct p11s_key *key = rsa_key(keys, "not refused");

  (void)state;
  rig_fake()->refuse("C_Sign", 1, FAKEP11_EVER, CKR_DEVICE_ERROR);
  assert_int_equal(p11s_key_try(key, 0, rig_later(), NULL), P11S_ERR_TOKEN);
  assert_int_equal(rig_fake()->calls("C_Sign"), 2); /* the second on a fresh session */
  rig_fake()->reset();
  drop_rsa_key(key);
  rig_keys_free(keys);
}

/* -- a token that wants no login by what it says, and hides private keys until there is one */

static void a_key_behind_a_login(void **state)
{
  struct rig_keys *keys = rig_keys_new(2);
  struct p11s_key *key = rig_key_on(keys, "standing", RIG_PIN);
  struct p11s_key *without = rig_key_on(keys, "standing", NULL);
  struct p11s_key *missing = rig_key_on(keys, "missing", RIG_PIN);
  struct p11s_key *wrong = rig_key_on(keys, "standing", RIG_WRONG_PIN);
  struct p11s_error e;

  (void)state;
  rig_fake()->token_info(0, CKF_LOGIN_REQUIRED, 0);
  assert_int_equal(p11s_key_check(without, rig_later(), &e), P11S_ERR_NO_KEY);
  assert_int_equal(rig_fake()->calls("C_Login"), 0); /* no PIN at hand */
  if (p11s_key_check(key, rig_later(), &e) != P11S_OK)
    fail_msg("%s", e.text);
  assert_public(key, "standing");
  for (int i = 0; i < 3; i++) {
    tries(key, 1);
    assert_int_equal(p11s_key_check(missing, rig_later(), &e), P11S_ERR_NO_KEY);
  }
  assert_int_equal(rig_fake()->calls("C_Login"), 1);
  /* What one reference unlocked is not for another one. */
  assert_int_equal(p11s_key_check(wrong, rig_later(), &e), P11S_ERR_PIN_REFUSED);
  assert_int_equal(p11s_key_check(without, rig_later(), &e), P11S_ERR_NO_PIN);
  assert_int_equal(rig_fake()->calls("C_Login"), 1);
  p11s_key_release(wrong);
  p11s_key_release(missing);
  p11s_key_release(without);
  p11s_key_release(key);
  rig_keys_free(keys);
}

static void a_wrong_pin_for_a_key_behind_a_login(void **state)
{
  struct rig_keys *keys = rig_keys_new(2);
  struct p11s_key *key = rig_key_on(keys, "standing", RIG_WRONG_PIN);
  struct p11s_error e;

  (void)state;
  rig_fake()->token_info(0, CKF_LOGIN_REQUIRED, 0);
  for (int i = 0; i < 4; i++) {
    assert_int_equal(p11s_key_check(key, rig_later(), &e), P11S_ERR_PIN_REFUSED);
    assert_non_null(strstr(e.text, "no private key 'standing'"));
    assert_non_null(strstr(e.text, "after a login: token 'rig'"));
  }
  assert_int_equal(rig_fake()->calls("C_Login"), 1);
  p11s_key_release(key);
  rig_keys_free(keys);
}

static void generates_behind_a_login(void **state)
{
  struct rig_keys *keys = rig_keys_new(1);
  struct p11s_key *key = rig_key_on(keys, "behind", RIG_PIN);
  struct p11s_error e;

  (void)state;
  rig_fake()->token_info(0, CKF_LOGIN_REQUIRED, 0);
  if (p11s_key_generate(key, 0, rig_later(), &e) != P11S_OK)
    fail_msg("%s", e.text);
  assert_int_equal(p11s_key_check(key, rig_later(), NULL), P11S_OK);
  rig_fake()->token_info(0, 0, 0);
  assert_int_equal(p11s_key_undo_generate(key, rig_later(), NULL), P11S_OK);
  assert_int_equal(rig_objects("behind"), 0);
  p11s_key_release(key);
  rig_keys_free(keys);
}

static void generates_and_undoes(void **state)
{
  struct rig_keys *keys = rig_keys_new(1);
  struct p11s_key *key = rig_key_on(keys, "made", RIG_PIN), *second, *pinned;
  unsigned before = rig_objects(NULL);
  struct p11s_error e;

  (void)state;
  assert_int_equal(p11s_key_undo_generate(key, rig_later(), &e), P11S_ERR_NO_KEY);
  if (p11s_key_generate(key, 0, rig_later(), &e) != P11S_OK)
    fail_msg("%s", e.text);
  assert_int_equal(rig_objects("made"), 2);
  assert_public(key, "made");
  assert_int_equal(p11s_key_check(key, rig_later(), &e), P11S_OK);
  assert_int_equal(p11s_key_generate(key, 0, rig_later(), &e), P11S_ERR_EXISTS);
  assert_int_equal(rig_objects("made"), 2);
  /* a reference that pins a key names one that is there */
  pinned = rig_intern(keys->table, rig_pinned_ref("made", RIG_PIN));
  assert_int_equal(p11s_key_generate(pinned, 0, rig_later(), &e), P11S_ERR_EXISTS);
  /* only who made it may undo it */
  assert_int_equal(p11s_key_undo_generate(pinned, rig_later(), &e), P11S_ERR_NO_KEY);
  second = rig_key_on(keys, "standing", RIG_PIN);
  assert_int_equal(p11s_key_undo_generate(second, rig_later(), &e), P11S_ERR_NO_KEY);
  assert_int_equal(p11s_key_undo_generate(key, rig_later(), &e), P11S_OK);
  assert_int_equal(rig_objects("made"), 0);
  assert_int_equal(rig_objects(NULL), before);
  assert_int_equal(p11s_key_undo_generate(key, rig_later(), &e), P11S_ERR_NO_KEY);
  p11s_key_release(key);
  p11s_key_release(second);
  p11s_key_release(pinned);
  rig_keys_free(keys);
}

/* A search may give what it was not asked for: only the new pair is removed. */
static void undoing_spares_the_other_keys(void **state)
{
  struct rig_keys *keys = rig_keys_new(1);
  struct p11s_key *key = rig_key_on(keys, "made", RIG_PIN);
  unsigned before = rig_objects(NULL);
  struct p11s_error e;

  (void)state;
  rig_fake()->search_loosely();
  if (p11s_key_generate(key, 0, rig_later(), &e) != P11S_OK)
    fail_msg("%s", e.text);
  assert_int_equal(p11s_key_undo_generate(key, rig_later(), &e), P11S_OK);
  assert_int_equal(rig_objects("made"), 0);
  assert_int_equal(rig_objects(NULL), before);
  p11s_key_release(key);
  rig_keys_free(keys);
}

/* Not even where the token has no key of that name: a new one could not be the pinned one. */
static void generate_refuses_a_pinned_reference(void **state)
{
  struct rig_keys *keys = rig_keys_new(1);
  struct p11s_keyref *ref = rig_pinned_ref("standing", RIG_PIN);
  struct p11s_key *key;
  struct p11s_error e;

  (void)state;
  free(ref->label);
  ref->label = strdup("unmade");
  key = rig_intern(keys->table, ref);
  assert_int_equal(p11s_key_generate(key, 0, rig_later(), &e), P11S_ERR_EXISTS);
  assert_int_equal(rig_fake()->calls("C_GenerateKeyPair"), 0);
  p11s_key_release(key);
  rig_keys_free(keys);
}

static void generate_refuses_a_wrong_size(void **state)
{
  struct rig_keys *keys = rig_keys_new(1);
  struct p11s_key *key = rig_key_on(keys, "odd", RIG_PIN);
  struct p11s_error e;

  (void)state;
  assert_int_equal(p11s_key_generate(key, 384, rig_later(), &e), P11S_ERR_KEY_TYPE);
  assert_int_equal(rig_objects("odd"), 0);
  p11s_key_release(key);
  rig_keys_free(keys);
}

/* Whoever stopped waiting has no use for the pair, and cannot undo it. */
static void late_pair_does_not_stay(void **state)
{
  struct rig_keys *keys = rig_keys_new(1);
  struct p11s_key *key = rig_key_on(keys, "late", RIG_PIN), *again;
  struct p11s_error e;

  (void)state;
  rig_fake()->block("C_GenerateKeyPair", 1, FAKEP11_EVER);
  wait_when_blocked = "C_GenerateKeyPair";
  assert_int_equal(p11s_key_generate(key, 0, p11s_now_ms(), &e), P11S_ERR_TIMEOUT);
  /* for a program that ends before the token does */
  assert_non_null(strstr(e.text, "may have made the key pair; this removes it: for t in "));
  wait_when_blocked = NULL;
  rig_fake()->release("C_GenerateKeyPair");
  /* the one worker takes this up when the other job is done */
  again = rig_key_on(keys, "standing", RIG_PIN);
  assert_int_equal(p11s_key_check(again, rig_later(), &e), P11S_OK);
  p11s_key_release(again);
  assert_int_equal(rig_objects("late"), 0);
  /* and nothing remembers it */
  again = rig_key_on(keys, "late", RIG_PIN);
  assert_null(p11s_key_public(again));
  if (p11s_key_generate(again, 0, rig_later(), &e) != P11S_OK)
    fail_msg("%s", e.text);
  assert_int_equal(p11s_key_check(again, rig_later(), &e), P11S_OK);
  assert_int_equal(p11s_key_undo_generate(again, rig_later(), &e), P11S_OK);
  p11s_key_release(again);
  p11s_key_release(key);
  rig_keys_free(keys);
}

/* One that nobody waits for when its turn comes is not made at all. */
static void late_turn_makes_no_pair(void **state)
{
  struct rig_keys *keys = rig_keys_new(1);
  struct p11s_key *busy = rig_key_on(keys, "standing", RIG_PIN);
  struct p11s_key *key = rig_key_on(keys, "late", RIG_PIN);
  struct p11s_error e;

  (void)state;
  rig_fake()->block("C_Sign", 1, FAKEP11_EVER);
  wait_when_blocked = "C_Sign";
  assert_int_equal(p11s_key_check(busy, p11s_now_ms(), &e), P11S_ERR_TIMEOUT);
  assert_int_equal(p11s_key_generate(key, 0, p11s_now_ms(), &e), P11S_ERR_TIMEOUT);
  assert_null(strstr(e.text, "pkcs11-tool"));
  wait_when_blocked = NULL;
  rig_fake()->release("C_Sign");
  assert_int_equal(p11s_key_check(busy, rig_later(), &e), P11S_OK);
  assert_int_equal(rig_fake()->calls("C_GenerateKeyPair"), 0);
  p11s_key_release(busy);
  p11s_key_release(key);
  rig_keys_free(keys);
}

static int setup(void **state)
{
  if (rig_setup(state) != 0)
    return -1;
  rig_make_key("standing");
  return 0;
}

int main(void)
{
  static const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup(copies_its_reference, rig_reset),
      cmocka_unit_test_setup(pinned_garbage_is_refused, rig_reset),
      cmocka_unit_test_setup(pinned_key_resolves_without_the_token, rig_reset),
      cmocka_unit_test_setup(resolves_from_the_token, rig_reset),
      cmocka_unit_test_setup(many_ask_one_job_answers, rig_reset),
      cmocka_unit_test_setup(resolve_may_take_too_long, rig_reset),
      cmocka_unit_test_setup(missing_key_may_come, rig_reset),
      cmocka_unit_test_setup(check_always_asks_the_token, rig_reset),
      cmocka_unit_test_setup(check_finds_another_key, rig_reset),
      cmocka_unit_test_setup(of_two_pairs_the_pinned_one, rig_reset),
      cmocka_unit_test_setup(identical_twins, rig_reset),
      cmocka_unit_test_setup(of_two_public_keys_the_one_that_verifies, rig_reset),
      cmocka_unit_test_setup(public_half_may_be_missing, rig_reset),
      cmocka_unit_test_setup(a_mechanism_refused_at_once, rig_reset),
      cmocka_unit_test_setup(a_mechanism_refused_late, rig_reset),
      cmocka_unit_test_setup(both_mechanisms_refused, rig_reset),
      cmocka_unit_test_setup(an_error_that_is_no_refusal, rig_reset),
      cmocka_unit_test_setup(a_key_behind_a_login, rig_reset),
      cmocka_unit_test_setup(a_wrong_pin_for_a_key_behind_a_login, rig_reset),
      cmocka_unit_test_setup(generates_behind_a_login, rig_reset),
      cmocka_unit_test_setup(generates_and_undoes, rig_reset),
      cmocka_unit_test_setup(undoing_spares_the_other_keys, rig_reset),
      cmocka_unit_test_setup(generate_refuses_a_pinned_reference, rig_reset),
      cmocka_unit_test_setup(generate_refuses_a_wrong_size, rig_reset),
      cmocka_unit_test_setup(late_pair_does_not_stay, rig_reset),
      cmocka_unit_test_setup(late_turn_makes_no_pair, rig_reset),
  };

  return cmocka_run_group_tests_name("key", tests, setup, rig_teardown);
}
