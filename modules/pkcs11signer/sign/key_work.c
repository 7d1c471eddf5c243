/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What workers do with a key: find it on the token, prove that it is the one, sign (sign/key.h). */
#include "pkcs11/attribute.h"
#include "sign/key_internal.h"
#include "pkcs11/keygen.h"
#include "base/lock.h"
#include "base/log.h"
#include "pkcs11/object.h"
#include "pkcs11/module.h"
#include "base/counters.h"

#include <stdio.h>

/* How long a worker waits for another one that looks for the same key: less than it takes until a
   token counts as stuck. */
#define FIND_WAIT_MS 500

static enum p11s_err is_another(const struct p11s_key *key, struct p11s_error *e)
{
  return p11s_error_set(e, P11S_ERR_KEY_MISMATCH,
                        "another key stands there under this label: its public key is not the %s "
                        "one; put the right key back, or assign the new one to the zone",
                        key->pinned ? "pinned" : "former");
}

/* Takes it over. Another worker may have been quicker. */
static enum p11s_err publish(struct p11s_key *key, struct p11s_pubkey *found, struct p11s_error *e)
{
  bool same;

  if (p11s_key_publish(key, found))
    return P11S_OK;
  same = p11s_pubkey_equal(p11s_key_public(key), found);
  p11s_pubkey_free(found);
  return same ? P11S_OK : is_another(key, e);
}

enum p11s_err p11s_key_grip(const struct p11s_key *key, struct p11s_work *work,
                            CK_OBJECT_HANDLE handle, struct p11s_grip *ret, struct p11s_error *e)
{
  enum p11s_err result;

  *ret = (struct p11s_grip){.handle = handle};
  result = p11s_session_plan(work->session, key->alg, &ret->plan, e);
  if (result == P11S_OK)
    result = p11s_session_plan_for_key(work->session, key->alg, handle, &ret->plan, e);
  if (result == P11S_OK)
    result = p11s_attribute_read_bool(work->session, handle, CKA_ALWAYS_AUTHENTICATE,
                                      &ret->plan.consent, e);
  return result;
}

/* The public halves of all of them; P11S_ERR_NO_KEY when none has one. */
static enum p11s_err read_publics(const struct p11s_key *key, struct p11s_work *work,
                                  const struct p11s_handles *found, struct p11s_publics *ret,
                                  struct p11s_error *e)
{
  enum p11s_err result = P11S_ERR_NO_KEY;

  for (size_t i = 0; i < found->count; i++) {
    result = p11s_object_read_publics(
        work->session,
        &(struct p11s_private){key->alg, found->list[i], key->ref->label, key->ref->pub_label}, ret,
        e);
    if (result != P11S_OK && result != P11S_ERR_NO_KEY && result != P11S_ERR_KEY_TYPE)
      return result;
  }
  return ret->count > 0 ? P11S_OK : result;
}

/* The key's public key is known: the private key that is its half. */
static enum p11s_err find_known(struct p11s_key *key, struct p11s_work *work,
                                const struct p11s_handles *found, struct p11s_grip *grip,
                                struct p11s_error *e)
{
  struct p11s_publics known = {{atomic_load(&key->public_key)}, 1}, publics = {{NULL}, 0};
  struct p11s_match match = {.known = true};
  enum p11s_err result;
  bool same = false;

  if (found->count > 1) {
    result = p11s_key_match(key, work, found, &known, &match, e);
    *grip = match.grip;
    return result;
  }
  result = read_publics(key, work, found, &publics, e);
  for (size_t i = 0; i < publics.count; i++)
    same = same || p11s_pubkey_equal(known.list[0], publics.list[i]);
  p11s_publics_clear(&publics);
  /* Without a public half on the token, the known one serves: the first signature proves it. */
  if (result == P11S_ERR_NO_KEY || same)
    return P11S_OK;
  return result != P11S_OK ? result : is_another(key, e);
}

static enum p11s_err find_unknown(struct p11s_key *key, struct p11s_work *work,
                                  const struct p11s_handles *found, struct p11s_grip *grip,
                                  struct p11s_error *e)
{
  struct p11s_publics publics = {{NULL}, 0};
  struct p11s_match match = {.grip = *grip};
  enum p11s_err result = read_publics(key, work, found, &publics, e);

