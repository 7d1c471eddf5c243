/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "token/status_names.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char away[] = "away";

/* All its strings in one block, which is line->own. */
static bool copy_strings(struct p11s_status_line *line)
{
  const char **const string[] = {&line->module, &line->slot, &line->state, &line->pin,
                                 &line->trouble};
  const char *at;

  if (asprintf(&line->own, "%s%c%s%c%s%c%s%c%s", line->module, 0, line->slot, 0, line->state, 0,
               line->pin, 0, line->trouble) < 0)
    return false;
  at = line->own;
  for (size_t i = 0; i < sizeof string / sizeof string[0]; i++) {
    *string[i] = at;
    at += strlen(at) + 1;
  }
  return true;
}

void p11s_status_names_add(const struct p11s_status_line *line, void *arg)
{
  struct p11s_status_names *names = arg;
  struct p11s_status_line *lines, copy = *line;

  lines = reallocarray(names->lines, names->count + 1, sizeof *lines);
  if (lines != NULL)
    names->lines = lines;
  names->failed = names->failed || lines == NULL || !copy_strings(&copy);
  if (!names->failed)
    names->lines[names->count++] = copy;
}

/* Names that have found no token differ by themselves. */
static int compare_tokens(const struct p11s_status_line *a, const struct p11s_status_line *b)
{
  int order = (a->server > b->server) - (a->server < b->server);

  if (order == 0)
    order = strcmp(a->module, b->module);
  if (order == 0)
    order = p11s_slot_compare(&a->found, &b->found);
  return order == 0 && !p11s_slot_is_known(&a->found) ? strcmp(a->slot, b->slot) : order;
}

static int compare_lines(const void *one, const void *other)
{
  const struct p11s_status_line *a = one, *b = other;
  int order = compare_tokens(a, b);

  if (order == 0)
    order = strcmp(a->state, b->state);
  return order != 0 ? order : strcmp(a->slot, b->slot);
}

static bool is_away(const struct p11s_status_line *line)
{
  return strcmp(line->state, away) == 0;
}

/* Of the count lines of one token: those seen last before it was found gone. */
static void spread_absence(struct p11s_status_line *lines, size_t count)
{
  const struct p11s_status_line *gone = NULL;

  for (size_t i = 0; i < count; i++)
    if (is_away(&lines[i]) && (gone == NULL || lines[i].since > gone->since))
      gone = &lines[i];
  for (size_t i = 0; gone != NULL && i < count; i++)
    if (!is_away(&lines[i]) && lines[i].seen <= gone->since) {
      lines[i].state = gone->state; /* by that name it has not been missed yet */
      lines[i].trouble = gone->trouble;
      lines[i].since = gone->since;
    }
}

void p11s_status_names_sort(struct p11s_status_names *names)
{
  size_t first = 0;

  if (names->count == 0)
    return; /* qsort() wants an array */
  qsort(names->lines, names->count, sizeof *names->lines, compare_lines);
  for (size_t i = 1; i <= names->count; i++)
    if (i == names->count || compare_tokens(&names->lines[first], &names->lines[i]) != 0) {
      spread_absence(names->lines + first, i - first);
      first = i;
    }
  qsort(names->lines, names->count, sizeof *names->lines, compare_lines);
}

size_t p11s_status_names_same(const struct p11s_status_names *names, size_t first)
{
  const struct p11s_status_line *line = &names->lines[first];
  size_t count = 1;

  while (first + count < names->count && compare_tokens(line, line + count) == 0 &&
         strcmp(line->state, line[count].state) == 0)
    count++;
  return count;
}

void p11s_status_names_clear(struct p11s_status_names *names)
{
  for (size_t i = 0; i < names->count; i++)
    free(names->lines[i].own);
  free(names->lines);
  *names = (struct p11s_status_names){NULL, 0, false};
}
