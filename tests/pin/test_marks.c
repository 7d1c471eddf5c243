/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The list of marks and its text. */
#include "pin/marks.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <openssl/evp.h>

static const unsigned char hash_a[P11S_PIN_HASH_LEN] = {0xaa, 1},
                           hash_b[P11S_PIN_HASH_LEN] = {0xbb};

static struct p11s_pin_marks *new_list(void)
{
  struct p11s_pin_marks *m = malloc(sizeof *m);

  assert_non_null(m);
  assert_true(p11s_pin_marks_init(m));
  return m;
}

static void put(struct p11s_pin_marks *m, enum p11s_pin_mark_kind kind, const char *serial,
                const char *label, const unsigned char *hash)
{
  struct p11s_pin_token token;

  (void)snprintf(token.serial, sizeof token.serial, "%s", serial);
  (void)snprintf(token.label, sizeof token.label, "%s", label);
  p11s_pin_marks_put(m, kind, &token, hash);
}

static void drop(struct p11s_pin_marks *m)
{
  p11s_pin_marks_clear(m);
  free(m);
}

static void assert_same(const struct p11s_pin_marks *a, const struct p11s_pin_marks *b)
{
  assert_memory_equal(a->salt, b->salt, sizeof a->salt);
  assert_int_equal(a->count, b->count);
  assert_memory_equal(a->mark, b->mark, a->count * sizeof *a->mark);
}

static struct p11s_pin_marks *sample(void)
{
  struct p11s_pin_marks *m = new_list();

  put(m, P11S_PIN_MARK_REFUSED, "s1", "a token (User)", hash_a);
  put(m, P11S_PIN_MARK_TRYING, "", "", hash_b);
  put(m, P11S_PIN_MARK_PROVEN, "0123456789abcdef", "\xc3\xa4 100%\t!", hash_a);
  put(m, P11S_PIN_MARK_UNLOCKED, "s2", "%41", hash_b);
  put(m, P11S_PIN_MARK_ONE_MORE, "s2", "01234567890123456789012345678901", NULL);
  put(m, P11S_PIN_MARK_UNCLEAR, "s2", "%41", hash_a);
  return m;
}

static void text_comes_back(void **state)
{
  struct p11s_pin_marks *m = sample(), again;
  struct p11s_buf text = P11S_BUF_INIT;

  (void)state;
  p11s_pin_marks_format(m, &text);
  assert_false(text.failed);
  assert_non_null(strstr(text.data, "\nrefused s1 a%20token%20%28User%29 aa01"));
  assert_non_null(strstr(text.data, "\ntrying % % bb00"));
  assert_int_equal(p11s_pin_marks_parse(text.data, text.len, &again), P11S_OK);
  assert_same(m, &again);
  assert_false(again.changed);
  p11s_buf_clear(&text);
  p11s_pin_marks_clear(&again);
  drop(m);
}

/* Written by the version that knew a token by its serial alone: it counts. */
static void an_old_text_is_read(void **state)
{
  static const char text[] =
      "pkcs11signer refused-pins 1\n"
      "salt 00112233445566778899aabbccddeeff\n"
      "refused s1 a%20token "
      "aa01000000000000000000000000000000000000000000000000000000000000\n"
      "one-more s1 a%20token "
      "0000000000000000000000000000000000000000000000000000000000000000\n"
      "end 5c668c54b34ddb232b7d68f9b2888daa7153c1884d0255532291f823ca3e9a8f\n";
  static const struct p11s_pin_token token = {"s1", "a token"}, namesake = {"s1", "another"};
  struct p11s_pin_marks m;

  (void)state;
  assert_int_equal(p11s_pin_marks_parse(text, sizeof text - 1, &m), P11S_OK);
  assert_int_equal(m.count, 2);
  assert_non_null(p11s_pin_marks_find(&m, P11S_PIN_MARK_REFUSED, &token, hash_a));
  assert_null(p11s_pin_marks_find(&m, P11S_PIN_MARK_REFUSED, &namesake, hash_a));
  p11s_pin_marks_clear(&m);
}

/* -- as many as there may be */

/* All of one kind, of a token each. */
static struct p11s_pin_marks *full_list(enum p11s_pin_mark_kind kind)
{
  struct p11s_pin_marks *m = new_list();

  m->size = P11S_PIN_MARKS_MAX;
  m->mark = realloc(m->mark, m->size * sizeof *m->mark);
  assert_non_null(m->mark);
  for (; m->count < P11S_PIN_MARKS_MAX; m->count++) {
    struct p11s_pin_mark *mark = &m->mark[m->count];

    memset(mark, 0, sizeof *mark);
    mark->kind = kind;
    (void)snprintf(mark->token.serial, sizeof mark->token.serial, "%zu", m->count);
    memset(mark->token.label, 0xff, sizeof mark->token.label - 1);
    memset(mark->hash, 0xff, sizeof mark->hash);
  }
  return m;
}

