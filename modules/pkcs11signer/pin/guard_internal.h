/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef P11S_PIN_GUARD_INTERNAL_H
#define P11S_PIN_GUARD_INTERNAL_H

#include "base/lock.h"
#include "pin/marks_file.h"
#include "pin/guard.h"
#include "pin/marks.h"

#include <pthread.h>

/* Shared by pin/guard.c (what is known), pin/guard_try.c (the rules) and pin/guard_unlock.c; nobody
   else includes it. */
#define RING_MAX 8192
#define MAC_LEN 32

struct fast {
  unsigned char token[MAC_LEN]; /* HMAC(key, label and serial) */
  unsigned char pin[MAC_LEN];   /* HMAC(token, PIN) */
};

struct known {
  struct fast fast;
  unsigned char salt[P11S_PIN_SALT_LEN]; /* of slow hashes only, like hash */
  unsigned char hash[P11S_PIN_HASH_LEN];
};

/* Grows with the tokens there are. At RING_MAX, or without memory, the next one takes the place of
   the oldest. An entry whose token is all zeros is free. */
struct ring {
  struct known *entry;
  unsigned room;
  unsigned count;
  unsigned next;
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

/* Reads the file anew if it is another one than last time. */
void p11s_pin_guard_refresh(struct p11s_pin_guard *g);

/* As far as it was read. */
bool p11s_pin_guard_is_marked(struct p11s_pin_guard *g, enum p11s_pin_mark_kind kind,
                              const struct p11s_pin_token *token, const struct p11s_secret *pin);

/* A change to what is known of one PIN, or of a token's (pin NULL). */
struct p11s_pin_change {
  /* hash: the PIN's, with the salt of m. May be called twice, and under a lock: makes no call. */
  void (*apply)(struct p11s_pin_marks *m, const unsigned char *hash,
                struct p11s_pin_change *change);
  const struct p11s_pin_token *token;
  const struct p11s_secret *pin;
  bool one_more;               /* a corrected PIN may be tried */
  const unsigned char *random; /* unlock-login's */
  size_t removed;              /* out: how many PINs were forgotten */
};
/* Changes the list in the file; where that is not possible, the process's own, and returns false.
 */
bool p11s_pin_guard_change(struct p11s_pin_guard *g, struct p11s_pin_change *change);

/* Takes away what allows a try although the token's count is low. */
void p11s_pin_guard_drop_allowances(struct p11s_pin_marks *m, const struct p11s_pin_token *token);

/* The token took the PIN from this process, or takes it no more: it was changed there, and which
   one is right is not known. */
void p11s_pin_guard_note_verdict(struct p11s_pin_guard *g, const struct p11s_pin_token *token,
                                 const struct p11s_secret *pin, bool accepted);

#endif
