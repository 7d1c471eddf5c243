/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * Splitting a command line into words at blanks and tabs. '…' keeps
 * everything up to the next ' as it is; in "…" and outside of quotes a
 * backslash keeps the next character. Quotes may begin in the middle of a
 * word, and '' is an empty word. Other control characters are refused: no
 * label, slot or PIN can hold one in a key reference.
 *
 * Words may be PINs: clearing wipes them. Errors never quote the line. No locks.
 */
#define P11S_WORDS_MAX 32
#define P11S_WORDS_LINE_MAX 65536

struct p11s_words {
  size_t count;
  char *word[P11S_WORDS_MAX + 1]; /* NUL-terminated; NULL behind the last */
  char *text;                     /* what they point into */
  size_t size;
};

/* P11S_ERR_SYNTAX: a quote that does not end, more than P11S_WORDS_MAX words, a line longer than
   P11S_WORDS_LINE_MAX, a control character, broken UTF-8. */
enum p11s_err p11s_words_split(const char *line, struct p11s_words *ret_words,
                               struct p11s_error *e);

/* Wipes and frees; fine for a zeroed struct and a second time. */
void p11s_words_clear(struct p11s_words *words);

struct p11s_options {
  bool json, help;
  bool own; /* the command's */
};

/* Takes the options out of the list: words behind the first that begin with "--", or with '-' and a
   letter. Behind "--", which goes too, there are none. own: an option of the command's besides
   --json and --help (-h), or NULL. P11S_ERR_SYNTAX: another one; a PIN may stand there, so it is
   named by its place. */
enum p11s_err p11s_words_take_options(struct p11s_words *words, const char *own,
                                      struct p11s_options *ret, struct p11s_error *e);