static void a_full_list_comes_back(void **state)
{
  struct p11s_pin_marks *m = full_list(P11S_PIN_MARK_UNLOCKED), again;
  struct p11s_buf text = P11S_BUF_INIT;

  (void)state;
  for (size_t i = 0; i < m->count; i++)
    memset(m->mark[i].token.serial, 0xff, sizeof m->mark[i].token.serial - 1);
  p11s_pin_marks_format(m, &text);
  assert_true(text.len <= P11S_PIN_MARKS_TEXT_MAX);
  assert_int_equal(p11s_pin_marks_parse(text.data, text.len, &again), P11S_OK);
  assert_same(m, &again);
  p11s_buf_clear(&text);
  p11s_pin_marks_clear(&again);
  drop(m);
}

static bool has_serial(const struct p11s_pin_marks *m, const char *serial)
{
  for (size_t i = 0; i < m->count; i++)
    if (strcmp(m->mark[i].token.serial, serial) == 0)
      return true;
  return false;
}

static void what_forbids_goes_last(void **state)
{
  struct p11s_pin_marks *m = full_list(P11S_PIN_MARK_REFUSED);

  (void)state;
  m->mark[1].kind = P11S_PIN_MARK_TRYING;
  m->mark[2].kind = P11S_PIN_MARK_UNCLEAR;
  m->mark[3].kind = P11S_PIN_MARK_ONE_MORE;
  m->mark[100].kind = P11S_PIN_MARK_PROVEN;
  put(m, P11S_PIN_MARK_REFUSED, "new1", "a token", hash_a);
  assert_false(has_serial(m, "3"));
  put(m, P11S_PIN_MARK_PROVEN, "new2", "a token", hash_a);
  assert_false(has_serial(m, "100"));
  put(m, P11S_PIN_MARK_REFUSED, "new3", "a token", hash_a);
  assert_false(has_serial(m, "new2")); /* the only one that forbids nothing */
  assert_true(has_serial(m, "0"));
  put(m, P11S_PIN_MARK_TRYING, "new4", "a token", hash_a);
  assert_false(has_serial(m, "0"));
  assert_int_equal(m->count, P11S_PIN_MARKS_MAX);
  for (size_t i = 0; i < m->count; i++)
    assert_true(m->mark[i].kind != P11S_PIN_MARK_PROVEN);
  drop(m);
}

static void a_token_displaces_only_its_own(void **state)
{
  struct p11s_pin_marks *m = new_list();
  unsigned char hash[P11S_PIN_HASH_LEN] = {0};
  static const struct p11s_pin_token s1 = {"s1", "a token"}, s2 = {"s2", "a token"};

  (void)state;
  put(m, P11S_PIN_MARK_REFUSED, "s2", "a token", hash_a);
  for (unsigned i = 0; i <= 2 * P11S_PIN_MARKS_OF_TOKEN; i++) {
    hash[0] = (unsigned char)i;
    put(m, P11S_PIN_MARK_REFUSED, "s1", "a token", hash);
  }
  assert_int_equal(m->count, P11S_PIN_MARKS_OF_TOKEN + 1);
  assert_non_null(p11s_pin_marks_find(m, P11S_PIN_MARK_REFUSED, &s2, hash_a));
  assert_non_null(p11s_pin_marks_find(m, P11S_PIN_MARK_REFUSED, &s1, hash));
  hash[0] = P11S_PIN_MARKS_OF_TOKEN + 1;
  assert_non_null(p11s_pin_marks_find(m, P11S_PIN_MARK_REFUSED, &s1, hash));
  hash[0] = P11S_PIN_MARKS_OF_TOKEN;
  assert_null(p11s_pin_marks_find(m, P11S_PIN_MARK_REFUSED, &s1, hash));
  drop(m);
}

static void changes_are_noted(void **state)
{
  struct p11s_pin_marks *m = sample(), copy;
  static const struct p11s_pin_token s1 = {"s1", "a token (User)"};

  (void)state;
  assert_true(m->changed);
  assert_true(p11s_pin_marks_copy(m, &copy));
  assert_same(m, &copy);
  put(&copy, P11S_PIN_MARK_REFUSED, "s1", "a token (User)", hash_a);
  (void)p11s_pin_marks_remove(&copy, P11S_PIN_MARKS(REFUSED), &s1, hash_b);
  assert_false(copy.changed); /* both are so already */
  (void)p11s_pin_marks_remove(&copy, P11S_PIN_MARKS(REFUSED), &s1, hash_a);
  assert_true(copy.changed);
  assert_int_equal(copy.count, m->count - 1);
  p11s_pin_marks_clear(&copy);
  assert_true(p11s_pin_marks_copy(m, &copy));
  put(&copy, P11S_PIN_MARK_REFUSED, "s3", "a token", hash_a);
  assert_true(copy.changed);
  p11s_pin_marks_clear(&copy);
  p11s_pin_marks_clear(&copy); /* all zeros */
  drop(m);
}