  if (result == P11S_OK && (found->count > 1 || publics.count > 1))
    result = p11s_key_match(key, work, found, &publics, &match, e);
  if (result == P11S_OK) {
    struct p11s_pubkey *half = publics.list[match.at];

    publics.list[match.at] = publics.list[--publics.count];
    *grip = match.grip;
    result = publish(key, half, e);
  }
  p11s_publics_clear(&publics);
  return result;
}

static enum p11s_err find(struct p11s_key *key, struct p11s_work *work, struct p11s_grip *grip,
                          struct p11s_error *e)
{
  struct p11s_handles found = {NULL, 0};
  struct p11s_sign_plan plan;
  enum p11s_err result;

  p11s_counter_count(P11S_STAT_KEY_LOOKUPS);
  /* A token that cannot sign so is to be told first, whatever keys it has. */
  result = p11s_session_plan(work->session, key->alg, &plan, e);
  if (result == P11S_OK)
    result = p11s_object_find_privates(work->session, key->alg, key->ref->label, &found, e);
  if (result == P11S_OK)
    result = p11s_key_grip(key, work, found.list[0], grip, e);
  if (result == P11S_OK)
    result = p11s_key_public(key) != NULL ? find_known(key, work, &found, grip, e)
                                          : find_unknown(key, work, &found, grip, e);
  p11s_handles_clear(&found);
  return result;
}

/* true: its handle is known. Else it is this worker's to find: only one looks for it at a time,
   unless that takes long. Whoever gets false calls end_finding(). */
static bool begin_finding(struct p11s_key *key, uint64_t epoch, struct p11s_grip *grip)
{
  uint64_t deadline = p11s_now_ms() + FIND_WAIT_MS;
  bool have, in_time = true;

  p11s_lock(&key->lock);
  for (;;) {
    have = key->have_handle && key->handle_epoch == epoch;
    if (have || !in_time || key->finding == 0 || key->finding_epoch != epoch)
      break;
    in_time = p11s_cond_wait_until(&key->found, &key->lock, deadline);
  }
  if (have) {
    *grip = (struct p11s_grip){key->handle, key->plan, key->proven};
  } else {
    key->finding++;
    key->finding_epoch = epoch;
  }
  p11s_unlock(&key->lock);
  return have;
}

/* grip: what was found, or NULL. */
static void end_finding(struct p11s_key *key, uint64_t epoch, const struct p11s_grip *grip)
{
  p11s_lock(&key->lock);
  if (grip != NULL) {
    key->have_handle = true;
    key->handle = grip->handle;
    key->handle_epoch = epoch;
    key->plan = grip->plan;
    key->proven = false;
  }
  key->finding--;
  pthread_cond_broadcast(&key->found);
  p11s_unlock(&key->lock);
}

/* Where the token hides the key until a login: once more, after one. */
static enum p11s_err find_hidden(struct p11s_key *key, struct p11s_work *work,
                                 struct p11s_grip *grip, struct p11s_error *e)
{
  struct p11s_error said = {0};
  bool may_hide = p11s_work_may_hide_keys(work);
  enum p11s_err result = find(key, work, grip, &said), login;

  if (result == P11S_ERR_NO_KEY && may_hide) {
    login = p11s_work_log_in(work, &said);
    if (login == P11S_OK) {
      result = find(key, work, grip, &said);
      if (result == P11S_OK)
        p11s_work_note_hidden(work);
    } else if (login != P11S_ERR_NO_PIN) {
      result = login;
    }
  }
  if (result == P11S_OK)
    result = p11s_work_prove_hidden(work, grip->handle, &said);
  if (result != P11S_OK && e != NULL)
    *e = said;
  return result;
}

enum p11s_err p11s_key_take_grip(struct p11s_key *key, struct p11s_work *work,
                                 struct p11s_grip *grip, struct p11s_error *e)
{
  enum p11s_err result;

  if (begin_finding(key, work->epoch, grip))
    return P11S_OK;
  *grip = (struct p11s_grip){.handle = CK_INVALID_HANDLE};
  result = p11s_work_prove_pin(work, e);
  if (result == P11S_OK)
    result = find_hidden(key, work, grip, e);
  end_finding(key, work->epoch, result == P11S_OK ? grip : NULL);
  return result;
}

