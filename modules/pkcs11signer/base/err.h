/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/*
 * Errors of the core: a code to decide by, and one line for the operator.
 *
 * Functions of the core return enum p11s_err and take a struct p11s_error *,
 * which may be NULL and is written only on failure. The text names what was
 * expected, what was found and what to do; it never holds a PIN. Text that
 * comes from outside (labels, table content) is passed through
 * p11s_error_clean() by p11s_error_set(), so a message is always one line of
 * printable UTF-8.
 *
 * No locks; a struct p11s_error belongs to its caller.
 */

enum p11s_err {
  P11S_OK = 0,
  P11S_ERR_NOMEM,        /* out of memory */
  P11S_ERR_SYNTAX,       /* key reference, URI or command line is malformed */
  P11S_ERR_NO_MODULE,    /* p11-kit knows no module of this name, or it does not load */
  P11S_ERR_NO_SLOTS,     /* the module has no slots at all, or cannot say which */
  P11S_ERR_NO_TOKEN,     /* no such token, or it is not there now */
  P11S_ERR_NO_KEY,       /* the token is there, the key is not */
  P11S_ERR_AMBIGUOUS,    /* two tokens, or two keys, answer to the name */
  P11S_ERR_KEY_TYPE,     /* the key is not of the algorithm's type, or too small */
  P11S_ERR_KEY_MISMATCH, /* the token's public key is not the pinned one */
  P11S_ERR_MECHANISM,    /* the token does not offer what the algorithm needs */
  P11S_ERR_NO_PIN,       /* a PIN is needed and none is given, or its source cannot be read */
  P11S_ERR_PIN_REFUSED,  /* the token refused this PIN, or may have; it is not tried again */
  P11S_ERR_PIN_LOCKED,   /* the token's PIN is locked, or on its final try */
  P11S_ERR_TOO_LONG,     /* the token refuses a message for its length */
  P11S_ERR_TOKEN,        /* any other PKCS#11 error */
  P11S_ERR_TIMEOUT,      /* the deadline passed */
  P11S_ERR_BUSY,         /* the token's queue is full */
  P11S_ERR_SIGNATURE,    /* a signature that does not verify */
  P11S_ERR_EXISTS,       /* it is there already */
  P11S_ERR_HOST,         /* PowerDNS or its database refused */
  P11S_ERR_STOPPED,      /* the process is going down */
};

#define P11S_ERROR_SIZE 1024
struct p11s_error {
  enum p11s_err code;
  char text[P11S_ERROR_SIZE];
  unsigned long rv; /* the PKCS#11 call's CK_RV, where that is the reason (pkcs11/rv.h); else 0 */
};

/* Fills *e (when not NULL) and returns code, so that `return p11s_error_set(…)` reads well. */
enum p11s_err p11s_error_set(struct p11s_error *e, enum p11s_err code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Gives the same error another text. */
void p11s_error_reword(struct p11s_error *e, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* P11S_ERR_NOMEM, "out of memory". */
enum p11s_err p11s_error_no_memory(struct p11s_error *e);

/* Puts text and ": " before the message; cuts the end off when it gets too long. */
void p11s_error_prefix(struct p11s_error *e, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Replaces control characters and broken UTF-8 in a NUL-terminated text by '?', in place. */
void p11s_error_clean(char *text);

/* Control characters (C1 too), line separators, and what reorders the text around it on a
   terminal. */
bool p11s_error_is_control(uint32_t character);

/* What a noun behind this count ends with: "s", or nothing. */
const char *p11s_plural(uint64_t count);
