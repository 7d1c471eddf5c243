/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Writes that wait for a thread. */
#include "store/op.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MIB ((size_t)1 << 20)

static struct p11s_op_queue queue;

static int begin(void **state)
{
  (void)state;
  p11s_op_queue_init(&queue);
  return 0;
}

static int end(void **state)
{
  (void)state;
  p11s_ops_free(&queue.ops);
  return 0;
}

static bool add(enum p11s_op_kind kind, unsigned char number, size_t size)
{
  struct p11s_op *op = p11s_op_new(kind, &number, 1, NULL, 0);
  bool added;

  assert_non_null(op);
  added = p11s_op_queue_add(&queue, op, size);
  if (!added)
    free(op);
  return added;
}

/* What is taken out, as its numbers, in order. */
static const char *take(size_t most, size_t most_bytes, bool one_kind)
{
  static char text[64];
  struct p11s_ops ops = STAILQ_HEAD_INITIALIZER(ops);
  size_t count = p11s_op_queue_take(&queue, &ops, most, most_bytes, one_kind), len = 0;
  struct p11s_op *op;

  STAILQ_FOREACH(op, &ops, link)
  text[len++] = (char)('0' + op->key[0]);
  text[len] = '\0';
  assert_int_equal(count, len);
  p11s_ops_free(&ops);
  assert_true(STAILQ_EMPTY(&ops));
  return text;
}

static void a_write_has_its_own_copy(void **state)
{
  unsigned char key[P11S_RECORD_KEY_LEN] = {1, 2, 3}, value[] = "value";
  struct p11s_op *op = p11s_op_new(P11S_OP_PUT_PUBLIC, key, P11S_STORE_ID_LEN, value, sizeof value);

  (void)state;
  assert_non_null(op);
  key[0] = value[0] = 0;
  assert_int_equal(op->kind, P11S_OP_PUT_PUBLIC);
  assert_int_equal(op->key[0], 1);
  assert_int_equal(op->len, sizeof value);
  assert_string_equal((const char *)op->value, "value");
  free(op);
}

static void a_put_is_as_it_stands_in_the_file(void **state)
{
  static const unsigned char key[P11S_RECORD_KEY_LEN] = {7};
  const struct p11s_store_record record = {.message = (const unsigned char *)"message",
                                           .message_len = 7,
                                           .signature = (const unsigned char *)"signature",
                                           .signature_len = 9};
  struct p11s_op *op = p11s_op_new_put(key, &record);
  struct p11s_store_record parsed;

  (void)state;
  assert_non_null(op);
  assert_int_equal(op->kind, P11S_OP_PUT);
  assert_true(p11s_record_parse(op->key, sizeof op->key, op->value, op->len, &parsed));
  assert_int_equal(parsed.message_len, 7);
  assert_memory_equal(parsed.message, "message", 7);
  free(op);
}

static void first_come_first_out(void **state)
{
  (void)state;
  assert_string_equal(take(5, MIB, false), "");
  for (unsigned char i = 1; i <= 5; i++)
    assert_true(add(P11S_OP_PUT, i, 10));
  assert_int_equal(queue.count, 5);
  assert_int_equal(queue.bytes, 50);
  assert_string_equal(take(2, MIB, false), "12");
  assert_string_equal(take(9, 20, false), "34"); /* so many bytes */
  assert_true(add(P11S_OP_PUT, 6, 10));
  assert_string_equal(take(9, 5, false), "5"); /* one at least */
  assert_string_equal(take(9, 19, false), "6");
  assert_int_equal(queue.count, 0);
  assert_int_equal(queue.bytes, 0);
  assert_int_equal(queue.in, 6);
}

static void one_kind_at_a_time(void **state)
{
  (void)state;
  assert_true(add(P11S_OP_PUT, 1, 1));
  assert_true(add(P11S_OP_PUT, 2, 1));
  assert_true(add(P11S_OP_USED, 3, 1));
  assert_true(add(P11S_OP_PUT, 4, 1));
  assert_string_equal(take(9, MIB, true), "12");
  assert_string_equal(take(9, MIB, true), "3");
  assert_true(add(P11S_OP_FORGET, 5, 1));
  assert_string_equal(take(9, MIB, false), "45");
}

static void a_full_queue_takes_no_more(void **state)
{
  unsigned count = 0;

  (void)state;
  for (unsigned i = 0; i < 16; i++)
    assert_true(add(P11S_OP_PUT, 1, MIB));
  assert_false(add(P11S_OP_PUT, 2, 1));
  assert_int_equal(queue.bytes, 16 * MIB);
  assert_string_equal(take(1, MIB, false), "1");
  assert_true(add(P11S_OP_PUT, 2, MIB));
  assert_false(add(P11S_OP_PUT, 2, 1));
  (void)end(state);
  (void)begin(state);
  while (add(P11S_OP_USED, 1, 1))
    count++;
  assert_int_equal(count, 10000);
  assert_int_equal(queue.in, 10000);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
  static const struct CMUnitTest tests[] = {
      TEST(a_write_has_its_own_copy),   TEST(a_put_is_as_it_stands_in_the_file),
      TEST(first_come_first_out),       TEST(one_kind_at_a_time),
      TEST(a_full_queue_takes_no_more),
  };

  return cmocka_run_group_tests_name("op", tests, NULL, NULL);
}
