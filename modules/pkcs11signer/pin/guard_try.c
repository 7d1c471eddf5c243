/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One login: whether it may be tried, and what is remembered of it (pin/guard.h). */
#include "base/buf.h"
#include "base/lock.h"
#include "base/paste.h"
#include "pin/guard_internal.h"
#include "pkcs11/uri.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LOGIN_WAIT_MS 30000

struct p11s_pin_try {
  struct p11s_pin_try *next; /* guarded by the guard's lock */
  struct p11s_pin_guard *g;  /* immutable, like the next four */
  const struct p11s_slot_info *slot;
  struct p11s_pin_token token;
  const struct p11s_secret *pin;
  bool unasked;
  int lock;            /* keeps other processes out; -1: not to be had */
  bool others_at_it;   /* another process had it for too long */
  bool marked;         /* TRYING was written */
  bool took_allowance; /* UNLOCKED or ONE_MORE was used up */
  bool count_low;      /* what the token said before the try */
};

/* -- questions */

/* Another process may have been luckier than what could not be written here. */
static bool is_refused(struct p11s_pin_guard *g, const struct p11s_pin_token *token,
                       const struct p11s_secret *pin)
{
  return p11s_pin_guard_is_marked(g, P11S_PIN_MARK_REFUSED, token, pin) &&
         !p11s_pin_guard_is_marked(g, P11S_PIN_MARK_PROVEN, token, pin);
}

bool p11s_pin_guard_refused(struct p11s_pin_guard *g, const struct p11s_slot_info *slot,
                            const struct p11s_secret *pin)
{
  struct p11s_pin_token token = p11s_pin_guard_token(slot);

  p11s_pin_guard_refresh(g);
  return is_refused(g, &token, pin);
}

static bool has_namesake(const struct p11s_pin_marks *m, const struct p11s_slot_info *slot)
{
  for (size_t i = 0; i < m->count; i++)
    if (strcmp(m->mark[i].token.serial, slot->serial) == 0 &&
        strcmp(m->mark[i].token.label, slot->label) != 0)
      return true;
  return false;
}

/* As unlock-login takes it. A serial number does where no other remembered token has it;
   else a URI, which a TPM's tokens and the PINs of one card take. */
static void add_token_name(struct p11s_pin_guard *g, const struct p11s_slot_info *slot,
                           struct p11s_buf *out)
{
  bool unique = slot->serial[0] != '\0';

  p11s_lock(&g->lock);
  unique = unique && !has_namesake(&g->shared, slot) && !has_namesake(&g->own, slot);
  p11s_unlock(&g->lock);
  if (unique) {
    p11s_buf_addstr(out, slot->serial);
    return;
  }
  p11s_buf_addstr(out, "pkcs11:token=");
  p11s_uri_add_value(out, slot->label, strlen(slot->label));
  p11s_buf_addstr(out, ";serial=");
  p11s_uri_add_value(out, slot->serial, strlen(slot->serial));
}

/* before, the token, behind, and the command that has the PIN tried all the same. */
static enum p11s_err not_tried(struct p11s_pin_guard *g, const struct p11s_slot_info *slot,
                               enum p11s_err code, const char *before, const char *behind,
                               struct p11s_error *e)
{
  struct p11s_buf name = P11S_BUF_INIT, command = P11S_BUF_INIT;

  add_token_name(g, slot, &name);
  p11s_paste(&command, "pkcs11signer", "unlock-login", p11s_buf_text(&name), NULL);
  (void)p11s_error_set(e, code, "%stoken '%s' (serial %s) %s, say: %s", before, slot->label,
                       slot->serial, behind, p11s_buf_text(&command));
  p11s_buf_clear(&name);
  p11s_buf_clear(&command);
  return code;
}

enum p11s_err p11s_pin_guard_refused_error(struct p11s_pin_guard *g,
                                           const struct p11s_slot_info *slot, struct p11s_error *e)
{
  return not_tried(g, slot, P11S_ERR_PIN_REFUSED, "",
                   "has refused this PIN before: it is not tried again; correct the PIN, or if it "
                   "is right after all",
                   e);
}

enum p11s_err p11s_pin_guard_unclear_error(struct p11s_pin_guard *g,
                                           const struct p11s_slot_info *slot, struct p11s_error *e)
{
  return not_tried(g, slot, P11S_ERR_PIN_REFUSED, "two logins to ",
                   "with this PIN have failed, and the token does not say whether the PIN is at "
                   "fault: it is not tried again; correct the PIN, or if it is right",
                   e);
}

