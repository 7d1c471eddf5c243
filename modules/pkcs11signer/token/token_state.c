/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is known of a token: there, away, stuck (token/token.h). */
#include "base/lock.h"
#include "base/log.h"
#include "pkcs11/mechanism.h"
#include "pkcs11/rv.h"
#include "base/counters.h"
#include "token/token_internal.h"

#include <stdio.h>
#include <string.h>

/* Queries that must have waited in vain, and how often one is let through afterwards. */
#define OVERDUE_MANY 3
#define TRY_EVERY_MS 5000
/* A change of state sooner than that after the last one is not logged each time. */
#define FLAPPING_MS 5000

const char *p11s_token_state_name(enum p11s_token_state state)
{
  static const char *const name[] = {
      [P11S_TOKEN_UNTRIED] = "untried",   [P11S_TOKEN_READY] = "ready",
      [P11S_TOKEN_NO_LOGIN] = "no-login", [P11S_TOKEN_AWAY] = "away",
      [P11S_TOKEN_STUCK] = "stuck",
  };

  return name[state];
}

/* -- there or away */

enum verdict { SAYS_NOTHING, IS_THERE, IS_AWAY };

static enum verdict judge(enum p11s_err result, const struct p11s_error *error, bool had_session)
{
  switch (result) {
  case P11S_ERR_NO_TOKEN:
  case P11S_ERR_NO_SLOTS:
  case P11S_ERR_NO_MODULE:
  case P11S_ERR_AMBIGUOUS:
    return had_session ? IS_THERE : IS_AWAY;
  case P11S_ERR_TOKEN:
    return had_session || !p11s_rv_is_lost(error->rv) ? IS_THERE : IS_AWAY;
  case P11S_ERR_NOMEM:
  case P11S_ERR_SYNTAX:
  case P11S_ERR_TIMEOUT:
  case P11S_ERR_BUSY:
  case P11S_ERR_STOPPED:
    return SAYS_NOTHING;
  default:
    return IS_THERE;
  }
}

struct change {
  bool happened;
  bool flapping;
  uint64_t lasted_ms;
  struct p11s_job_list refused; /* taken out of the queue */
  struct p11s_secret *pin;      /* to be released */
};

static void enter_state_locked(struct p11s_token *token, enum p11s_token_state state,
                               struct change *change)
{
  uint64_t now = p11s_now_ms();

  change->happened = true;
  change->lasted_ms = now - token->since_ms;
  change->flapping = token->state != P11S_TOKEN_UNTRIED && change->lasted_ms < FLAPPING_MS;
  token->state = state;
  token->since_ms = now;
}

struct p11s_secret *p11s_token_set_probe_pin_locked(struct p11s_token *token,
                                                    struct p11s_secret *pin)
{
  struct p11s_secret *former = token->probe_pin;

  token->probe_pin = p11s_secret_acquire(pin);
  token->have_probe_pin = true;
  return former;
}

static void go_away_locked(struct p11s_token *token, const struct p11s_error *why,
                           struct p11s_secret *pin, struct change *change)
{
  struct p11s_job *job;

  token->trouble = *why;
  if (token->state == P11S_TOKEN_AWAY)
    return;
  enter_state_locked(token, P11S_TOKEN_AWAY, change);
  token->series++;
  if (!token->have_probe_pin)
    change->pin = p11s_token_set_probe_pin_locked(token, pin);
  while ((job = p11s_queue_pop(token->queue)) != NULL)
    TAILQ_INSERT_HEAD(&change->refused, job, in_list);
  pthread_cond_broadcast(&token->work); /* for one to look for it, and the others to let go */
}

static void come_back_locked(struct p11s_token *token, struct change *change)
{
  bool was_away = token->state == P11S_TOKEN_AWAY;

  if (token->state == P11S_TOKEN_READY)
    return;
  enter_state_locked(token, P11S_TOKEN_READY, change);
  change->happened = was_away; /* from untried: no news */
  token->trouble.text[0] = '\0';
  token->prober = NULL;
  if (was_away) {
    token->stats.reconnects++;
    p11s_counter_count(P11S_STAT_RECONNECTS);
  }
}

/* The token was seen to be as it is known now. */
static void note_seen_locked(struct p11s_token *token)
{
  token->seen_ms = p11s_now_ms();
  token->probe_ms =
      token->seen_ms + (token->state == P11S_TOKEN_AWAY ? P11S_PROBE_EVERY_MS : P11S_LOOK_EVERY_MS);
}

