/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "base/lock.h"
#include "pin/marks_file.h"
#include "pin/guard.h"
#include "pin/marks.h"

#include <pthread.h>
#include <sys/queue.h>

/* Shared by the pin/guard*.c. */
#define MAC_LEN 32

/* What one PIN of a token is known by, in this process alone. */
struct fast {
  unsigned char token[MAC_LEN];          /* HMAC(key, label and serial) */
  unsigned char pin[MAC_LEN];            /* HMAC(token, PIN) */
  unsigned char salt[P11S_PIN_SALT_LEN]; /* of a slow hash; else zeros */
};

struct known {
  TAILQ_ENTRY(known) link;
  struct fast fast;
  unsigned char hash[P11S_PIN_HASH_LEN]; /* the slow one */
};

/* Grows with the tokens there are, up to 8192; then the next one displaces the oldest. */
struct ring {
  TAILQ_HEAD(, known) list;
  unsigned count;
};

struct p11s_pin_guard {
  unsigned char key[MAC_LEN]; /* immutable, like dir */
  char *dir;                  /* NULL: none */

  struct p11s_mutex
      hashing; /* guards nothing: held while a slow hash is made, which takes 16 MiB */

  struct p11s_mutex lock; /* guards the rest */
  pthread_cond_t left;    /* a try has ended */
  struct p11s_pin_try *tries;
  struct p11s_pin_marks shared; /* the file, when shared_id was its version */
  struct p11s_marks_file_id shared_id;
  struct p11s_pin_marks own; /* what could not be written; its salt is immutable */
  bool complained;           /* that the directory cannot be used */
  struct ring accepted;      /* the PIN of the last login, one a token */
  struct ring news;          /* what was logged; pin[0] is the reason */
  struct ring slow;          /* slow hashes that were made */
};

/* The slow hash, from memory when it was made before. Waits for those that others are making. */
bool p11s_pin_guard_hash(struct p11s_pin_guard *g, const unsigned char *salt,
                         const struct p11s_pin_token *token, const struct p11s_secret *pin,
                         unsigned char *ret);

void p11s_pin_guard_memory_init(struct p11s_pin_guard *g);
void p11s_pin_guard_memory_clear(struct p11s_pin_guard *g);

/* What was logged of the token is news again. */
void p11s_pin_guard_forget_news_locked(struct p11s_pin_guard *g,
                                       const struct p11s_pin_token *token);

/* Reads the file anew if it is another one than last time. */
void p11s_pin_guard_refresh(struct p11s_pin_guard *g);

/* As far as it was read. */
bool p11s_pin_guard_is_marked(struct p11s_pin_guard *g, enum p11s_pin_mark_kind kind,
                              const struct p11s_pin_token *token, const struct p11s_secret *pin);

/* A change to what is known of a PIN, or of all the token's. */
struct p11s_pin_change {
  const struct p11s_pin_token *token;
  const struct p11s_secret *pin; /* NULL: all */
  unsigned of_pin, of_token;     /* marks that go: kinds, as for p11s_pin_marks_remove() */
  enum p11s_pin_mark_kind put;   /* the mark that comes, or P11S_PIN_MARK_NONE, */
  bool unless_put;               /* and nothing changes when it is there */
  bool one_more;                 /* a corrected PIN may be tried */
  const unsigned char *random;   /* in place of the PIN's hash, for P11S_PIN_MARK_UNLOCKED */
  size_t forgotten;              /* out: how many PINs were refused, or whose login was cut short */
};
/* Changes the list in the file; where that is not possible, the process's own, and returns false.
 */
bool p11s_pin_guard_change(struct p11s_pin_guard *g, struct p11s_pin_change *change);

/* The token took the PIN from this process, or takes it no more: it was changed there, and which
   one is right is not known. */
void p11s_pin_guard_note_verdict(struct p11s_pin_guard *g, const struct p11s_pin_token *token,
                                 const struct p11s_secret *pin, bool accepted);
