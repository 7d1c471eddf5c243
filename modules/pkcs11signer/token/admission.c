/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "token/admission.h"
#include "base/lock.h"

#define MANY_THREADS 8
#define PER_THREAD 1000 /* thousandths */

/* What an account may be charged with, and how far it may be overdrawn. */
struct terms {
  uint64_t rate; /* thousandths of a thread */
  uint64_t most;
};

static bool has_spare(const struct p11s_admission *crowd)
{
  return !crowd->dealt && crowd->threads >= MANY_THREADS;
}

static uint64_t burst_ms(const struct p11s_admission *crowd)
{
  return has_spare(crowd) ? P11S_ADMISSION_BURST_MS : 4 * P11S_ADMISSION_BURST_MS;
}

static struct terms terms_for(const struct p11s_admission *crowd, unsigned sharers)
{
  uint64_t all = (uint64_t)crowd->threads * PER_THREAD;
  uint64_t rate = (has_spare(crowd) ? all * 3 / 4 : all / 2) / (sharers > 0 ? sharers : 1);

  return (struct terms){rate, (all - rate) * burst_ms(crowd)};
}

static void charge(struct p11s_admission_account *account, struct terms terms, uint64_t now_ms)
{
  uint64_t elapsed = now_ms > account->now_ms ? now_ms - account->now_ms : 0;
  uint64_t used = account->used + elapsed * account->waiting * PER_THREAD;
  uint64_t free_of_charge = elapsed * terms.rate;

  account->used = used > free_of_charge ? used - free_of_charge : 0;
  account->now_ms = now_ms;
}

/* One may wait in any case. */
static bool is_full(const struct p11s_admission_account *account, struct terms terms)
{
  return account->waiting > 0 && (uint64_t)(account->waiting + 1) * PER_THREAD > terms.rate;
}

static void leave(struct p11s_admission_account *account, struct terms terms, uint64_t waited_ms,
                  uint64_t now_ms)
{
  uint64_t back = waited_ms <= P11S_ADMISSION_SHORT_MS ? waited_ms * PER_THREAD : 0;

  charge(account, terms, now_ms);
  account->used -= account->used < back ? account->used : back;
  account->waiting--;
}

void p11s_admission_init(struct p11s_admission *crowd, unsigned threads, bool dealt)
{
  *crowd = (struct p11s_admission){.threads = threads, .dealt = dealt};
  p11s_mutex_init(&crowd->lock, P11S_RANK_CROWD);
}

void p11s_admission_fini(struct p11s_admission *crowd)
{
  p11s_mutex_destroy(&crowd->lock);
}

void p11s_admission_add_token(struct p11s_admission *crowd, bool more)
{
  p11s_lock(&crowd->lock);
  crowd->tokens += more ? 1U : -1U;
  p11s_unlock(&crowd->lock);
}

static bool is_recent(uint64_t refused_ms, uint64_t now_ms)
{
  return refused_ms != 0 && now_ms < refused_ms + P11S_ADMISSION_OVER_MS;
}

static bool is_crowded(const struct p11s_admission_account *account, struct terms terms)
{
  return account->used >= terms.most / 2 || is_recent(account->refused_ms, account->now_ms);
}

/* When this thread last came back from a long wait for a zone of which queries were refused. */
static _Thread_local uint64_t came_back_ms;

/* What decides about a query. */
struct view {
  bool full; /* as many as may do wait */
  bool crowded;
  bool used_up;
  bool first;   /* of its zone */
  bool flooded; /* others of its zone were refused */
};

