/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A list of records in a file. */
#include "admin/message_file.h"

#include "rig/rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct p11s_message_file *make(const char *directory)
{
  struct p11s_message_file *spool = NULL;
  struct p11s_error e;

  if (p11s_message_file_new(directory, &spool, &e) != P11S_OK)
    fail_msg("%s", e.text);
  return spool;
}

/* Of a length and content that belong to the number. */
static size_t data_of(unsigned number, unsigned char *data)
{
  size_t len = number * 37 % 3001;

  for (size_t i = 0; i < len; i++)
    data[i] = (unsigned char)(number + i);
  return len;
}

static void put(struct p11s_message_file *spool, unsigned first, unsigned last)
{
  unsigned char data[3001];
  struct p11s_error e;

  for (unsigned i = first; i < last; i++) {
    size_t len = data_of(i, data);

    if (p11s_message_file_add(spool, i, (int)(i % 10) - 1, data, len, &e) != P11S_OK)
      fail_msg("%s", e.text);
  }
}

static void must_hold(struct p11s_message_file *spool, unsigned count)
{
  unsigned char data[3001];
  struct p11s_message_file_record r;

  assert_int_equal(p11s_message_file_rewind(spool, NULL), P11S_OK);
  for (unsigned i = 0; i < count; i++) {
    assert_true(p11s_message_file_next(spool, &r));
    assert_int_equal(r.key, i);
    assert_int_equal(r.week, (int)(i % 10) - 1);
    assert_int_equal(r.len, data_of(i, data));
    assert_memory_equal(r.data, data, r.len);
    memset(r.data, 0, r.len); /* it is the reader's to change */
  }
  assert_false(p11s_message_file_next(spool, &r));
  assert_false(p11s_message_file_failed(spool));
}

static void what_is_written_is_read_again_and_again(void **state)
{
  struct p11s_message_file *spool = make("/tmp");

  (void)state;
  must_hold(spool, 0);
  put(spool, 0, 2000);
  must_hold(spool, 2000);
  must_hold(spool, 2000);
  p11s_message_file_free(spool);
  p11s_message_file_free(NULL);
}

static void there_is_another_place_when_the_directory_will_not_do(void **state)
{
  struct p11s_message_file *spool = make("/nonexistent/directory");

  (void)state;
  put(spool, 0, 10);
  must_hold(spool, 10);
  p11s_message_file_free(spool);
}

int main(void)
{
  static const struct CMUnitTest tests[] = {
      cmocka_unit_test(what_is_written_is_read_again_and_again),
      cmocka_unit_test(there_is_another_place_when_the_directory_will_not_do),
  };

  return cmocka_run_group_tests_name("spool", tests, NULL, NULL);
}
