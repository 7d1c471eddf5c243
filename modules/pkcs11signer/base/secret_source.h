/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "base/err.h"
#include "base/secret.h"

#include <stdbool.h>

/*
 * Where a PIN comes from. A PIN, in a reference or typed, is either the PIN
 * itself or a source:
 *
 *   file:/PATH        the file's content
 *   env:NAME          an environment variable of the server
 *   credential:NAME   $CREDENTIALS_DIRECTORY/NAME (systemd LoadCredential=)
 *
 * In the setting pkcs11signer-pin-source, %t stands for the token's label
 * (a '/' in it becomes '_'), %% for a percent sign. One trailing newline
 * (LF or CR LF) is dropped; a PIN from a source with another control character
 * in it is refused: it would only cost a try at the token. A file must be
 * regular, absolute, at most 1024 bytes, owned by root or by us, and not
 * readable or writable by others (mode & 0007); credentials are guarded by
 * systemd's directory, and read as root where root acts as somebody else (base/owner.h).
 * Sources are read anew at each call. No locks.
 */

/* Whether text names a source rather than being a PIN. */
bool p11s_pin_is_source(const char *text);

/* A PIN or a source as it stands in a row or a command; only a PIN is kept as a secret is. NULL: no
   memory. */
struct p11s_secret *p11s_pin_new(const char *text, size_t len);

/* P11S_ERR_SYNTAX for a path, which is a source without its file: and would cost a try as a PIN. To
   be asked of what people type; NULL is allowed. */
enum p11s_err p11s_pin_check_typed(const struct p11s_secret *pin, struct p11s_error *e);

/* Resolves a reference's PIN: given (may be NULL) if there is one, else default_source (may be NULL
   or ""). token_label is for %t. P11S_ERR_NO_PIN says what is missing or why a source cannot be
   used. The secret is the caller's. */
enum p11s_err p11s_pin_get(struct p11s_secret *given, const char *default_source,
                           const char *token_label, struct p11s_secret **ret_pin,
                           struct p11s_error *e);

/* The same for another secret, what it is ("password") being what errors call it: given is the
   secret itself or a source; path is a file's name. Here too P11S_ERR_NO_PIN says why not. */
enum p11s_err p11s_pin_read(const char *what, struct p11s_secret *given,
                            struct p11s_secret **ret_secret, struct p11s_error *e);
enum p11s_err p11s_pin_read_file(const char *what, const char *path,
                                 struct p11s_secret **ret_secret, struct p11s_error *e);

/* Asks on the terminal without echo (or reads one line of standard input when that is no terminal).
 */
enum p11s_err p11s_pin_ask(const char *prompt, struct p11s_secret **ret_pin, struct p11s_error *e);
