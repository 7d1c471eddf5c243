/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef P11S_TOKEN_INTERNAL_H
#define P11S_TOKEN_INTERNAL_H

#include "pinguard.h"
#include "queue.h"
#include "token.h"

#include <pthread.h>

/* Shared by token.c (queue), worker.c (threads) and token_login.c; nobody else includes it. */
struct p11s_token {
  char *engine; /* immutable, like slot and config */
  char *slot;
  struct p11s_token_config config;

  pthread_mutex_t lock;  /* guards everything below */
  pthread_cond_t work;   /* a job was queued, or stopping was set */
  pthread_cond_t change; /* a worker ended, or login_busy was cleared */
  bool stopping;
  struct p11s_queue *queue;
  bool limit_known; /* a session has been open: the token has said how many it has */
  unsigned limit;   /* sessions the token has room for, as far as is known; 1 until then */
  unsigned alive;   /* worker threads that may still touch the token */
  bool have_ended;
  pthread_t ended;  /* the one that ended last; it joins the one before it */
  unsigned workers; /* those that take jobs */
  unsigned idle;
  unsigned with_session; /* workers that hold a session or are about to open one */
  bool login_busy;       /* one worker is in C_Login */
  uint64_t epoch;
  struct p11s_token_stats stats;
};

/* Starts a worker; it counts itself out of token->workers when it ends. token->lock is held. */
bool p11s_worker_start_locked(struct p11s_token *token);

/* In a worker: logs the session in with the PIN given, or the one that pkcs11signer-pin-source has
   when NULL, unless the token is logged in already. One worker at a time; a PIN known to be
   refused is not tried. token->lock is not held. */
enum p11s_err p11s_token_log_in(struct p11s_token *token, struct p11s_session *session,
                                struct p11s_secret *given, struct p11s_error *e);

#endif
