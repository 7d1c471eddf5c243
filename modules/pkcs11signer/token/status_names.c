/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "token/status_names.h"

#include <stdlib.h>
#include <string.h>

static const char away[] = "away";

static void free_strings(struct p11s_status_line *line)
{
  free((char *)line->module);
  free((char *)line->slot);
  free((char *)line->state);
  free((char *)line->pin);
  free((char *)line->trouble);
}

static bool copy_strings(struct p11s_status_line *line)
{
  line->module = strdup(line->module);
  line->slot = strdup(line->slot);
  line->state = strdup(line->state);
  line->pin = strdup(line->pin);
  line->trouble = strdup(line->trouble);
  if (line->module != NULL && line->slot != NULL && line->state != NULL && line->pin != NULL &&
      line->trouble != NULL)
    return true;
  free_strings(line);
  return false;
}

static bool make_room(struct p11s_status_names *names)
{
  size_t room = names->room == 0 ? 16 : 2 * names->room;
  struct p11s_status_line *lines;

  if (names->count < names->room)
    return true;
  lines = realloc(names->lines, room * sizeof *lines);
  if (lines == NULL)
    return false;
  names->lines = lines;
  names->room = room;
  return true;
}

void p11s_status_names_add(const struct p11s_status_line *line, void *arg)
{
  struct p11s_status_names *names = arg;
  struct p11s_status_line copy = *line;

  names->failed = names->failed || !make_room(names) || !copy_strings(&copy);
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

/* By that name it has not been missed yet. */
static void take_over_absence(struct p11s_status_line *line, const struct p11s_status_line *gone)
{
  char *state = strdup(gone->state), *trouble = strdup(gone->trouble);

  if (state == NULL || trouble == NULL) {
    free(state);
    free(trouble);
    return;
  }
  free((char *)line->state);
  free((char *)line->trouble);
  line->state = state;
  line->trouble = trouble;
  line->since = gone->since;
}

/* Of the count lines of one token: those seen last before it was found gone. */
static void spread_absence(struct p11s_status_line *lines, size_t count)
{
  const struct p11s_status_line *gone = NULL;

  for (size_t i = 0; i < count; i++)
    if (is_away(&lines[i]) && (gone == NULL || lines[i].since > gone->since))
      gone = &lines[i];
  for (size_t i = 0; gone != NULL && i < count; i++)
    if (!is_away(&lines[i]) && lines[i].seen <= gone->since)
      take_over_absence(&lines[i], gone);
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
    free_strings(&names->lines[i]);
  free(names->lines);
  *names = (struct p11s_status_names){NULL, 0, 0, false};
}