/* A token with a bad contact must not fill the log. why: it is away, or there but not logged in. */
static void say_changed(const struct p11s_token *token, const struct change *change, bool away,
                        const struct p11s_error *why)
{
  char cause[64], text[P11S_ERROR_SIZE + 128];

  if (away)
    (void)snprintf(text, sizeof text,
                   "token '%s' (module %s) is away: %s. What has been signed is served, what has "
                   "not gets SERVFAIL; it is looked for every second",
                   token->slot, token->engine, why->text);
  else
    (void)snprintf(
        text, sizeof text, "token '%s' (module %s) is back after %llu s: %s%s", token->slot,
        token->engine, (unsigned long long)((change->lasted_ms + 500) / 1000),
        why == NULL ? "it signs again" : "it cannot be used: ", why == NULL ? "" : why->text);
  (void)snprintf(cause, sizeof cause, "%s %p", away ? "away" : "back", (const void *)token);
  if (change->flapping)
    p11s_log_limited(away ? P11S_LOG_ERROR : P11S_LOG_NOTICE, cause, "%s", text);
  else
    p11s_log_event(away ? P11S_LOG_ERROR : P11S_LOG_NOTICE, "%s", text);
}

void p11s_token_note_outcome(struct p11s_token *token, enum p11s_err result,
                             const struct p11s_error *error, const uint64_t *series,
                             struct p11s_secret *pin)
{
  enum verdict verdict = judge(result, error, series != NULL);
  struct change change = {.refused = TAILQ_HEAD_INITIALIZER(change.refused)};
  struct p11s_job *job;

  if (verdict == SAYS_NOTHING)
    return;
  p11s_lock(&token->lock);
  if (token->retired) {
    /* who looked for it was still out there */
  } else if (verdict == IS_THERE) {
    /* What an old session still gives does not mean that there are new ones to be had. */
    if (series == NULL || *series == token->series) {
      come_back_locked(token, &change);
      note_seen_locked(token);
    }
  } else if (!token->stopping) {
    go_away_locked(token, error, pin, &change);
    note_seen_locked(token);
  }
  p11s_unlock(&token->lock);
  while ((job = TAILQ_FIRST(&change.refused)) != NULL) {
    TAILQ_REMOVE(&change.refused, job, in_list);
    p11s_job_finish(job, error);
    p11s_job_release(job);
  }
  p11s_secret_release(change.pin);
  if (change.happened)
    say_changed(token, &change, verdict == IS_AWAY,
                verdict == IS_THERE && (result == P11S_OK || series != NULL) ? NULL : error);
}

/* -- stuck */

unsigned p11s_token_busy_locked(const struct p11s_token *token, unsigned for_ms)
{
  uint64_t now = p11s_now_ms();
  const struct p11s_worker *w;
  unsigned count = 0;

  LIST_FOREACH(w, &token->list, in_list)
  count += w->busy_since_ms != 0 && now - w->busy_since_ms >= for_ms;
  return count;
}

bool p11s_token_has_room_locked(struct p11s_token *token)
{
  unsigned hanging;

  if (token->limit < token->most &&
      p11s_now_ms() - token->limited_ms >= P11S_LIMIT_GROWS_EVERY_MS) {
    token->limit++; /* other programs may have given sessions back */
    token->limited_ms = p11s_now_ms();
  }
  if (!token->stuck)
    return token->workers < token->limit;
  hanging = p11s_token_busy_locked(token, token->config.stuck_ms);
  return token->workers < hanging + token->limit && token->workers < 2 * token->config.sessions;
}

void p11s_token_note_begin_locked(struct p11s_token *token, struct p11s_worker *w)
{
  bool first = p11s_token_busy_locked(token, 0) == 0;

  w->busy_since_ms = p11s_now_ms();
  if (!first)
    return;
  token->progress_ms = w->busy_since_ms;
  token->idle_us += p11s_now_us() - token->idle_from_us;
  token->idle_from_us = 0;
}

bool p11s_token_note_end(struct p11s_token *token, struct p11s_worker *w, bool ended, bool good)
{
  uint64_t now = p11s_now_ms(), took, silent;
  bool was_stuck, hung;

  p11s_lock(&token->lock);
  silent = now - token->progress_ms;
  was_stuck = token->stuck;
  /* Before a query needs it, on a busy machine: what a session takes to be there is no sign that it
     hangs. */
  took = now - (w->unasked && w->opened_ms > w->busy_since_ms ? w->opened_ms : w->busy_since_ms);
  hung = token->config.stuck_ms != 0 && took >= token->config.stuck_ms;
  w->busy_since_ms = 0;
  if (p11s_token_busy_locked(token, 0) == 0)
    token->idle_from_us = p11s_now_us();
  token->progress_ms = now;
  token->overdue = 0;
  token->stuck = false;
  token->stats.jobs += ended ? 1 : 0;
  w->comes_back = ended && good && !hung;
  token->idle += w->comes_back;
  p11s_unlock(&token->lock);
  if (was_stuck)
    p11s_log_event(P11S_LOG_NOTICE, "token '%s' (module %s) answers again after %llu s",
                   token->slot, token->engine, (unsigned long long)((silent + 500) / 1000));
  return hung;
}

