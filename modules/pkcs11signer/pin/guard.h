/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "base/err.h"
#include "pin/marks.h"
#include "base/secret.h"
#include "pkcs11/slot.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * What is known of PINs without trying them, so that no wrong one is tried twice (smart cards
 * lock after three). One guard per process; what it knows outlives the process, and is shared with
 * other processes, in the state directory (pin/marks_file.h). Without one, or when it cannot be
 * used, which is logged once, the guard remembers for itself.
 *
 * A login goes through enter, permit, C_Login, leave (pin/login.h does). Between enter and leave no
 * other thread, and with a state directory no other process, is at a login to the same token.
 *
 * permit says no
 *   - to a PIN that this token has refused;
 *   - to a PIN whose login began and never ended, unless the token took that PIN before: the
 *     process died on the way, and whether a try was used up is not known. So the mark is written
 *     before C_Login, not behind it: a process that dies again and again locks no card;
 *   - to a PIN whose login has failed twice for a reason that may or may not have been the PIN
 *     (CKR_FUNCTION_FAILED), likewise. A token's hiccup must not keep it out, so twice, and a PIN
 *     that the token took before is tried as often as it takes;
 *   - while the token says that a wrong PIN was given lately (count_low), to a PIN that it has not
 *     taken before. Exceptions: one try after unlock-login; and one after our own PIN was the wrong
 *     one, as somebody has to be able to correct it. That leaves the third one to people;
 *   - when nobody has asked for the login, to a PIN that the token has not taken before and whose
 *     mark cannot be written: each start of a server would try it anew.
 * Marks of a token go when it takes the PIN, or when unlock-login is said; how many tokens there
 * are does not matter (pin/marks.h).
 *
 * A token is known by its serial number and its label (pin/marks.h). One that is initialized anew
 * has another label, as a rule, but its counter begins anew, too. When the label alone changes, a
 * PIN that was refused is tried once more.
 *
 * Threads: any. guard->lock is the innermost but base/log.c's; no file is touched under it.
 */
struct p11s_pin_guard;
struct p11s_pin_try;

/* What a PIN is remembered by. */
struct p11s_pin_token p11s_pin_guard_token(const struct p11s_slot_info *slot);

/* state_dir NULL or "": none. Touches no file. */
struct p11s_pin_guard *p11s_pin_guard_new(const char *state_dir);
void p11s_pin_guard_free(struct p11s_pin_guard *g);

/* Whether the token has refused this PIN. Costs a slow hash the first time, then a stat(). */
bool p11s_pin_guard_refused(struct p11s_pin_guard *g, const struct p11s_slot_info *slot,
                            const struct p11s_secret *pin);

/* P11S_ERR_PIN_REFUSED with what to do: it was refused, or failed twice for no reason given. */
enum p11s_err p11s_pin_guard_refused_error(struct p11s_pin_guard *g,
                                           const struct p11s_slot_info *slot, struct p11s_error *e);
enum p11s_err p11s_pin_guard_unclear_error(struct p11s_pin_guard *g,
                                           const struct p11s_slot_info *slot, struct p11s_error *e);

/* Waits for logins of others to this token. P11S_ERR_TIMEOUT when one does not end in this process;
   after that of another process is not waited for longer than P11S_PIN_GUARD_PATIENCE_MS. What is
   given must outlive the try. unasked: it is made in the background, and no query waits for it. */
#define P11S_PIN_GUARD_PATIENCE_MS 5000
enum p11s_err p11s_pin_guard_enter(struct p11s_pin_guard *g, const struct p11s_slot_info *slot,
                                   const struct p11s_secret *pin, bool unasked,
                                   struct p11s_pin_try **ret_try, struct p11s_error *e);
/* Whether C_Login may be called; slot->flags are the token's, read behind enter.
   P11S_ERR_PIN_REFUSED, P11S_ERR_PIN_LOCKED (count_low), P11S_ERR_TIMEOUT (another process is at
   it), P11S_ERR_NO_PIN (unasked). */
enum p11s_err p11s_pin_guard_permit(struct p11s_pin_try *t, struct p11s_error *e);

/* What permit would say, for one who only wants to know: it waits for nobody and changes nothing.
   P11S_ERR_TIMEOUT, too, for a PIN whose login began and has not ended: it may be under way. */
enum p11s_err p11s_pin_guard_foresee(struct p11s_pin_guard *g, const struct p11s_slot_info *slot,
                                     const struct p11s_secret *pin, struct p11s_error *e);

/* Behind a C_Login that failed for such a reason: whether that was the second time. */
bool p11s_pin_guard_was_unclear(struct p11s_pin_try *t);

enum p11s_pin_outcome {
  P11S_PIN_ACCEPTED,
  P11S_PIN_REFUSED,
  P11S_PIN_UNCLEAR,    /* the token failed, and the PIN may have been why */
  P11S_PIN_NO_VERDICT, /* not tried, or the token failed otherwise */
};
/* Ends and frees the try. */
void p11s_pin_guard_leave(struct p11s_pin_try *t, enum p11s_pin_outcome outcome);

/* Whether this reason not to log in is met for the first time since the token last took a PIN. */
bool p11s_pin_guard_is_news(struct p11s_pin_guard *g, const struct p11s_slot_info *slot,
                            const struct p11s_secret *pin, enum p11s_err reason);

enum p11s_pin_proof {
  P11S_PIN_UNKNOWN, /* no login to this token was ours */
  P11S_PIN_PROVEN,  /* it is logged in with this one, or took it from another process since */
  P11S_PIN_OTHER,   /* a token has one PIN at a time: while it is logged in, this one is wrong */
};
enum p11s_pin_proof p11s_pin_guard_proof(struct p11s_pin_guard *g,
                                         const struct p11s_slot_info *slot,
                                         const struct p11s_secret *pin);

/* -- unlock-login */

/* A token that something is remembered of. */
struct p11s_pin_subject {
  struct p11s_pin_token token;
  size_t refused; /* PINs refused, or whose login was cut short */
};
/* The longest known first; the array is the caller's to free. P11S_ERR_NOMEM. */
enum p11s_err p11s_pin_guard_subjects(struct p11s_pin_guard *g, struct p11s_pin_subject **ret,
                                      size_t *ret_count, struct p11s_error *e);

/* Forgets the token's refused PINs and allows one try, in all processes that share the state
   directory. P11S_ERR_HOST when that cannot be written. */
enum p11s_err p11s_pin_guard_unlock(struct p11s_pin_guard *g, const struct p11s_pin_token *token,
                                    size_t *ret_refused, struct p11s_error *e);
