/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A build without a client library says so, and asks no database. */
#include "store/fleet/connection_none.c" /* NOLINT(bugprone-suspicious-include) */

#include "store/fleet/fleet.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void it_says_how_to_build_one(void **state)
{
  const struct p11s_fleet_config config = {.dbname = "signatures"};
  struct p11s_connection *conn = NULL;
  struct p11s_fleet *fleet = NULL;
  struct p11s_error e;

  (void)state;
  assert_false(p11s_fleet_is_built());
  assert_int_equal(p11s_connection_open(&config, 1, &conn, &e), P11S_ERR_HOST);
  assert_non_null(strstr(e.text, "apt-get install libmariadb-dev"));
  assert_null(conn);
  p11s_connection_close(NULL);
  assert_int_equal(p11s_fleet_open(&config, &fleet, &e), P11S_ERR_HOST);
  assert_null(fleet);
}

int main(void)
{
  static const struct CMUnitTest tests[] = {
      cmocka_unit_test(it_says_how_to_build_one),
  };

  return cmocka_run_group_tests_name("no connection", tests, NULL, NULL);
}
