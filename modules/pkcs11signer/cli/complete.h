/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "base/buf.h"

#include <stdbool.h>

/*
 * What may stand for a word of `pkcs11signer`, by the usage line of its command (command/manual.h).
 *
 * words: the command and its arguments before that word, NULL behind the last; beginning: what is
 * there of the word. Prints candidates that the manual knows, a line each. Returns true when the
 * module knows more: *ret_line is the command that prints them (command/complete.c), for
 * p11s_command_run(). No locks.
 */
bool p11s_complete(char *const *words, const char *beginning, struct p11s_buf *ret_line);
