/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "store/fleet/connection.h"
#include "store/fleet/sql.h"
#include "store/record.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ID_1 "x'0101010101010101010101010101010101010101010101010101010101010101'"
#define ID_2 "x'0202020202020202020202020202020202020202020202020202020202020202'"
#define SERVER "x'5353535353535353'"

static const unsigned char server[P11S_FLEET_SERVER_LEN] = {'S', 'S', 'S', 'S', 'S', 'S', 'S', 'S'};

static struct p11s_op *make_op(enum p11s_op_kind kind, int id, const char *message,
                               const char *signature)
{
  unsigned char key[P11S_RECORD_KEY_LEN];
  const struct p11s_store_record record = {key,
                                           (const unsigned char *)message,
                                           strlen(message),
                                           (const unsigned char *)signature,
                                           strlen(signature),
                                           0,
                                           1};
  struct p11s_op *op;

  memset(key, id + 1, sizeof key);
  op = p11s_op_new_put(key, &record);
  assert_non_null(op);
  op->kind = kind;
  memset(op->id, id, sizeof op->id);
  return op;
}

static void assert_written(enum p11s_op_kind kind, const char *expected)
{
  struct p11s_op *op[2] = {make_op(kind, 1, "m'", "s"), make_op(kind, 2, "", "\\")};
  struct p11s_buf sql = P11S_BUF_INIT;

  p11s_fleet_sql_write(&sql, op, 2, server, 4000000000U - 21 * 86400);
  assert_string_equal(p11s_buf_text(&sql), expected);
  assert_true(sql.len <= 300 + p11s_fleet_op_size(op[0]) + p11s_fleet_op_size(op[1]));
  p11s_buf_clear(&sql);
  free(op[0]);
  free(op[1]);
}

static void writes(void **state)
{
  (void)state;
  assert_written(
      P11S_OP_PUT,
      "INSERT INTO pkcs11signer_signatures (id,key_id,expires,last_used,claimed_by,claimed_at,"
      "message,signature) VALUES (" ID_1 "," ID_2 ",4000000000,UTC_DATE(),NULL,NULL,x'6d27',x'73'),"
      "(" ID_2 ",x'0303030303030303030303030303030303030303030303030303030303030303',4000000000,"
      "UTC_DATE(),NULL,NULL,x'',x'5c') ON DUPLICATE KEY UPDATE key_id=VALUES(key_id),"
      "expires=VALUES(expires),last_used=VALUES(last_used),claimed_by=NULL,claimed_at=NULL,"
      "message=VALUES(message),signature=VALUES(signature)");
  assert_written(P11S_OP_FORGET,
                 "DELETE FROM pkcs11signer_signatures WHERE id IN (" ID_1 "," ID_2 ")");
  assert_written(P11S_OP_USED,
                 "UPDATE pkcs11signer_signatures SET last_used=UTC_DATE() WHERE id IN (" ID_1
                 "," ID_2 ") AND last_used<UTC_DATE()");
  assert_written(P11S_OP_ABANDON, "DELETE FROM pkcs11signer_signatures WHERE id IN (" ID_1 "," ID_2
                                  ") AND signature='' AND claimed_by=" SERVER);
}

