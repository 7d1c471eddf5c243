/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "command/split.h"

#include "base/secret.h"
#include "base/text.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static bool is_blank(char c)
{
  return c == ' ' || c == '\t';
}

/* One word from *from to *to, which move on. What is written is never longer than what is read. */
static enum p11s_err take_word(const char **from, char **to, struct p11s_error *e)
{
  const char *in = *from;
  char *out = *to;
  char quote = '\0';

  for (; *in != '\0' && (quote != '\0' || !is_blank(*in)); in++) {
    if (quote != '\0' && *in == quote) {
      quote = '\0';
    } else if (quote == '\0' && (*in == '\'' || *in == '"')) {
      quote = *in;
    } else if (*in == '\\' && quote != '\'') {
      if (in[1] == '\0')
        return p11s_error_set(e, P11S_ERR_SYNTAX, "the line ends in a backslash");
      in++;
      *out++ = *in;
    } else {
      *out++ = *in;
    }
  }
  if (quote != '\0')
    return p11s_error_set(e, P11S_ERR_SYNTAX, "a quote (%c) is opened and not closed", quote);
  *out++ = '\0';
  *from = in;
  *to = out;
  return P11S_OK;
}

static enum p11s_err check_line(const char *line, size_t len, struct p11s_error *e)
{
  if (len > P11S_WORDS_LINE_MAX)
    return p11s_error_set(e, P11S_ERR_SYNTAX, "the line is longer than %d bytes",
                          P11S_WORDS_LINE_MAX);
  for (const char *p = line; *p != '\0';) {
    uint32_t code = 0;
    size_t n = p11s_utf8_decode(p, &code);
    if (n == 0)
      return p11s_error_set(e, P11S_ERR_SYNTAX, "the line is not UTF-8, at byte %zu",
                            (size_t)(p - line) + 1);
    if (code != '\t' && (code < 0x20 || (code >= 0x7f && code < 0xa0)))
      return p11s_error_set(e, P11S_ERR_SYNTAX, "the line holds a control character, at byte %zu",
                            (size_t)(p - line) + 1);
    p += n;
  }
  return P11S_OK;
}

enum p11s_err p11s_words_split(const char *line, struct p11s_words *ret_words, struct p11s_error *e)
{
  struct p11s_words w = {0};
  size_t len = strlen(line);
  char *to;
  enum p11s_err err = check_line(line, len, e);

  if (err != P11S_OK)
    return err;
  /* Every word but the last is followed by a blank, so their NULs fit. */
  w.size = len + 1;
  w.text = calloc(1, w.size);
  if (w.text == NULL)
    return p11s_error_no_memory(e);
  to = w.text;
  for (;;) {
    while (is_blank(*line))
      line++;
    if (*line == '\0')
      break;
    if (w.count == P11S_WORDS_MAX) {
      err = p11s_error_set(e, P11S_ERR_SYNTAX, "the line has more than %d words", P11S_WORDS_MAX);
      break;
    }
    w.word[w.count] = to;
    err = take_word(&line, &to, e);
    if (err != P11S_OK)
      break;
    w.count++;
  }
  if (err != P11S_OK) {
    p11s_words_clear(&w);
    return err;
  }
  *ret_words = w;
  return P11S_OK;
}

void p11s_words_clear(struct p11s_words *words)
{
  if (words->text != NULL) {
    p11s_wipe(words->text, words->size);
    free(words->text);
  }
  memset(words, 0, sizeof *words);
}

static bool is_option(const char *word)
{
  return word[0] == '-' && (word[1] == '-' || isalpha((unsigned char)word[1]));
}

static enum p11s_err unknown_option(const struct p11s_words *words, size_t at, const char *own,
                                    struct p11s_error *e)
{
  return p11s_error_set(
      e, P11S_ERR_SYNTAX,
      "word %zu behind %s is an unknown option; %s has --json, --help%s%s. Behind "
      "-- words that begin with - are none",
      at, words->word[0], words->word[0], own != NULL ? ", " : "", own != NULL ? own : "");
}

enum p11s_err p11s_words_take_options(struct p11s_words *words, const char *own,
                                      struct p11s_options *ret, struct p11s_error *e)
{
  size_t kept = words->count > 0 ? 1 : 0;
  bool ended = false;

  *ret = (struct p11s_options){false, false, false};
  for (size_t i = kept; i < words->count; i++) {
    char *word = words->word[i];

    if (ended || !is_option(word))
      words->word[kept++] = word;
    else if (strcmp(word, "--") == 0)
      ended = true;
    else if (strcmp(word, "--json") == 0)
      ret->json = true;
    else if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)
      ret->help = true;
    else if (own != NULL && strcmp(word, own) == 0)
      ret->own = true;
    else
      return unknown_option(words, i, own, e);
  }
  words->count = kept;
  words->word[kept] = NULL;
  return P11S_OK;
}