static struct view look(struct p11s_admission *crowd, struct p11s_admission_token *token,
                        uint64_t lane, uint64_t now_ms)
{
  struct terms own = terms_for(crowd, crowd->tokens), all = terms_for(crowd, 1);
  const struct p11s_admission_zone *zone = &token->zone[lane % P11S_ADMISSION_ZONES];
  struct p11s_admission_account *a = &token->account;
  struct view view;

  charge(a, own, now_ms);
  charge(&crowd->all, all, now_ms);
  view.full = is_full(a, own) && is_full(&crowd->all, all);
  view.crowded = is_crowded(a, own) && is_crowded(&crowd->all, all);
  view.used_up = a->used >= own.most && crowd->all.used >= all.most;
  view.first = zone->waiting == 0;
  view.flooded = is_recent(zone->refused_ms, now_ms);
  return view;
}

static bool is_refused(const struct p11s_admission *crowd, const struct view *view, bool hurried)
{
  if (view->used_up && (!view->first || crowd->all.waiting + 1 >= crowd->threads))
    return true;
  return view->crowded &&
         ((view->full && !view->first) || (crowd->dealt && hurried && view->flooded));
}

static uint64_t longer(uint64_t a, uint64_t b)
{
  return a > b ? a : b;
}

static void shorten(struct p11s_wait *wait, uint64_t now_ms, uint64_t longest_ms)
{
  if (wait->deadline_ms > now_ms + longest_ms)
    wait->deadline_ms = now_ms + longest_ms;
}

static bool enter_locked(struct p11s_admission *crowd, struct p11s_admission_token *token,
                         uint64_t lane, uint64_t now_ms, uint64_t signature_ms,
                         struct p11s_wait *wait)
{
  struct p11s_admission_zone *zone = &token->zone[lane % P11S_ADMISSION_ZONES];
  struct view view = look(crowd, token, lane, now_ms);
  uint64_t longest = has_spare(crowd) ? P11S_ADMISSION_BURST_MS : 2 * P11S_ADMISSION_BURST_MS;

  if (wait->waited_ms <= P11S_ADMISSION_SHORT_MS &&
      is_refused(crowd, &view, wait->queued && now_ms < came_back_ms + P11S_ADMISSION_HURRY_MS)) {
    token->account.refused_ms = crowd->all.refused_ms = zone->refused_ms = now_ms;
    return false;
  }
  token->account.waiting++;
  zone->waiting++;
  crowd->all.waiting++;
  if (view.full && !view.first)
    shorten(wait, now_ms, longer(longest, 3 * signature_ms));
  if (crowd->dealt && view.crowded) {
    longest = view.flooded ? longer(P11S_ADMISSION_BURST_MS, 3 * signature_ms)
                           : longer(2 * P11S_ADMISSION_BURST_MS, 4 * signature_ms);
    shorten(wait, now_ms, longest > wait->waited_ms ? longest - wait->waited_ms : 0);
  }
  return true;
}

bool p11s_admission_enter(struct p11s_admission *crowd, struct p11s_admission_token *token,
                          uint64_t lane, uint64_t now_ms, uint64_t signature_ms,
                          struct p11s_wait *wait)
{
  bool entered;

  if (crowd->threads == 0)
    return true;
  p11s_lock(&crowd->lock);
  entered = enter_locked(crowd, token, lane, now_ms, signature_ms, wait);
  p11s_unlock(&crowd->lock);
  return entered;
}

void p11s_admission_leave(struct p11s_admission *crowd, struct p11s_admission_token *token,
                          uint64_t lane, uint64_t entered_ms, uint64_t now_ms)
{
  struct p11s_admission_zone *zone = &token->zone[lane % P11S_ADMISSION_ZONES];
  uint64_t waited_ms = now_ms - entered_ms;

  if (crowd->threads == 0)
    return;
  p11s_lock(&crowd->lock);
  leave(&token->account, terms_for(crowd, crowd->tokens), waited_ms, now_ms);
  leave(&crowd->all, terms_for(crowd, 1), waited_ms, now_ms);
  zone->waiting--;
  if (waited_ms > P11S_ADMISSION_SHORT_MS && is_recent(zone->refused_ms, now_ms))
    came_back_ms = now_ms;
  p11s_unlock(&crowd->lock);
}
