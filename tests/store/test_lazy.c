/* SPDX-License-Identifier: GPL-2.0-or-later */
/* When a store is opened, and by whom. */
#include "store/lazy.h"
#include "rig/rig.h"
#include "rig/store_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static unsigned tries;

static void note_try(void *arg)
{
  assert_ptr_equal(arg, &tries);
  tries++;
}

static struct p11s_lazy_store *make(bool wanted)
{
  const struct p11s_lazy_store_config config = {.store = {store_rig_directory(), 8, NULL, false},
                                                .wanted = wanted,
                                                .tried = note_try,
                                                .arg = &tries};
  struct p11s_lazy_store *lazy = p11s_lazy_store_new(&config);

  assert_non_null(lazy);
  tries = 0;
  return lazy;
}

static void discard(struct p11s_lazy_store *lazy)
{
  assert_true(p11s_lazy_store_stop(lazy, rig_later()));
  p11s_lazy_store_free(lazy);
}

static void the_first_who_asks_opens_it(void **state)
{
  struct p11s_lazy_store *lazy = make(true);
  struct p11s_store *store;

  (void)state;
  assert_null(p11s_lazy_store_peek(lazy));
  assert_int_equal(tries, 0);
  store = p11s_lazy_store_get(lazy);
  assert_non_null(store);
  assert_int_equal(tries, 1);
  assert_ptr_equal(p11s_lazy_store_get(lazy), store);
  assert_ptr_equal(p11s_lazy_store_peek(lazy), store);
  p11s_lazy_store_open(lazy, rig_later());
  assert_int_equal(tries, 1);
  discard(lazy);
}

static void a_server_opens_it_in_a_thread(void **state)
{
  struct p11s_lazy_store *lazy = make(true);

  (void)state;
  p11s_lazy_store_open(lazy, rig_later());
  assert_non_null(p11s_lazy_store_peek(lazy));
  assert_int_equal(tries, 1);
  discard(lazy);
}

static void who_wants_none_gets_none(void **state)
{
  struct p11s_lazy_store *lazy = make(false);

  (void)state;
  assert_null(p11s_lazy_store_get(lazy));
  assert_null(p11s_lazy_store_get(lazy));
  assert_int_equal(tries, 1);
  discard(lazy);
  assert_null(p11s_lazy_store_get(NULL));
  assert_null(p11s_lazy_store_peek(NULL));
  assert_true(p11s_lazy_store_stop(NULL, 0));
  p11s_lazy_store_free(NULL);
}

static void after_the_end_nobody_opens_it(void **state)
{
  struct p11s_lazy_store *lazy = make(true);

  (void)state;
  assert_true(p11s_lazy_store_stop(lazy, rig_later()));
  assert_null(p11s_lazy_store_get(lazy));
  assert_int_equal(tries, 0);
  p11s_lazy_store_free(lazy);
}

int main(void)
{
  static const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup(the_first_who_asks_opens_it, store_rig_empty),
      cmocka_unit_test_setup(a_server_opens_it_in_a_thread, store_rig_empty),
      cmocka_unit_test_setup(who_wants_none_gets_none, store_rig_empty),
      cmocka_unit_test_setup(after_the_end_nobody_opens_it, store_rig_empty),
  };

  return cmocka_run_group_tests_name("lazy", tests, store_rig_setup, store_rig_teardown);
}