static bool has_allowance(struct p11s_pin_guard *g, const struct p11s_pin_token *token)
{
  bool found;

  p11s_lock(&g->lock);
  found = p11s_pin_marks_find(&g->shared, P11S_PIN_MARK_UNLOCKED, token, NULL) != NULL ||
          p11s_pin_marks_find(&g->shared, P11S_PIN_MARK_ONE_MORE, token, NULL) != NULL ||
          p11s_pin_marks_find(&g->own, P11S_PIN_MARK_ONE_MORE, token, NULL) != NULL;
  p11s_unlock(&g->lock);
  return found;
}

/* -- one login */

static bool is_busy_locked(const struct p11s_pin_guard *g, const struct p11s_pin_token *token)
{
  const struct p11s_pin_try *t = g->tries;

  while (t != NULL && !p11s_pin_token_is(&t->token, token))
    t = t->next;
  return t != NULL;
}

/* Where in the lock file a token's logins are locked; that two may share a place does no harm. */
static uint32_t place_of(const struct p11s_pin_token *token)
{
  uint32_t hash = 2166136261U; /* FNV-1a */

  for (const char *c = token->serial; *c != '\0'; c++)
    hash = (hash ^ (unsigned char)*c) * 16777619U;
  for (const char *c = token->label; *c != '\0'; c++)
    hash = (hash ^ (unsigned char)*c) * 16777619U;
  return (hash & 0x3fffffffU) + P11S_MARKS_FILE_CHANGE + 1;
}

enum p11s_err p11s_pin_guard_enter(struct p11s_pin_guard *g, const struct p11s_slot_info *slot,
                                   const struct p11s_secret *pin, bool unasked,
                                   struct p11s_pin_try **ret_try, struct p11s_error *e)
{
  uint64_t deadline = p11s_now_ms() + LOGIN_WAIT_MS;
  struct p11s_pin_try *t = calloc(1, sizeof *t);
  bool busy;

  if (t == NULL)
    return p11s_error_no_memory(e);
  *t = (struct p11s_pin_try){.g = g,
                             .slot = slot,
                             .token = p11s_pin_guard_token(slot),
                             .pin = pin,
                             .unasked = unasked,
                             .lock = -1};
  p11s_lock(&g->lock);
  while ((busy = is_busy_locked(g, &t->token)) &&
         p11s_cond_wait_until(&g->left, &g->lock, deadline))
    ;
  if (!busy) {
    t->next = g->tries;
    g->tries = t;
  }
  p11s_unlock(&g->lock);
  if (busy) {
    free(t);
    return p11s_error_set(e, P11S_ERR_TIMEOUT, "token '%s': another login does not end",
                          slot->label);
  }
  if (g->dir != NULL) {
    t->lock = p11s_marks_file_lock(g->dir, place_of(&t->token),
                                   p11s_now_ms() + P11S_PIN_GUARD_PATIENCE_MS);
    t->others_at_it = t->lock < 0 && errno == EAGAIN;
    p11s_pin_guard_refresh(g);
  }
  *ret_try = t;
  return P11S_OK;
}

static bool was_unclear(const struct p11s_pin_try *t)
{
  return p11s_pin_guard_is_marked(t->g, P11S_PIN_MARK_UNCLEAR, &t->token, t->pin);
}

static enum p11s_err cut_short(const struct p11s_pin_try *t, struct p11s_error *e)
{
  const struct p11s_slot_info *slot = t->slot;

  if (t->others_at_it)
    return p11s_error_set(e, P11S_ERR_TIMEOUT,
                          "another process is logging in to token '%s' (serial %s) with this PIN, "
                          "and the token does not answer it",
                          slot->label, slot->serial);
  if (was_unclear(t))
    return p11s_pin_guard_unclear_error(t->g, slot, e);
  return not_tried(t->g, slot, P11S_ERR_PIN_REFUSED, "a login to ",
                   "with this PIN was cut short (the process ended), so whether it is right is not "
                   "known: it is not tried again; if it is right",
                   e);
}

static bool is_proven(const struct p11s_pin_try *t)
{
  return p11s_pin_guard_is_marked(t->g, P11S_PIN_MARK_PROVEN, &t->token, t->pin);
}

static bool says_count_low(const struct p11s_slot_info *slot)
{
  return (slot->flags & CKF_USER_PIN_COUNT_LOW) != 0;
}

static enum p11s_err judge(const struct p11s_pin_try *t, bool proven, struct p11s_error *e)
{
  const struct p11s_slot_info *slot = t->slot;

