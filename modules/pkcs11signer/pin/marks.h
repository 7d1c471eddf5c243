/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "base/secret.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * What is remembered of logins: a list of marks, and its form as a text.
 *
 * A PIN is in it as the scrypt hash of PIN, token's serial and the list's salt (16 MiB and about
 * 50 ms for each guess), as a fast hash of a few digits could be searched by whoever reads the
 * text. Neither the PIN nor its length is.
 *
 * The text, one mark a line, the oldest first:
 *
 *   pkcs11signer refused-pins 1
 *   salt HEX
 *   refused SERIAL LABEL HASH
 *   end SHA-256 of all before this line
 *
 * In SERIAL and LABEL, bytes other than letters, digits, '.', '_' and '-' are %XX; "%" is an empty
 * one.
 *
 * The list grows with the tokens and PINs there are. When it is full, or memory is, the oldest mark
 * that forbids nothing (proven, unlocked, one-more) makes room for a new one; a mark that keeps a
 * PIN from being tried goes only when no other is left. Of one token, the newest
 * P11S_PIN_MARKS_OF_TOKEN of each kind stay, so no token's wrong PINs displace another token's.
 *
 * No locks: a list belongs to its caller.
 */
#define P11S_PIN_MARKS_MAX 32768
#define P11S_PIN_MARKS_OF_TOKEN 64
#define P11S_PIN_MARKS_TEXT_MAX (8UL * 1024 * 1024) /* more than that many marks take */
#define P11S_PIN_SALT_LEN 16
#define P11S_PIN_HASH_LEN 32

enum p11s_pin_mark_kind {
  P11S_PIN_MARK_REFUSED,  /* the token said that this PIN is wrong */
  P11S_PIN_MARK_TRYING,   /* a login with it began; how it ended is not known (yet) */
  P11S_PIN_MARK_PROVEN,   /* the last PIN that the token took; one a token */
  P11S_PIN_MARK_UNLOCKED, /* unlock-login was said: one try. The hash is a random number */
  P11S_PIN_MARK_ONE_MORE, /* one try, because it was our own PIN that was wrong. No hash */
  P11S_PIN_MARK_UNCLEAR,  /* a login with this PIN failed, and the token did not say why */
  P11S_PIN_MARK_NONE,     /* no kind of mark */
};
#define P11S_PIN_MARK_KINDS P11S_PIN_MARK_NONE
#define P11S_PIN_MARKS(kind) (1U << P11S_PIN_MARK_##kind)
#define P11S_PIN_MARKS_OF_WRONG (P11S_PIN_MARKS(REFUSED) | P11S_PIN_MARKS(TRYING))
#define P11S_PIN_MARKS_THAT_FORBID (P11S_PIN_MARKS_OF_WRONG | P11S_PIN_MARKS(UNCLEAR))
#define P11S_PIN_MARKS_THAT_ALLOW (P11S_PIN_MARKS(UNLOCKED) | P11S_PIN_MARKS(ONE_MORE))

/* Whose PIN. The serial number alone does not tell: all of a TPM's tokens have the same, and a card
   with several PINs shows up as several tokens of one serial. */
struct p11s_pin_token {
  char serial[17];
  char label[33];
};

bool p11s_pin_token_is(const struct p11s_pin_token *token, const struct p11s_pin_token *other);

struct p11s_pin_mark {
  enum p11s_pin_mark_kind kind;
  struct p11s_pin_token token;
  unsigned char hash[P11S_PIN_HASH_LEN];
};

struct p11s_pin_marks {
  unsigned char salt[P11S_PIN_SALT_LEN];
  struct p11s_pin_mark *mark; /* the oldest first */
  size_t count;
  size_t size;  /* how many fit into mark */
  bool changed; /* by p11s_pin_marks_put() or p11s_pin_marks_remove(), since it was made */
};

/* Empty, with a salt of its own; false when there is no memory, or no random numbers. */
bool p11s_pin_marks_init(struct p11s_pin_marks *m);
/* *ret need not be empty before: it is not looked at. false: no memory. */
bool p11s_pin_marks_copy(const struct p11s_pin_marks *m, struct p11s_pin_marks *ret);
/* Frees what it holds. All zeros is a list that holds nothing. */
void p11s_pin_marks_clear(struct p11s_pin_marks *m);

/* The slow hash; false when it cannot be made (no memory). */
bool p11s_pin_marks_hash(const unsigned char *salt, const char *serial,
                         const struct p11s_secret *pin, unsigned char *ret_hash);

/* The newest mark of this kind and token; with hash, of this PIN. NULL when there is none. */
const struct p11s_pin_mark *p11s_pin_marks_find(const struct p11s_pin_marks *m,
                                                enum p11s_pin_mark_kind kind,
                                                const struct p11s_pin_token *token,
                                                const unsigned char *hash);
/* Removes those of these kinds, P11S_PIN_MARKS(REFUSED) | …, that p11s_pin_marks_find() would find;
   returns how many. */
size_t p11s_pin_marks_remove(struct p11s_pin_marks *m, unsigned kinds,
                             const struct p11s_pin_token *token, const unsigned char *hash);
/* Appends a mark; hash NULL: zeros. One that says the same already stays where it is. m must have
   been made by p11s_pin_marks_init(), _copy() or _parse(). */
void p11s_pin_marks_put(struct p11s_pin_marks *m, enum p11s_pin_mark_kind kind,
                        const struct p11s_pin_token *token, const unsigned char *hash);

void p11s_pin_marks_format(const struct p11s_pin_marks *m, struct p11s_buf *out);
/* P11S_ERR_SYNTAX for anything but what p11s_pin_marks_format() writes; P11S_ERR_NOMEM. *ret is
   written only on success, and not looked at before. */
enum p11s_err p11s_pin_marks_parse(const char *text, size_t len, struct p11s_pin_marks *ret);
