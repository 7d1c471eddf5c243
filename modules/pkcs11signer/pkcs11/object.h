/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "format/algorithm.h"
#include "pkcs11/attribute.h"
#include "base/err.h"
#include "format/pubkey.h"

#include <p11-kit/pkcs11.h>
#include <stdbool.h>
#include <stddef.h>

/*
 * Key objects on a token: finding them and reading their public half. All
 * functions take an open session (logged in where the token wants that) and
 * call PKCS#11: only from workers and administrative commands. No locks.
 *
 * A label is compared byte by byte with CKA_LABEL; one that begins with
 * "pkcs11:" is an RFC 7512 URI whose `object` and `id` are compared. Where no private key has it,
 * one that has it with a NUL or blanks behind it is taken: as listings show it.
 */

/* The private keys that the label names, those of another type left out: one, as a rule.
   P11S_ERR_NO_KEY names those that are there (at most 10), P11S_ERR_KEY_TYPE says which type was
   expected. On success there is at least one, and the caller clears *ret. */
enum p11s_err p11s_object_find_privates(struct p11s_session *session,
                                        const struct p11s_algorithm *alg, const char *label,
                                        struct p11s_handles *ret, struct p11s_error *e);

/* Public keys, each once. Those beyond the most are left out. */
#define P11S_PUBLICS_MOST 8
struct p11s_publics {
  struct p11s_pubkey *list[P11S_PUBLICS_MOST];
  size_t count;
};
/* Frees the keys and makes it empty. */
void p11s_publics_clear(struct p11s_publics *publics);

/* A private key whose public half is looked for. */
struct p11s_private {
  const struct p11s_algorithm *alg;
  CK_OBJECT_HANDLE handle;
  const char *label;
  const char *pub_label; /* NULL: the same */
};

/*
 * Adds the public half of a private key to *publics, from the first of these that has it: the
 * public key object (same CKA_ID as the private key among those with pub_label or, when that is
 * NULL, label; else the one with that CKA_ID; else the one with that label; a pub_label that was
 * given goes before the CKA_ID), the private key's own attributes, a certificate with the same
 * CKA_ID or label. Where several public key objects with different keys answer alike, the private
 * key's own attributes decide; where it has none, all of them are added. P11S_ERR_NO_KEY when there
 * is none, P11S_ERR_KEY_TYPE when it is of another type, curve or size.
 */
enum p11s_err p11s_object_read_publics(struct p11s_session *session, const struct p11s_private *key,
                                       struct p11s_publics *publics, struct p11s_error *e);

/* The public key that an object's own attributes hold (CKA_MODULUS and CKA_PUBLIC_EXPONENT, or
   CKA_EC_POINT; else CKA_PUBLIC_KEY_INFO, PKCS#11 v2.40 section 4.9). P11S_ERR_NO_KEY when the
   token does not give them, P11S_ERR_KEY_TYPE. */
enum p11s_err p11s_object_public_from(struct p11s_session *session,
                                      const struct p11s_algorithm *alg, CK_OBJECT_HANDLE object,
                                      struct p11s_pubkey **ret_key, struct p11s_error *e);

/* One key as a listing shows it. */
struct p11s_object_info {
  char label[256];
  char id[129];  /* hex */
  char type[32]; /* "RSA-2048", "P-256", "Ed25519", … or the number */
  bool has_private;
  bool has_public;
};
/* Calls fn once for each key (private and public object of one CKA_ID and label together), sorted
 * by label, id. */
enum p11s_err p11s_object_each(struct p11s_session *session,
                               void (*fn)(const struct p11s_object_info *info, void *arg),
                               void *arg, struct p11s_error *e);
