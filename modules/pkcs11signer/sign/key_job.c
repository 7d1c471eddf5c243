/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Asking a worker to do something with a key, and waiting for it (sign/key.h). */
#include "sign/key_internal.h"
#include "base/lock.h"
#include "sign/key_table.h"

#include <stdlib.h>
#include <string.h>

/* Whose a new key pair is: decided once, by the worker that made it or the caller that gave up. */
enum fate { UNDECIDED, WANTED, ABANDONED };

struct key_job {
  struct p11s_job job; /* first member */
  struct p11s_key *key;
  struct p11s_keypair pair; /* to be made, or to be removed */
  size_t message_len;       /* of the message to be tried */
  atomic_int fate;
  void (*ended)(enum p11s_err result, void *arg); /* of p11s_key_prepare() */
  void *ended_arg;
};

/* false: the other side was quicker. */
static bool decide(struct key_job *j, enum fate fate)
{
  int expected = UNDECIDED;

  return atomic_compare_exchange_strong(&j->fate, &expected, fate);
}

/* Has the token sign a message of that length, a short one for 0, and verifies the signature. */
static enum p11s_err sign_test(struct p11s_key *key, struct p11s_work *work, size_t message_len,
                               struct p11s_error *e)
{
  static const unsigned char is_this_the_key[] = "pkcs11signer: is this the key?";
  unsigned char *message = message_len > 0 ? calloc(1, message_len) : NULL;
  struct p11s_signature signature;
  struct p11s_signing signing = {.message = message != NULL ? message : is_this_the_key,
                                 .len = message != NULL ? message_len : sizeof is_this_the_key - 1,
                                 .signature = &signature};
  enum p11s_err result = message_len > 0 && message == NULL
                             ? p11s_error_no_memory(e)
                             : p11s_key_sign_work(key, work, &signing, true, e);

  free(message);
  if (result == P11S_OK && message_len == 0)
    p11s_key_remember(key);
  return result;
}

static enum p11s_err run_check(struct p11s_job *job, struct p11s_work *work, struct p11s_error *e)
{
  struct p11s_key *key = ((struct key_job *)job)->key;

  p11s_lock(&key->lock);
  key->have_handle = false; /* whoever asks for a check wants to know what is there now */
  p11s_unlock(&key->lock);
  return sign_test(key, work, 0, e);
}

static enum p11s_err run_try(struct p11s_job *job, struct p11s_work *work, struct p11s_error *e)
{
  struct key_job *j = (struct key_job *)job;

  return sign_test(j->key, work, j->message_len, e);
}

/* A test message is signed unless the public key is pinned, or proven by an earlier process. */
static enum p11s_err run_resolve(struct p11s_job *job, struct p11s_work *work, struct p11s_error *e)
{
  struct p11s_key *key = ((struct key_job *)job)->key;
  struct p11s_grip grip;
  enum p11s_err result = p11s_key_take_grip(key, work, &grip, e);

  if (result != P11S_OK || key->pinned || p11s_key_is_kept(key))
    return result;
  return sign_test(key, work, 0, e);
}

static enum p11s_err run_generate(struct p11s_job *job, struct p11s_work *work,
                                  struct p11s_error *e)
{
  struct key_job *j = (struct key_job *)job;
  enum p11s_err result = p11s_key_generate_work(j->key, &j->pair, work, e);

  if (result != P11S_OK || decide(j, WANTED))
    return result;
  p11s_key_table_forget(j->key->home.table, j->key); /* it has a public key that is no more */
  return p11s_key_undo_work(j->key, &j->pair, work, e);
}

static enum p11s_err run_undo(struct p11s_job *job, struct p11s_work *work, struct p11s_error *e)
{
  struct key_job *j = (struct key_job *)job;

  return p11s_key_undo_work(j->key, &j->pair, work, e);
}

static void destroy(struct p11s_job *job)
{
  struct key_job *j = (struct key_job *)job;
  struct p11s_key *key = j->key;

  p11s_job_fini(job);
  free(j);
  p11s_key_release(key);
}

/* The next one who asks starts a new job: it may have failed, and the fault may be gone. */
static void resolve_finished(struct p11s_job *job)
{
  struct p11s_key *key = ((struct key_job *)job)->key;
  bool ours;

  p11s_lock(&key->lock);
  ours = key->resolving == job;
  if (ours)
    key->resolving = NULL;
  p11s_unlock(&key->lock);
  if (ours)
    p11s_job_release(job);
}

static void prepare_finished(struct p11s_job *job)
{
  struct key_job *j = (struct key_job *)job;

  j->ended(job->error.code, j->ended_arg);
}

static const struct p11s_job_ops prepare_ops = {run_resolve, prepare_finished, destroy, false,
                                                true};
static const struct p11s_job_ops resolve_ops = {run_resolve, resolve_finished, destroy, false,
                                                false};
static const struct p11s_job_ops check_ops = {run_check, NULL, destroy, false, false};
static const struct p11s_job_ops try_ops = {run_try, NULL, destroy, false, false};
static const struct p11s_job_ops generate_ops = {run_generate, NULL, destroy, true, false};
static const struct p11s_job_ops undo_ops = {run_undo, NULL, destroy, true, false};

static struct p11s_job *make_job(struct p11s_key *key, const struct p11s_job_ops *ops)
{
  struct key_job *j = calloc(1, sizeof *j);

  if (j == NULL)
    return NULL;
  p11s_job_init(&j->job, ops, p11s_key_pin(key));
  j->key = p11s_key_acquire(key);
  j->job.signs = ops == &try_ops;
  atomic_init(&j->fate, UNDECIDED);
  return &j->job;
}