void p11s_token_note_overdue(struct p11s_token *token)
{
  uint64_t silent;
  bool news;

  p11s_lock(&token->lock);
  token->overdue++;
  silent = p11s_now_ms() - token->progress_ms;
  news = !token->stuck && token->config.stuck_ms != 0 && token->overdue >= OVERDUE_MANY &&
         token->progress_ms != 0 && silent >= token->config.stuck_ms &&
         p11s_token_busy_locked(token, token->config.stuck_ms) > 0;
  if (news) {
    token->stuck = true;
    token->tried_ms = p11s_now_ms();
  }
  p11s_unlock(&token->lock);
  if (news)
    p11s_log_event(P11S_LOG_ERROR,
                   "token '%s' (module %s) has not answered for %llu ms: queries that need a new "
                   "signature get SERVFAIL at once until it does; look at the token and what is "
                   "between it and this server",
                   token->slot, token->engine, (unsigned long long)silent);
}

static enum p11s_err admit_locked(struct p11s_token *token, bool query, struct p11s_error *error)
{
  uint64_t now;

  if (token->state == P11S_TOKEN_AWAY) {
    *error = token->trouble;
    return error->code;
  }
  if (!query || !token->stuck)
    return P11S_OK;
  now = p11s_now_ms();
  if (now - token->tried_ms >= TRY_EVERY_MS && p11s_token_has_room_locked(token)) {
    token->tried_ms = now;
    return P11S_OK;
  }
  return p11s_error_set(error, P11S_ERR_BUSY, "the token has not answered for %llu s",
                        (unsigned long long)((now - token->progress_ms + 500) / 1000));
}

enum p11s_err p11s_token_admit(struct p11s_token *token, bool query, uint64_t *ret_signature_ms,
                               struct p11s_error *error)
{
  enum p11s_err result;

  p11s_lock(&token->lock);
  *ret_signature_ms = p11s_speed_mean_us(&token->stats.rate) / 1000;
  result = admit_locked(token, query, error);
  p11s_unlock(&token->lock);
  return result;
}

/* -- named by no row */

bool p11s_token_retire(struct p11s_token *token)
{
  struct p11s_secret *pin = NULL, *no_login_pin = NULL;
  bool retires;

  p11s_lock(&token->lock);
  retires = !token->retired && !token->stopping && p11s_queue_length(token->queue) == 0 &&
            (token->stuck || p11s_token_busy_locked(token, 0) == 0);
  if (retires) {
    atomic_store(&token->retired, true);
    token->state = P11S_TOKEN_UNTRIED;
    token->since_ms = token->seen_ms = 0;
    memset(&token->found, 0, sizeof token->found);
    token->trouble.text[0] = token->no_login.text[0] = '\0';
    token->stuck = false;
    token->overdue = 0;
    token->series++;
    token->prober = NULL;
    pin = p11s_token_set_probe_pin_locked(token, NULL);
    token->have_probe_pin = false;
    no_login_pin = token->no_login_pin;
    token->no_login_pin = NULL;
    pthread_cond_broadcast(&token->work);
  }
  p11s_unlock(&token->lock);
  p11s_secret_release(pin);
  p11s_secret_release(no_login_pin);
  if (retires)
    p11s_log_event(P11S_LOG_NOTICE,
                   "token '%s' (module %s): no key of any zone names it any more; it is not looked "
                   "for until one does",
                   token->slot, token->engine);
  return retires;
}

bool p11s_work_hashes(const struct p11s_work *work, const struct p11s_algorithm *alg)
{
  return (atomic_load(&work->token->hashes) & 1u << alg->number) != 0;
}

void p11s_work_note_hashes(const struct p11s_work *work, const struct p11s_algorithm *alg,
                           bool hashes, const char *cause)
{
  unsigned bit = 1u << alg->number;
  char limit[64];
  unsigned before = hashes ? atomic_fetch_or(&work->token->hashes, bit)
                           : atomic_fetch_and(&work->token->hashes, ~bit);

  if (((before & bit) != 0) == hashes)
    return;
  (void)snprintf(limit, sizeof limit, "hashes %u %p", alg->number, (const void *)work->token);
  p11s_log_limited(P11S_LOG_NOTICE, limit,
                   "token '%s': %s, although it lists that; %s is used instead", work->token->slot,
                   cause, p11s_mechanism_name(hashes ? alg->hashing : alg->raw));
}

void p11s_token_revive(struct p11s_token *token)
{
  if (!atomic_load_explicit(&token->retired, memory_order_relaxed))
    return;
  p11s_lock(&token->lock);
  atomic_store(&token->retired, false);
  p11s_unlock(&token->lock);
}