static void look_ups_and_claims(void **state)
{
  unsigned char one[P11S_STORE_ID_LEN], two[P11S_STORE_ID_LEN];
  const struct p11s_fleet_wanted wanted[] = {{one, two, 7}, {two, one, 8}};
  struct p11s_buf sql = P11S_BUF_INIT;

  (void)state;
  memset(one, 1, sizeof one);
  memset(two, 2, sizeof two);
  p11s_fleet_sql_find(&sql, wanted, 2);
  assert_non_null(strstr(p11s_buf_text(&sql), " WHERE id IN (" ID_1 "," ID_2 ")"));
  p11s_buf_clear(&sql);
  p11s_fleet_sql_claim(&sql, wanted, 2, server);
  assert_non_null(strstr(p11s_buf_text(&sql), "INSERT IGNORE"));
  assert_non_null(strstr(p11s_buf_text(&sql), " VALUES (" ID_1 "," ID_2 ",7,UTC_DATE()," SERVER
                                              ",UTC_TIMESTAMP(3),'',''),(" ID_2 "," ID_1
                                              ",8,UTC_DATE()," SERVER ",UTC_TIMESTAMP(3),'','')"));
  p11s_buf_clear(&sql);
  p11s_fleet_sql_walk(&sql, one, 10);
  assert_non_null(strstr(p11s_buf_text(&sql), " WHERE id>" ID_1 " ORDER BY id LIMIT 10"));
  p11s_buf_clear(&sql);
  p11s_fleet_sql_expired(&sql, 10000, 5);
  assert_non_null(strstr(p11s_buf_text(&sql),
                         "expires<LEAST(UNIX_TIMESTAMP()-3600,6400) ORDER BY expires LIMIT 5"));
  p11s_buf_clear(&sql);
  p11s_fleet_sql_expired(&sql, 100, 5); /* it does not wrap */
  assert_non_null(strstr(p11s_buf_text(&sql), "UNIX_TIMESTAMP()-3600,0)"));
  p11s_buf_clear(&sql);
  p11s_fleet_sql_delete(&sql, one, 1);
  assert_non_null(strstr(p11s_buf_text(&sql), "DELETE"));
  p11s_buf_clear(&sql);
}

/* The id says key and message. */
static void ids(void **state)
{
  unsigned char key[P11S_RECORD_KEY_LEN] = {0}, one[P11S_STORE_ID_LEN], two[P11S_STORE_ID_LEN];

  (void)state;
  assert_true(p11s_fleet_id(key, one));
  key[0] = 1;
  assert_true(p11s_fleet_id(key, two));
  assert_memory_not_equal(one, two, sizeof one);
  key[0] = 0;
  key[sizeof key - 1] = 1;
  assert_true(p11s_fleet_id(key, two));
  assert_memory_not_equal(one, two, sizeof one);
}

static void expirations(void **state)
{
  unsigned char message[40] = {0, 1, 13, 2, 0, 0, 0, 60, 0x70, 0, 0, 1};

  (void)state;
  assert_int_equal(p11s_fleet_expires(message, sizeof message, 1000), 0x70000001);
  assert_int_equal(p11s_fleet_expires(message, 3, 1000), 1000 + 21 * 86400);
}

static struct p11s_fleet_field field(const char *text)
{
  return (struct p11s_fleet_field){(const unsigned char *)text, text != NULL ? strlen(text) : 0};
}

static void rows(void **state)
{
  static const char id[] = "12345678901234567890123456789012",
                    key[] = "abcdefghijabcdefghijabcdefghijab";
  struct p11s_fleet_field f[7] = {field(id),  field(key),       field(NULL),       field(NULL),
                                  field("1"), field("message"), field("signature")};
  struct p11s_fleet_row row;

  (void)state;
  assert_true(p11s_fleet_row_parse(f, 7, &row));
  assert_int_equal(row.signature_len, 9);
  assert_int_equal(row.idle_days, 1);
  assert_false(p11s_fleet_row_parse(f, 6, &row));
  f[2] = field("SSSSSSSS");
  f[3] = field("2500000");
  f[6] = field("");
  assert_true(p11s_fleet_row_parse(f, 7, &row)); /* a claim */
  assert_int_equal(row.signature_len, 0);
  assert_int_equal(row.age_ms, 2500);
  f[3] = field("-5000000");
  assert_true(p11s_fleet_row_parse(f, 7, &row));
  assert_int_equal(row.age_ms, 0);
  f[3] = field("99999999999999999999999999999999");
  assert_true(p11s_fleet_row_parse(f, 7, &row));
  f[2] = field("short");
  assert_false(p11s_fleet_row_parse(f, 7, &row)); /* nobody's */
  f[2] = field("SSSSSSSS");
  f[0] = field("short");
  assert_false(p11s_fleet_row_parse(f, 7, &row));
  f[0] = field(id);
  f[5] = field(NULL);
  assert_false(p11s_fleet_row_parse(f, 7, &row));
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(writes), cmocka_unit_test(look_ups_and_claims),
      cmocka_unit_test(ids),    cmocka_unit_test(expirations),
      cmocka_unit_test(rows),
  };

  return cmocka_run_group_tests(tests, NULL, NULL);
}
