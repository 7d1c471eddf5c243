/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which names `status` shows as one token. */
#include "token/status_names.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* A name of the card "dns", serial 1, in slot 7, as the first server knows it. */
static struct p11s_status_line line(const char *name, const char *state, int64_t since,
                                    int64_t seen)
{
  return (struct p11s_status_line){.server = 0,
                                   .pid = 1,
                                   .module = "opensc",
                                   .slot = name,
                                   .state = state,
                                   .since = since,
                                   .seen = seen,
                                   .pin = "ok",
                                   .trouble = strcmp(state, "away") == 0 ? "why" : "",
                                   .found = {.id = 7, .label = "dns", .serial = "1"}};
}

static struct p11s_status_names sorted(const struct p11s_status_line *lines, size_t count)
{
  struct p11s_status_names names = {NULL, 0, false};

  for (size_t i = 0; i < count; i++)
    p11s_status_names_add(&lines[i], &names);
  assert_false(names.failed);
  assert_int_equal(names.count, count);
  p11s_status_names_sort(&names);
  return names;
}

/* What all names are, as "NAME NAME state; NAME state; ". */
static void assert_groups(const struct p11s_status_line *lines, size_t count, const char *expected)
{
  struct p11s_status_names names = sorted(lines, count);
  struct p11s_buf text = P11S_BUF_INIT;
  size_t same;

  for (size_t i = 0; i < names.count; i += same) {
    same = p11s_status_names_same(&names, i);
    for (size_t j = i; j < i + same; j++)
      p11s_buf_addf(&text, "%s ", names.lines[j].slot);
    p11s_buf_addf(&text, "%s; ", names.lines[i].state);
  }
  assert_string_equal(p11s_buf_text(&text), expected);
  p11s_buf_clear(&text);
  p11s_status_names_clear(&names);
}

static void names_of_one_token(void **state)
{
  struct p11s_status_line lines[] = {line("dns", "ready", 10, 100), line("1", "ready", 20, 90),
                                     line("pkcs11:serial=1", "ready", 5, 80),
                                     line("7", "ready", 30, 70)};

  (void)state;
  assert_groups(lines, 4, "1 7 dns pkcs11:serial=1 ready; ");
  lines[1].state = "no-login"; /* a PIN of its own */
  assert_groups(lines, 4, "1 no-login; 7 dns pkcs11:serial=1 ready; ");
  assert_groups(lines, 0, "");
}

/* Each of these is something else than dns. */
static void other_tokens_stay_apart(void **state)
{
  struct p11s_status_line lines[] = {line("dns", "ready", 1, 100), line("other", "ready", 1, 100)};

  (void)state;
  (void)strcpy(lines[1].found.label, "other"); /* two of a TPM's tokens have one serial */
  assert_groups(lines, 2, "dns ready; other ready; ");
  lines[1] = lines[0];
  lines[1].slot = "other";
  lines[1].found.id = 8;
  assert_groups(lines, 2, "dns ready; other ready; ");
  lines[1].found.id = 7;
  lines[1].module = "softhsm2";
  assert_groups(lines, 2, "dns ready; other ready; ");
  lines[1].module = "opensc";
  lines[1].server = 1; /* in another container, where it is process 1 as well */
  assert_groups(lines, 2, "dns ready; other ready; ");
  lines[1].server = 0;
  assert_groups(lines, 2, "dns other ready; ");
}

/* Nobody knows whether they are names of one token. */
static void names_that_have_found_none(void **state)
{
  struct p11s_status_line lines[] = {line("dns", "away", 1, 100), line("1", "away", 1, 100),
                                     line("7", "untried", 0, 0)};

  (void)state;
  for (size_t i = 0; i < 3; i++)
    memset(&lines[i].found, 0, sizeof lines[i].found);
  assert_groups(lines, 3, "1 away; 7 untried; dns away; ");
}

/* The token was there when it was seen by one name, and has been found gone by another since. */
static void absence_is_of_all_names(void **state)
{
  struct p11s_status_line lines[] = {line("dns", "ready", 10, 100), line("1", "away", 120, 130),
                                     line("7", "ready", 10, 120)};
  struct p11s_status_names names;

  (void)state;
  assert_groups(lines, 3, "1 7 dns away; ");
  names = sorted(lines, 3);
  assert_int_equal(names.lines[2].since, 120);
  assert_string_equal(names.lines[2].trouble, "why");
  p11s_status_names_clear(&names);
  lines[0].seen = 121; /* it is there, and that name is wrong */
  assert_groups(lines, 3, "1 7 away; dns ready; ");
  lines[1].state = "stuck"; /* of a session, not of the token */
  assert_groups(lines, 3, "7 dns ready; 1 stuck; ");
}

int main(void)
{
  static const struct CMUnitTest tests[] = {
      cmocka_unit_test(names_of_one_token),
      cmocka_unit_test(other_tokens_stay_apart),
      cmocka_unit_test(names_that_have_found_none),
      cmocka_unit_test(absence_is_of_all_names),
  };

  return cmocka_run_group_tests_name("status_names", tests, NULL, NULL);
}