/* Takes over the job, NULL: no memory. */
static enum p11s_err run_on_token(struct p11s_job *job, uint64_t deadline_ms, struct p11s_error *e)
{
  struct key_job *j = (struct key_job *)job;
  enum p11s_err result;

  if (job == NULL)
    return p11s_error_no_memory(e);
  result = p11s_token_run(j->key->home.token, job, deadline_ms, e);
  if (result == P11S_ERR_TIMEOUT && !decide(j, ABANDONED))
    result = P11S_OK; /* made at the last moment */
  if (result != P11S_OK) {
    if (!p11s_keypair_cancel(&j->pair))
      p11s_keypair_say_left(&j->pair, e);
    p11s_key_error_prefix(j->key, e);
  }
  p11s_job_release(job);
  return result;
}

/* The resolve job under way, or a new one; a reference of it is the caller's. */
static struct p11s_job *join_resolve(struct p11s_key *key, bool *ret_new)
{
  struct p11s_job *fresh = make_job(key, &resolve_ops);
  struct p11s_job *job;

  if (fresh == NULL)
    return NULL;
  p11s_lock(&key->lock);
  *ret_new = key->resolving == NULL;
  if (*ret_new)
    key->resolving = p11s_job_acquire(fresh);
  job = p11s_job_acquire(key->resolving);
  p11s_unlock(&key->lock);
  p11s_job_release(fresh);
  return job;
}

/* The token is away, stuck, or too slow for this caller. */
static bool cannot_be_asked(struct p11s_key *key, enum p11s_err result)
{
  struct p11s_token_stats stats;

  if (result == P11S_ERR_TIMEOUT)
    return true;
  p11s_token_get_stats(key->home.token, &stats);
  return stats.state == P11S_TOKEN_AWAY || stats.state == P11S_TOKEN_STUCK;
}

enum p11s_err p11s_key_resolve(struct p11s_key *key, struct p11s_wait wait,
                               const struct p11s_pubkey **ret_public, struct p11s_error *e)
{
  struct p11s_error error = {0};
  struct p11s_job *job;
  enum p11s_err result;
  bool is_new;

  if (p11s_key_public(key) == NULL) {
    job = join_resolve(key, &is_new);
    if (job == NULL)
      return p11s_error_no_memory(e);
    result = p11s_token_await(key->home.token, job, is_new, wait, &error);
    p11s_job_release(job);
    if (result != P11S_OK && !(cannot_be_asked(key, result) && p11s_key_recall(key, &error))) {
      (void)p11s_error_set(e, result, "%s", error.text);
      p11s_key_error_prefix(key, e);
      return result;
    }
  }
  *ret_public = p11s_key_public(key);
  return P11S_OK;
}

void p11s_key_prepare(struct p11s_key *key, void (*ended)(enum p11s_err result, void *arg),
                      void *arg)
{
  struct p11s_job *job = make_job(key, &prepare_ops);
  struct key_job *j = (struct key_job *)job;
  struct p11s_error error = {0};

  if (job == NULL) {
    ended(P11S_ERR_NOMEM, arg);
    return;
  }
  j->ended = ended;
  j->ended_arg = arg;
  job->background = true;
  if (p11s_token_submit(key->home.token, job, &error) != P11S_OK)
    p11s_job_finish(job, &error);
  p11s_job_release(job);
}

enum p11s_err p11s_key_check(struct p11s_key *key, uint64_t deadline_ms, struct p11s_error *e)
{
  return run_on_token(make_job(key, &check_ops), deadline_ms, e);
}

enum p11s_err p11s_key_try(struct p11s_key *key, size_t message_len, uint64_t deadline_ms,
                           struct p11s_error *e)
{
  struct p11s_job *job = make_job(key, &try_ops);

  if (job != NULL)
    ((struct key_job *)job)->message_len = message_len;
  return run_on_token(job, deadline_ms, e);
}

enum p11s_err p11s_key_generate(struct p11s_key *key, unsigned bits, uint64_t deadline_ms,
                                struct p11s_error *e)
{
  struct p11s_job *job;
  enum p11s_err result;

  if (key->pinned)
    return p11s_error_set(e, P11S_ERR_EXISTS,
                          "the reference pins the public key of an existing key, which a new one "
                          "cannot be; make and assign the new key with `pkcs11signer generate`, "
                          "then remove this one");
  job = make_job(key, &generate_ops);
  result = job == NULL
               ? P11S_OK
               : p11s_keypair_init(&((struct key_job *)job)->pair, key->ref->label, bits, e);
  if (result != P11S_OK) {
    p11s_job_release(job);
    return result;
  }
  return run_on_token(job, deadline_ms, e);
}

enum p11s_err p11s_key_undo_generate(struct p11s_key *key, uint64_t deadline_ms,
                                     struct p11s_error *e)
{
  struct p11s_job *job = make_job(key, &undo_ops);
  bool ours = true;

  if (job != NULL) {
    p11s_lock(&key->lock);
    ours = atomic_load(&key->pair.state) != P11S_PAIR_NONE;
    p11s_keypair_copy(&((struct key_job *)job)->pair, &key->pair);
    p11s_unlock(&key->lock);
  }
  if (!ours) {
    p11s_job_release(job);
    return p11s_error_set(e, P11S_ERR_NO_KEY, "no key pair was made here");
  }
  return run_on_token(job, deadline_ms, e);
}
