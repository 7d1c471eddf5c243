/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/complete.h"

#include "command/manual.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

static void offer(const char *text, size_t len, const char *ending, const char *beginning)
{
  size_t typed = strlen(beginning);

  if (typed <= len && strncmp(text, beginning, typed) == 0)
    printf("%.*s%s\n", (int)len, text, ending);
}

static void offer_commands(const char *beginning)
{
  for (const struct p11s_manual *m = NULL; (m = p11s_manual_next(m)) != NULL;)
    offer(m->name, strlen(m->name), "", beginning);
}

static void offer_options(bool before_command, const char *beginning)
{
  for (const struct p11s_manual *m = NULL; (m = p11s_manual_next_option(m)) != NULL;) {
    if (before_command || strstr("--json --help", m->name) != NULL)
      offer(m->name, strlen(m->name), m->args[0] != '\0' ? "=" : "", beginning);
  }
}

/* The usage line's word for the argument of that number, from 0, without its brackets. false: there
   is none. */
static bool find_argument(const char *args, size_t number, const char **ret_word, size_t *ret_len)
{
  for (; number > 0 && *args != '\0'; number--) {
    args += strcspn(args, " ");
    args += strspn(args, " ");
  }
  args += strspn(args, "[");
  *ret_word = args;
  *ret_len = strcspn(args, " ]");
  return *ret_len > 0;
}

static bool is_option(const char *word)
{
  return word[0] == '-' && (word[1] == '-' || isalpha((unsigned char)word[1]));
}

/* Where the usage line has this word; what was typed for it, or NULL. */
static const char *typed_for(const struct p11s_manual *m, char *const *words, const char *name)
{
  const char *word;
  size_t len;

  for (size_t i = 0; *words != NULL && find_argument(m->args, i, &word, &len); words++) {
    if (is_option(*words))
      continue;
    if (len == strlen(name) && strncmp(word, name, len) == 0)
      return *words;
    i++;
  }
  return NULL;
}

/* Not of a PIN, or a number. */
static void ask_module(const struct p11s_manual *m, char *const *words, const char *kind,
                       const char *beginning, struct p11s_buf *line)
{
  static const char *const known[] = {"ALGORITHM", "LABEL", "MODULE", "PUBLABEL",
                                      "SLOT",      "TOKEN", "ZONE",   NULL};
  const char *module = typed_for(m, words, "MODULE");
  const char *slot = typed_for(m, words, "SLOT");
  size_t i = 0;

  while (known[i] != NULL && strcmp(known[i], kind) != 0)
    i++;
  if (known[i] == NULL)
    return;
  p11s_buf_addf(line, "complete %s ", kind);
  p11s_buf_add_shell(line, beginning);
  if (module != NULL) {
    p11s_buf_addstr(line, " ");
    p11s_buf_add_shell(line, module);
  }
  if (slot != NULL) {
    p11s_buf_addstr(line, " ");
    p11s_buf_add_shell(line, slot);
  }
}

bool p11s_complete(char *const *words, const char *beginning, struct p11s_buf *ret_line)
{
  const struct p11s_manual *m = words[0] != NULL ? p11s_manual_find(words[0]) : NULL;
  size_t count = 0, len = 0;
  const char *word = NULL;

  if (beginning[0] == '-')
    offer_options(words[0] == NULL, beginning);
  if (words[0] == NULL)
    offer_commands(beginning);
  if (m == NULL)
    return false;
  for (size_t i = 1; words[i] != NULL; i++)
    count += !is_option(words[i]);
  if (!find_argument(m->args, count, &word, &len))
    return false;
  /* One of several: those in lower case are typed as they stand. */
  for (const char *end = word + len; word < end; word += len + 1) {
    char kind[16];

    len = strcspn(word, "| ]");
    (void)snprintf(kind, sizeof kind, "%.*s", (int)len, word);
    if (!isupper((unsigned char)kind[0]))
      offer(word, len, "", beginning);
    else if (strcmp(kind, "COMMAND") == 0)
      offer_commands(beginning);
    else
      ask_module(m, words + 1, kind, beginning, ret_line);
  }
  (void)fflush(stdout);
  return ret_line->len > 0;
}
