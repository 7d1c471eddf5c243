/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The table of tokens; no token is asked. */
#include "token/tokens.h"
#include "rig/rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static unsigned firsts;

static void note_first(void *arg)
{
  assert_ptr_equal(arg, &firsts);
  firsts++;
}

static struct p11s_tokens *make(void)
{
  const struct p11s_tokens_config config = {
      .token = {.sessions = 1}, .first = note_first, .arg = &firsts};
  struct p11s_tokens *tokens = p11s_tokens_new(&config);

  assert_non_null(tokens);
  firsts = 0;
  return tokens;
}

static struct p11s_token *get(struct p11s_tokens *tokens, const char *engine, const char *slot)
{
  struct p11s_token *token = NULL;

  assert_int_equal(p11s_tokens_get(tokens, engine, slot, &token, NULL), P11S_OK);
  return token;
}

static void discard(struct p11s_tokens *tokens)
{
  assert_true(p11s_tokens_stop(tokens, rig_later()));
  p11s_tokens_free(tokens);
}

static void a_token_is_made_once(void **state)
{
  struct p11s_tokens *tokens = make();
  struct p11s_token *token = get(tokens, "a", "one");

  (void)state;
  assert_ptr_equal(get(tokens, "a", "one"), token);
  assert_ptr_not_equal(get(tokens, "a", "two"), token);
  assert_ptr_not_equal(get(tokens, "b", "one"), token);
  assert_string_equal(p11s_token_engine(token), "a");
  assert_string_equal(p11s_token_slot(token), "one");
  assert_int_equal(firsts, 1);
  discard(tokens);
}

static void count_all(const struct p11s_token *token, const struct p11s_token_stats *stats,
                      void *arg)
{
  unsigned *count = arg;

  (void)token;
  count[0]++;
  count[1] += stats->retired;
}

static void the_list_leaves_out_who_is_retired(void **state)
{
  struct p11s_tokens *tokens = make();
  struct p11s_token *retired = get(tokens, "a", "one"), *other = get(tokens, "a", "two"), **list;
  unsigned count[2] = {0, 0};
  size_t listed;

  (void)state;
  assert_true(p11s_token_retire(retired));
  assert_true(p11s_tokens_list(tokens, &list, &listed));
  assert_int_equal(listed, 1);
  assert_ptr_equal(list[0], other);
  free(list);
  p11s_tokens_each(tokens, count_all, count);
  assert_int_equal(count[0], 2);
  assert_int_equal(count[1], 1);
  discard(tokens);
}

static void there_are_no_new_ones_after_the_end(void **state)
{
  struct p11s_tokens *tokens = make();
  struct p11s_token *token = NULL;
  struct p11s_error e;

  (void)state;
  assert_true(p11s_tokens_stop(tokens, rig_later()));
  assert_int_equal(p11s_tokens_get(tokens, "a", "one", &token, &e), P11S_ERR_STOPPED);
  assert_null(token);
  assert_int_equal(firsts, 0);
  discard(tokens); /* twice is no harm */
  assert_true(p11s_tokens_stop(NULL, 0));
  p11s_tokens_free(NULL);
}

int main(void)
{
  static const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_token_is_made_once),
      cmocka_unit_test(the_list_leaves_out_who_is_retired),
      cmocka_unit_test(there_are_no_new_ones_after_the_end),
  };

  rig_watchdog();
  return cmocka_run_group_tests_name("tokens", tests, NULL, NULL);
}