static void anything_else_is_refused(void **state)
{
  static const char *const others[] = {
      "",
      "\n",
      "pkcs11signer refused-pins 1\n",
      "pkcs11signer refused-pins 2\nsalt 00\n",
      "#!/bin/sh\n",
      "pkcs11signer refused-pins 1\nsalt 00112233445566778899aabbccddeeff\n"};
  struct p11s_pin_marks *m = sample(), again = {.count = 7};
  struct p11s_buf text = P11S_BUF_INIT;
  char *bad;

  (void)state;
  for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
    assert_int_equal(p11s_pin_marks_parse(others[i], strlen(others[i]), &again), P11S_ERR_SYNTAX);
  p11s_pin_marks_format(m, &text);
  bad = malloc(text.len + 1);
  assert_non_null(bad);
  for (size_t len = 0; len < text.len; len++) /* cut off anywhere */
    assert_int_equal(p11s_pin_marks_parse(text.data, len, &again), P11S_ERR_SYNTAX);
  for (size_t at = 0; at < text.len; at++) { /* any byte another one */
    memcpy(bad, text.data, text.len);
    bad[at] = (char)(bad[at] ^ 1);
    assert_int_equal(p11s_pin_marks_parse(bad, text.len, &again), P11S_ERR_SYNTAX);
    bad[at] = '\0';
    assert_int_equal(p11s_pin_marks_parse(bad, text.len, &again), P11S_ERR_SYNTAX);
  }
  memcpy(bad, text.data, text.len);
  bad[text.len] = '\n'; /* something behind it */
  assert_int_equal(p11s_pin_marks_parse(bad, text.len + 1, &again), P11S_ERR_SYNTAX);
  assert_int_equal(again.count, 7); /* untouched */
  assert_null(again.mark);
  p11s_buf_clear(&text);
  free(bad);
  drop(m);
}

static void a_mark_is_of_its_kind_token_and_pin(void **state)
{
  static const struct p11s_pin_token s1 = {"s1", "a token (User)"}, s2 = {"s2", "a token (User)"},
                                     namesake = {"s1", "a token"};
  struct p11s_pin_marks *m = sample();
  size_t count = m->count;

  (void)state;
  assert_non_null(p11s_pin_marks_find(m, P11S_PIN_MARK_REFUSED, &s1, hash_a));
  assert_non_null(p11s_pin_marks_find(m, P11S_PIN_MARK_REFUSED, &s1, NULL));
  assert_null(p11s_pin_marks_find(m, P11S_PIN_MARK_REFUSED, &s1, hash_b));
  assert_null(p11s_pin_marks_find(m, P11S_PIN_MARK_REFUSED, &s2, hash_a));
  assert_null(p11s_pin_marks_find(m, P11S_PIN_MARK_REFUSED, &namesake, hash_a));
  assert_null(p11s_pin_marks_find(m, P11S_PIN_MARK_TRYING, &s1, hash_a));
  put(m, P11S_PIN_MARK_REFUSED, "s1", "a token (User)", hash_a);
  assert_int_equal(m->count, count); /* known already */
  assert_int_equal(p11s_pin_marks_remove(m, P11S_PIN_MARKS(REFUSED), &s1, hash_b), 0);
  assert_int_equal(p11s_pin_marks_remove(m, P11S_PIN_MARKS(REFUSED), &s1, NULL), 1);
  assert_null(p11s_pin_marks_find(m, P11S_PIN_MARK_REFUSED, &s1, NULL));
  assert_int_equal(m->count, count - 1);
  drop(m);
}

static void hash_is_of_salt_serial_and_pin(void **state)
{
  static const unsigned char salt[P11S_PIN_SALT_LEN] = {1}, other_salt[P11S_PIN_SALT_LEN] = {2};
  struct p11s_secret *pin = p11s_secret_new("123456", 6), *other = p11s_secret_new("123457", 6);
  unsigned char hash[P11S_PIN_HASH_LEN], again[P11S_PIN_HASH_LEN];

  (void)state;
  assert_true(p11s_pin_marks_hash(salt, "s1", pin, hash));
  assert_true(p11s_pin_marks_hash(salt, "s1", pin, again));
  assert_memory_equal(hash, again, sizeof hash);
  assert_true(p11s_pin_marks_hash(other_salt, "s1", pin, again));
  assert_memory_not_equal(hash, again, sizeof hash);
  assert_true(p11s_pin_marks_hash(salt, "s11", pin, again));
  assert_memory_not_equal(hash, again, sizeof hash);
  assert_true(p11s_pin_marks_hash(salt, "s1", other, again));
  assert_memory_not_equal(hash, again, sizeof hash);
  assert_true(p11s_pin_marks_hash(salt, "s1", NULL, again)); /* no PIN is one too */
  assert_true(p11s_pin_marks_hash(salt, "", pin, again));
  p11s_secret_release(pin);
  p11s_secret_release(other);
}

