/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is known of a key pair without asking the token; test_keygen.c has what is asked. */
#include "pkcs11/keypair.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct p11s_keypair new_pair(const char *label)
{
  struct p11s_keypair pair;

  assert_int_equal(p11s_keypair_init(&pair, label, 0, NULL), P11S_OK);
  (void)snprintf(pair.tool, sizeof pair.tool,
                 "pkcs11-tool --module '/usr/lib/it'\\''s here.so' --token-label '$HOME'");
  return pair;
}

static void ids_differ(void **state)
{
  struct p11s_keypair one = new_pair("a key"), other = new_pair("a key");

  (void)state;
  assert_memory_not_equal(one.id, other.id, sizeof one.id);
  p11s_keypair_copy(&other, &one);
  assert_memory_equal(one.id, other.id, sizeof one.id);
}

static void begun_or_cancelled(void **state)
{
  struct p11s_keypair pair = new_pair("a key");

  (void)state;
  assert_true(p11s_keypair_begin(&pair));
  assert_false(p11s_keypair_cancel(&pair));
  assert_false(p11s_keypair_begin(&pair));
  pair = new_pair("a key");
  assert_true(p11s_keypair_cancel(&pair));
  assert_false(p11s_keypair_begin(&pair));
}

/* What the shell makes of the command that the error ends with: a line for each half. */
static void paste(const struct p11s_error *e, char *said, size_t size)
{
  const char *command = strstr(e->text, "this removes it: ");
  char line[2048];
  FILE *out;

  assert_non_null(command);
  (void)snprintf(line, sizeof line, "said() { printf '[%%s]' \"$@\"; }\nalias pkcs11-tool=said\n%s",
                 command + strlen("this removes it: "));
  out = popen(line, "r"); // NOLINT(cert-env33-c): a shell is what is tested
  assert_non_null(out);
  said[fread(said, 1, size - 1, out)] = '\0';
  assert_int_equal(pclose(out), 0);
}

static void what_is_left_can_be_removed(void **state)
{
  struct p11s_keypair pair = new_pair("it's \"a\" key");
  struct p11s_error e = {.code = P11S_ERR_TOKEN, .text = "it failed"};
  char said[1024], id[2 * P11S_KEYPAIR_ID_LEN + 16] = "[--id][";

  (void)state;
  for (size_t i = 0; i < sizeof pair.id; i++)
    (void)snprintf(id + strlen(id), 3, "%02x", pair.id[i]);
  p11s_keypair_say_left(&pair, &e);
  assert_string_equal(e.text, "it failed"); /* nothing can be there */
  assert_true(p11s_keypair_begin(&pair));
  p11s_keypair_say_left(&pair, &e);
  assert_int_equal(e.code, P11S_ERR_TOKEN);
  assert_ptr_equal(strstr(e.text, "it failed; the token may have made the key pair"), e.text);
  paste(&e, said, sizeof said);
  assert_non_null(strstr(said, "[--module][/usr/lib/it's here.so][--token-label][$HOME]"));
  assert_non_null(strstr(said, "[--type][pubkey]"));
  assert_non_null(strstr(said, "[--type][privkey]"));
  assert_non_null(strstr(said, id));
  atomic_store(&pair.state, P11S_PAIR_RENAMED);
  (void)snprintf(e.text, sizeof e.text, "it failed");
  p11s_keypair_say_left(&pair, &e);
  paste(&e, said, sizeof said);
  assert_non_null(strstr(said, "[--label][it's \"a\" key]"));
  assert_null(strstr(said, "[--id]"));
}

int main(void)
{
  static const struct CMUnitTest tests[] = {
      cmocka_unit_test(ids_differ),
      cmocka_unit_test(begun_or_cancelled),
      cmocka_unit_test(what_is_left_can_be_removed),
  };

  return cmocka_run_group_tests(tests, NULL, NULL);
}