static void note_proof(struct p11s_key *key, struct p11s_work *work, const struct p11s_grip *grip,
                       bool good)
{
  p11s_lock(&key->lock);
  if (key->have_handle && key->handle == grip->handle && key->handle_epoch == work->epoch) {
    key->proven = good;
    key->have_handle = good; /* a handle that signs wrongly is looked up anew */
  }
  p11s_unlock(&key->lock);
}

/* PowerDNS logs a line for each query that failed; this is for who looks for the cause. */
static void say_faulty(const struct p11s_key *key, const struct p11s_error *e)
{
  char cause[48];

  (void)snprintf(cause, sizeof cause, "faulty %d %p", (int)e->code, (const void *)key);
  p11s_log_limited(P11S_LOG_ERROR, cause, "key '%s' on token '%s' (module %s): %s", key->ref->label,
                   key->ref->slot, key->ref->engine, e->text);
}

/* What to do with a signature that is not to be used; e says why not. */
static enum p11s_err refuse(struct p11s_key *key, struct p11s_work *work,
                            const struct p11s_grip *grip, const struct p11s_error *e)
{
  note_proof(key, work, grip, false);
  p11s_counter_count(P11S_STAT_BAD_SIGNATURES);
  say_faulty(key, e);
  return P11S_ERR_SIGNATURE;
}

enum p11s_err p11s_key_sign_work(struct p11s_key *key, struct p11s_work *work,
                                 struct p11s_signing *signing, bool verify, struct p11s_error *e)
{
  struct p11s_grip grip;
  enum p11s_err result = p11s_key_take_grip(key, work, &grip, e);

  if (result == P11S_ERR_KEY_MISMATCH)
    say_faulty(key, e);
  if (result == P11S_OK)
    result = p11s_key_sign_on_token(key, work, &grip, signing, e);
  if (result == P11S_ERR_SIGNATURE)
    return refuse(key, work, &grip, e);
  if (result != P11S_OK)
    return result;
  if (!verify && grip.proven && !signing->switched && !signing->plan.in_parts)
    return P11S_OK;
  if (!p11s_key_verify_signing(key, p11s_key_public(key), signing)) {
    (void)p11s_error_set(e, P11S_ERR_SIGNATURE,
                         "the token's signature does not verify with the key's public half: it is "
                         "not used");
    return refuse(key, work, &grip, e);
  }
  if (!grip.proven)
    note_proof(key, work, &grip, true);
  if (signing->switched)
    p11s_work_note_hashes(work, key->alg, signing->plan.whole_message, signing->refusal.text);
  return P11S_OK;
}

static void note_pair(struct p11s_key *key, const struct p11s_keypair *pair)
{
  p11s_lock(&key->lock);
  key->have_handle = false;
  p11s_keypair_copy(&key->pair, pair);
  p11s_unlock(&key->lock);
}

enum p11s_err p11s_key_generate_work(struct p11s_key *key, struct p11s_keypair *pair,
                                     struct p11s_work *work, struct p11s_error *e)
{
  bool may_hide = p11s_work_may_hide_keys(work);
  struct p11s_pubkey *made = NULL;
  enum p11s_err result;

  p11s_keypair_set_place(pair, work->session);
  result = p11s_work_prove_pin(work, e);
  if (result == P11S_OK)
    result = p11s_keygen_make(work->session, key->alg, pair, &made, e);
  if (result == P11S_ERR_TOKEN && e->rv == CKR_USER_NOT_LOGGED_IN && may_hide &&
      p11s_work_log_in(work, e) == P11S_OK)
    result = p11s_keygen_make(work->session, key->alg, pair, &made, e);
  if (result != P11S_OK)
    return result;
  if (p11s_key_publish(key, made))
    p11s_key_remember(key);
  else
    p11s_pubkey_free(made);
  note_pair(key, pair);
  return P11S_OK;
}

enum p11s_err p11s_key_undo_work(struct p11s_key *key, struct p11s_keypair *pair,
                                 struct p11s_work *work, struct p11s_error *e)
{
  enum p11s_err result = p11s_keypair_remove(work->session, pair, e);

  note_pair(key, pair);
  return result;
}