/* What is in files must go on to count, whatever makes the hash. */
static void hash_is_libcryptos_scrypt(void **state)
{
  struct p11s_secret *pin = p11s_secret_new("pin~1234", 8);
  static const unsigned char serial[] = {'s', 'e', 'r', 'i', 'a', 'l'};
  unsigned char salt[P11S_PIN_SALT_LEN + sizeof serial], hash[P11S_PIN_HASH_LEN];
  unsigned char expected[sizeof hash];

  (void)state;
  memcpy(salt, hash_a, P11S_PIN_SALT_LEN);
  memcpy(salt + P11S_PIN_SALT_LEN, serial, sizeof serial);
  assert_int_equal(EVP_PBE_scrypt("pin~1234", 8, salt, sizeof salt, 16384, 8, 1, 64UL << 20,
                                  expected, sizeof expected),
                   1);
  assert_true(p11s_pin_marks_hash(hash_a, "serial", pin, hash));
  assert_memory_equal(hash, expected, sizeof hash);
  p11s_secret_release(pin);
}

/* -- memory: a thread that has made a hash, and goes on */

#define THREADS 8

static pthread_barrier_t made, measured;

static void *make_hash(void *arg)
{
  struct p11s_secret *pin = p11s_secret_new("pin~1234", 8);
  unsigned char hash[P11S_PIN_HASH_LEN];
  bool *good = arg;

  /* Twice: what malloc() maps by itself the first time it takes from the thread's arena then. */
  for (unsigned i = 0; i < 2; i++)
    *good = pin != NULL && p11s_pin_marks_hash(hash_a, "serial", pin, hash);
  p11s_secret_release(pin);
  (void)pthread_barrier_wait(&made);
  (void)pthread_barrier_wait(&measured);
  return NULL;
}

static size_t resident_mib(void)
{
  char line[100], *second; /* number of pages */
  FILE *in = fopen("/proc/self/statm", "re");

  assert_non_null(in);
  assert_non_null(fgets(line, sizeof line, in));
  assert_int_equal(fclose(in), 0);
  second = strchr(line, ' ');
  assert_non_null(second);
  return strtoul(second, NULL, 10) * (size_t)sysconf(_SC_PAGESIZE) >> 20;
}

static void a_hash_leaves_no_memory_with_its_thread(void **state)
{
  size_t before = resident_mib(), after;
  bool good[THREADS] = {false};
  pthread_t thread[THREADS];

  (void)state;
  assert_int_equal(pthread_barrier_init(&made, NULL, THREADS + 1), 0);
  assert_int_equal(pthread_barrier_init(&measured, NULL, THREADS + 1), 0);
  for (unsigned i = 0; i < THREADS; i++)
    assert_int_equal(pthread_create(&thread[i], NULL, make_hash, &good[i]), 0);
  (void)pthread_barrier_wait(&made);
  after = resident_mib();
  (void)pthread_barrier_wait(&measured);
  for (unsigned i = 0; i < THREADS; i++) {
    assert_int_equal(pthread_join(thread[i], NULL), 0);
    assert_true(good[i]);
  }
  assert_true(after < before + (size_t)2 * THREADS); /* MiB */
  assert_int_equal(pthread_barrier_destroy(&made), 0);
  assert_int_equal(pthread_barrier_destroy(&measured), 0);
}

int main(void)
{
  static const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_hash_leaves_no_memory_with_its_thread),
      cmocka_unit_test(hash_is_libcryptos_scrypt),
      cmocka_unit_test(text_comes_back),
      cmocka_unit_test(an_old_text_is_read),
      cmocka_unit_test(a_full_list_comes_back),
      cmocka_unit_test(what_forbids_goes_last),
      cmocka_unit_test(a_token_displaces_only_its_own),
      cmocka_unit_test(changes_are_noted),
      cmocka_unit_test(anything_else_is_refused),
      cmocka_unit_test(a_mark_is_of_its_kind_token_and_pin),
      cmocka_unit_test(hash_is_of_salt_serial_and_pin),
  };

  return cmocka_run_group_tests_name("pinmarks", tests, NULL, NULL);
}
