/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "admin/measure.h"

#include "base/lock.h"
#include "signer/signer.h"
#include "token/token.h"

#include <pthread.h>
#include <string.h>

#define SINGLE 8       /* signatures one after the other, */
#define EACH 6         /* then of each session, */
#define WITHIN_MS 4000 /* unless that takes longer */
#define SESSIONS_MOST 64

struct trial {
  pthread_t thread;
  struct p11s_signer *signer;
  struct p11s_key *key;
  unsigned count;
  enum p11s_err result;
  struct p11s_error error;
};

static void *try_some(void *arg)
{
  struct trial *t = arg;
  uint64_t until = p11s_now_ms() + WITHIN_MS;

  /* The first one opens the session. */
  for (unsigned i = 0; t->result == P11S_OK && i <= t->count; i++)
    if (i < 2 || p11s_now_ms() < until)
      t->result = p11s_key_try(t->key, 0, p11s_signer_admin_deadline(t->signer), &t->error);
  return NULL;
}

/* The first failure's. */
static enum p11s_err try_at_once(struct p11s_signer *signer, struct p11s_key *key,
                                 unsigned sessions, struct p11s_error *e)
{
  struct trial trial[SESSIONS_MOST];
  enum p11s_err result = P11S_OK;
  unsigned started = 0;

  while (started < sessions && started < SESSIONS_MOST) {
    trial[started] = (struct trial){.signer = signer, .key = key, .count = EACH, .result = P11S_OK};
    if (pthread_create(&trial[started].thread, NULL, try_some, &trial[started]) != 0)
      break;
    started++;
  }
  for (unsigned i = 0; i < started; i++) {
    (void)pthread_join(trial[i].thread, NULL);
    if (result == P11S_OK && trial[i].result != P11S_OK)
      result = p11s_error_set(e, trial[i].result, "%s", trial[i].error.text);
  }
  return result;
}

enum p11s_err p11s_measure(struct p11s_signer *signer, struct p11s_key *key,
                           struct p11s_speed *ret_rate, unsigned *ret_room, struct p11s_error *e)
{
  struct trial alone = {.signer = signer, .key = key, .count = SINGLE, .result = P11S_OK};
  unsigned sessions = p11s_signer_config(signer)->sessions;
  struct p11s_token_stats stats;

  (void)try_some(&alone);
  if (alone.result != P11S_OK)
    return p11s_error_set(e, alone.result, "%s", alone.error.text);
  p11s_token_get_stats(p11s_key_token(key), &stats);
  if (stats.room != 0 && stats.room < sessions)
    sessions = stats.room;
  if (sessions > 1) {
    enum p11s_err result = try_at_once(signer, key, sessions, e);

    if (result != P11S_OK)
      return result;
  }
  p11s_token_get_stats(p11s_key_token(key), &stats);
  *ret_rate = stats.rate;
  *ret_room = stats.room;
  return P11S_OK;
}