  if (is_refused(t->g, &t->token, t->pin))
    return p11s_pin_guard_refused_error(t->g, slot, e);
  if (!proven && p11s_pin_guard_is_marked(t->g, P11S_PIN_MARK_TRYING, &t->token, t->pin))
    return cut_short(t, e);
  if (says_count_low(slot) && !proven && !has_allowance(t->g, &t->token))
    return not_tried(t->g, slot, P11S_ERR_PIN_LOCKED, "",
                     "says that a wrong PIN was given lately, and this one was never used there: "
                     "it is not tried; log in once with the right PIN by another tool, or if this "
                     "one is right",
                     e);
  return P11S_OK;
}

enum p11s_err p11s_pin_guard_foresee(struct p11s_pin_guard *g, const struct p11s_slot_info *slot,
                                     const struct p11s_secret *pin, struct p11s_error *e)
{
  struct p11s_pin_try t = {
      .g = g, .slot = slot, .token = p11s_pin_guard_token(slot), .pin = pin, .others_at_it = true};

  p11s_pin_guard_refresh(g);
  return judge(&t, is_proven(&t), e);
}

enum p11s_err p11s_pin_guard_permit(struct p11s_pin_try *t, struct p11s_error *e)
{
  struct p11s_pin_change trying = {.token = &t->token,
                                   .pin = t->pin,
                                   .of_token = P11S_PIN_MARKS_THAT_ALLOW,
                                   .put = P11S_PIN_MARK_TRYING};
  bool proven = is_proven(t);
  enum p11s_err result = judge(t, proven, e);

  t->count_low = says_count_low(t->slot);
  if (result != P11S_OK || proven)
    return result;
  t->took_allowance = has_allowance(t->g, &t->token);
  t->marked = true;
  if (p11s_pin_guard_change(t->g, &trying) || !t->unasked)
    return P11S_OK;
  return p11s_error_set(e, P11S_ERR_NO_PIN,
                        "token '%s' (serial %s) has not taken this PIN before, and whether it does "
                        "cannot be remembered beyond this process (pkcs11signer-state-dir): it is "
                        "not tried before a query needs it",
                        t->slot->label, t->slot->serial);
}

bool p11s_pin_guard_was_unclear(struct p11s_pin_try *t)
{
  return t->marked && was_unclear(t);
}

static void remember(struct p11s_pin_try *t, enum p11s_pin_outcome outcome)
{
  struct p11s_pin_change change = {.token = &t->token,
                                   .pin = t->pin,
                                   .put = P11S_PIN_MARK_NONE,
                                   .of_pin = P11S_PIN_MARKS(TRYING)};

  switch (outcome) {
  case P11S_PIN_ACCEPTED:
    change.of_pin = P11S_PIN_MARKS_THAT_FORBID;
    change.of_token = P11S_PIN_MARKS_THAT_ALLOW;
    change.put = P11S_PIN_MARK_PROVEN;
    break;
  case P11S_PIN_REFUSED:
    change.of_pin |= P11S_PIN_MARKS(UNCLEAR) | P11S_PIN_MARKS(PROVEN);
    change.put = P11S_PIN_MARK_REFUSED;
    change.one_more = !t->count_low;
    break;
  case P11S_PIN_UNCLEAR: /* the second time TRYING stays as well */
    change.put = P11S_PIN_MARK_UNCLEAR;
    change.unless_put = true;
    break;
  case P11S_PIN_NO_VERDICT:
    change.one_more = t->took_allowance;
    break;
  }
  if (outcome == P11S_PIN_ACCEPTED || outcome == P11S_PIN_REFUSED)
    p11s_pin_guard_note_verdict(t->g, &t->token, t->pin, outcome == P11S_PIN_ACCEPTED);
  else if (!t->marked)
    return;
  (void)p11s_pin_guard_change(t->g, &change);
}

void p11s_pin_guard_leave(struct p11s_pin_try *t, enum p11s_pin_outcome outcome)
{
  struct p11s_pin_try **at;
  struct p11s_pin_guard *g;

  if (t == NULL)
    return;
  g = t->g;
  remember(t, outcome);
  if (t->lock >= 0)
    (void)close(t->lock);
  p11s_lock(&g->lock);
  for (at = &g->tries; *at != t; at = &(*at)->next)
    ;
  *at = t->next;
  pthread_cond_broadcast(&g->left);
  p11s_unlock(&g->lock);
  free(t);
}
