/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The rules for PINs, in memory and over a state directory. */
#include "base/lock.h"
#include "pin/marks_file.h"
#include "rig/pin_rig.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* Linked in place of p11s_pin_marks_hash(): counted. */
bool __real_p11s_pin_marks_hash(const unsigned char *salt, const char *serial,
                                const struct p11s_secret *pin, unsigned char *ret_hash);
bool __wrap_p11s_pin_marks_hash(const unsigned char *salt, const char *serial,
                                const struct p11s_secret *pin, unsigned char *ret_hash);
static atomic_uint hashes, at_once, most_at_once, with_file_locked;

bool __wrap_p11s_pin_marks_hash(const unsigned char *salt, const char *serial,
                                const struct p11s_secret *pin, unsigned char *ret_hash)
{
  unsigned now = atomic_fetch_add(&at_once, 1) + 1;
  int lock = p11s_marks_file_lock(pin_dir, P11S_MARKS_FILE_CHANGE, p11s_now_ms());
  bool good;

  if (lock < 0)
    atomic_fetch_add(&with_file_locked, 1);
  else
    (void)close(lock);

  atomic_fetch_add(&hashes, 1);
  if (now > atomic_load(&most_at_once))
    atomic_store(&most_at_once, now);
  good = __real_p11s_pin_marks_hash(salt, serial, pin, ret_hash);
  atomic_fetch_sub(&at_once, 1);
  return good;
}

/* -- what both kinds of guard do */

static void remembers(struct p11s_pin_guard *g)
{
  assert_false(pin_refused(g, "a1", "pin~1234"));
  pin_wrong(g, "a1", "pin~1234");
  assert_true(pin_refused(g, "a1", "pin~1234"));
  assert_false(pin_refused(g, "a1", "pin~12345"));
  assert_false(pin_refused(g, "a1", "123"));
  assert_false(pin_refused(g, "a2", "pin~1234"));
  assert_false(pin_refused(g, "", "pin~1234"));
  assert_int_equal(pin_login(g, "a1", 0, "pin~1234", P11S_PIN_ACCEPTED), P11S_ERR_PIN_REFUSED);
  pin_wrong(g, "ab", "c123"); /* a serial ends where it ends */
  assert_false(pin_refused(g, "a", "bc123"));
  assert_false(pin_refused(g, "abc", "123"));
  pin_wrong(g, "", "c123");
  assert_true(pin_refused(g, "", "c123"));
  pin_right(g, "a1", "pin~4321");
  assert_true(pin_refused(g, "a1", "pin~1234")); /* still wrong */
}

/* TPMs' tokens, say, or the PINs of one card. */
static void of_one_serial(struct p11s_pin_guard *g)
{
  pin_wrong(g, "00/one", "pin~1234");
  assert_true(pin_refused(g, "00/one", "pin~1234"));
  assert_false(pin_refused(g, "00/two", "pin~1234"));
  pin_right(g, "00/two", "pin~1234");
  pin_right(g, "00/one", "pin~4321");
  assert_int_equal(pin_proof(g, "00/one", "pin~4321"), P11S_PIN_PROVEN);
  assert_int_equal(pin_proof(g, "00/two", "pin~1234"), P11S_PIN_PROVEN);
  assert_int_equal(pin_proof(g, "00/two", "pin~4321"), P11S_PIN_OTHER);
  assert_int_equal(pin_proof(g, "00/three", "pin~1234"), P11S_PIN_UNKNOWN);
  assert_true(pin_refused(g, "00/one", "pin~1234")); /* that the other one took it says nothing */
  assert_int_equal(pin_login(g, "00/two", PIN_LOW, "pin~1234", P11S_PIN_ACCEPTED), P11S_OK);
  assert_int_equal(pin_login(g, "00/three", PIN_LOW, "pin~1234", P11S_PIN_ACCEPTED),
                   P11S_ERR_PIN_LOCKED);
  /* a serial and a label end where they end */
  pin_wrong(g, "0/0one", "pin~5678");
  assert_false(pin_refused(g, "00/one", "pin~5678"));
}

static void tokens_of_one_serial(void **state)
{
  struct p11s_pin_guard *g = pin_guard(NULL);

  (void)state;
  of_one_serial(g);
  p11s_pin_guard_free(g);
  g = pin_guard(pin_dir);
  of_one_serial(g);
  p11s_pin_guard_free(g);
  g = pin_guard(pin_dir); /* a restart */
  assert_true(pin_refused(g, "00/one", "pin~1234"));
  assert_false(pin_refused(g, "00/two", "pin~1234"));
  pin_wrong(g, "00/two", "pin~1111");
  assert_int_equal(pin_unlock(g, "00/one"), 1);
  assert_false(pin_refused(g, "00/one", "pin~1234"));
  assert_true(pin_refused(g, "00/two", "pin~1111"));
  p11s_pin_guard_free(g);
}

/* Each of them has its own turn: a token that hangs in C_Login holds up no other one. */
static void logins_to_tokens_of_one_serial(void **state)
{
  struct p11s_slot_info one = pin_token("00/one", 0), two = pin_token("00/two", 0);
  struct p11s_secret *pin = p11s_secret_new("pin~1234", 8);
  struct p11s_pin_guard *g = pin_guard(pin_dir), *other = pin_guard(pin_dir);
  struct p11s_pin_try *first = NULL, *second = NULL, *third = NULL;
  uint64_t begin = p11s_now_ms();

  (void)state;
  assert_int_equal(p11s_pin_guard_enter(g, &one, pin, false, &first, NULL), P11S_OK);
  assert_int_equal(p11s_pin_guard_enter(g, &two, pin, false, &second, NULL), P11S_OK);
  p11s_pin_guard_leave(second, P11S_PIN_NO_VERDICT);
  assert_int_equal(p11s_pin_guard_enter(other, &two, pin, false, &third, NULL), P11S_OK);
  assert_true(p11s_now_ms() - begin < P11S_PIN_GUARD_PATIENCE_MS);
  p11s_pin_guard_leave(third, P11S_PIN_NO_VERDICT);
  p11s_pin_guard_leave(first, P11S_PIN_NO_VERDICT);
  p11s_pin_guard_free(g);
  p11s_pin_guard_free(other);
  p11s_secret_release(pin);
}

static void in_memory(void **state)
{
  struct p11s_pin_guard *g = pin_guard(NULL), *other = pin_guard("");

  (void)state;
  remembers(g);
  assert_false(pin_refused(other, "a1", "pin~1234")); /* not shared */
  p11s_pin_guard_free(g);
  p11s_pin_guard_free(other);
  p11s_pin_guard_free(NULL);
}

static void in_the_directory(void **state)
{
  struct p11s_pin_guard *g = pin_guard(pin_dir), *other = pin_guard(pin_dir);
  struct stat st;

  (void)state;
  remembers(g);
  assert_true(pin_refused(other, "a1", "pin~1234")); /* another process */
  p11s_pin_guard_free(g);
  p11s_pin_guard_free(other);
  g = pin_guard(pin_dir); /* a restart */
  assert_true(pin_refused(g, "a1", "pin~1234"));
  assert_false(pin_refused(g, "a1", "pin~4321"));
  assert_int_equal(pin_login(g, "a1", 0, "pin~1234", P11S_PIN_ACCEPTED), P11S_ERR_PIN_REFUSED);
  assert_int_equal(stat(pin_path("refused-pins"), &st), 0);
  assert_int_equal(st.st_mode & 07777, 0600);
  assert_int_equal(stat(pin_path("refused-pins.lock"), &st), 0);
  assert_int_equal(st.st_mode & 07777, 0600);
  assert_int_equal(pin_lines, 0);
  p11s_pin_guard_free(g);
}

static void pins_of_any_length(void **state)
{
  static const size_t lengths[] = {1, 31, 32, 33, 255, 1024, 60000};
  struct p11s_pin_guard *g = pin_guard(pin_dir);
  struct p11s_slot_info slot = pin_token("a1", 0);
  static unsigned char pin[60000];

  (void)state;
  memset(pin, 'x', sizeof pin);
  pin[0] = '\0';
  for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
    struct p11s_secret *s = p11s_secret_new(pin, lengths[i]);
    struct p11s_pin_try *t = NULL;

    assert_false(p11s_pin_guard_refused(g, &slot, s));
    assert_int_equal(p11s_pin_guard_enter(g, &slot, s, false, &t, NULL), P11S_OK);
    assert_int_equal(p11s_pin_guard_permit(t, NULL), P11S_OK);
    p11s_pin_guard_leave(t, P11S_PIN_REFUSED);
    assert_true(p11s_pin_guard_refused(g, &slot, s));
    p11s_secret_release(s);
  }
  p11s_pin_guard_free(g);
}

static void a_thousand_questions_cost_one_hash(void **state)
{
  struct p11s_pin_guard *g = pin_guard(pin_dir);

  (void)state;
  pin_wrong(g, "a1", "pin~1234");
  p11s_pin_guard_free(g);
  g = pin_guard(pin_dir);
  atomic_store(&hashes, 0);
  assert_false(pin_refused(g, "a2", "pin~1234")); /* nothing is known of that token */
  assert_int_equal(atomic_load(&hashes), 0);
  for (int i = 0; i < 1000; i++)
    assert_true(pin_refused(g, "a1", "pin~1234"));
  assert_int_equal(atomic_load(&hashes), 1);
  p11s_pin_guard_free(g);
}

/* More than the 64 marks that there once was room for. */
#define MANY 70

static const char *nth(int n)
{
  static char serial[16];

  (void)snprintf(serial, sizeof serial, "t%d", n);
  return serial;
}

static void many_tokens_one_refused_pin(void **state)
{
  struct p11s_pin_guard *g = pin_guard(pin_dir), *other = pin_guard(pin_dir);

  (void)state;
  pin_wrong(g, "wrong", "pin~1234");
  for (int i = 0; i < MANY; i++) /* two processes, in turn */
    pin_right(i % 2 == 0 ? g : other, nth(i), "pin~4321");
  assert_true(pin_refused(g, "wrong", "pin~1234"));
  assert_int_equal(pin_proof(g, nth(0), "pin~4321"), P11S_PIN_PROVEN);
  assert_int_equal(pin_proof(g, nth(0), "pin~1234"), P11S_PIN_OTHER);
  p11s_pin_guard_free(g);
  p11s_pin_guard_free(other);
  for (int start = 0; start < 4; start++) {
    g = pin_guard(pin_dir);
    assert_int_equal(pin_login(g, "wrong", 0, "pin~1234", P11S_PIN_REFUSED), P11S_ERR_PIN_REFUSED);
    assert_int_equal(pin_login(g, nth(start), PIN_LOW, "pin~4321", P11S_PIN_ACCEPTED), P11S_OK);
    pin_right(g, nth(MANY + start), "pin~4321");
    p11s_pin_guard_free(g);
  }
}

static void many_tokens_in_memory(void **state)
{
  struct p11s_pin_guard *g = pin_guard(NULL);
  struct p11s_secret *pin = p11s_secret_new("pin~1234", 8);

  (void)state;
  pin_wrong(g, "wrong", "pin~1234");
  for (int i = 0; i < MANY; i++)
    pin_right(g, nth(i), "pin~1234");
  assert_true(pin_refused(g, "wrong", "pin~1234"));
  assert_int_equal(pin_proof(g, nth(0), "pin~1234"), P11S_PIN_PROVEN);
  atomic_store(&hashes, 0);
  assert_int_equal(pin_login(g, nth(0), 0, "pin~1234", P11S_PIN_ACCEPTED), P11S_OK);
  assert_int_equal(atomic_load(&hashes), 0);
  for (int round = 0; round < 2; round++)
    for (int i = 0; i < MANY; i++) {
      struct p11s_slot_info slot = pin_token(nth(i), 0);

      assert_int_equal(p11s_pin_guard_is_news(g, &slot, pin, P11S_ERR_PIN_REFUSED), round == 0);
    }
  p11s_secret_release(pin);
  p11s_pin_guard_free(g);
}

static void no_pin_in_the_directory(void **state)
{
  struct p11s_pin_guard *g = pin_guard(pin_dir);
  char text[PIN_TEXT_MAX];

  (void)state;
  pin_wrong(g, "a1", "pin~73519264");
  pin_right(g, "a1", "pin~62418375");
  (void)pin_content(text, sizeof text);
  assert_null(strstr(text, "pin~")); /* all else are names and hexadecimal numbers */
  assert_non_null(strstr(text, "refused a1 a%20token"));
  p11s_pin_guard_free(g);
}

/* -- what is proven */

static void knows_the_accepted_pin(void **state)
{
  struct p11s_pin_guard *g = pin_guard(NULL);

  (void)state;
  pin_wrong(g, "a1", "pin~9999");
  assert_int_equal(pin_proof(g, "a1", "pin~1234"), P11S_PIN_UNKNOWN);
  pin_right(g, "a1", "pin~1234");
  assert_int_equal(pin_proof(g, "a1", "pin~1234"), P11S_PIN_PROVEN);
  assert_int_equal(pin_proof(g, "a1", "pin~12345"), P11S_PIN_OTHER);
  assert_int_equal(pin_proof(g, "a1", ""), P11S_PIN_OTHER);
  assert_int_equal(pin_proof(g, "a2", "pin~1234"), P11S_PIN_UNKNOWN);
  pin_right(g, "a2", "pin~5678"); /* each token has its own */
  assert_int_equal(pin_proof(g, "a1", "pin~1234"), P11S_PIN_PROVEN);
  assert_int_equal(pin_proof(g, "a2", "pin~1234"), P11S_PIN_OTHER);
  pin_right(g, "a1", "pin~4321"); /* it was changed */
  assert_int_equal(pin_proof(g, "a1", "pin~4321"), P11S_PIN_PROVEN);
  assert_int_equal(pin_proof(g, "a1", "pin~1234"), P11S_PIN_OTHER);
  assert_false(pin_refused(g, "a1", "pin~1234")); /* OTHER is not refused: it was not tried */
  p11s_pin_guard_free(g);
}

static void an_accepted_pin_is_taken_no_more(void **state)
{
  struct p11s_pin_guard *g = pin_guard(NULL);

  (void)state;
  pin_right(g, "a1", "pin~1234");
  pin_right(g, "a2", "pin~5678");
  pin_wrong(g, "a1", "pin~9999"); /* says nothing about the one that was taken */
  assert_int_equal(pin_proof(g, "a1", "pin~4321"), P11S_PIN_OTHER);
  pin_wrong(g, "a1", "pin~1234");
  assert_true(pin_refused(g, "a1", "pin~1234"));
  assert_int_equal(pin_proof(g, "a1", "pin~4321"), P11S_PIN_UNKNOWN);
  assert_int_equal(pin_proof(g, "a2", "pin~5678"), P11S_PIN_PROVEN);
  pin_right(g, "a1", "pin~4321");
  assert_int_equal(pin_proof(g, "a1", "pin~4321"), P11S_PIN_PROVEN);
  p11s_pin_guard_free(g);
}

static void another_process_proves_a_changed_pin(void **state)
{
  struct p11s_pin_guard *server = pin_guard(pin_dir), *tool = pin_guard(pin_dir);

  (void)state;
  pin_right(server, "a1", "pin~1234");
  assert_int_equal(pin_proof(tool, "a1", "pin~1234"), P11S_PIN_UNKNOWN); /* it is not logged in */
  assert_int_equal(pin_proof(server, "a1", "pin~4321"), P11S_PIN_OTHER);
  pin_wrong(tool, "a1", "pin~5555");
  assert_int_equal(pin_proof(server, "a1", "pin~5555"), P11S_PIN_OTHER);
  pin_right(tool, "a1", "pin~4321");
  assert_int_equal(pin_proof(server, "a1", "pin~4321"), P11S_PIN_PROVEN);
  assert_int_equal(pin_proof(server, "a1", "pin~1234"), P11S_PIN_OTHER);
  p11s_pin_guard_free(server);
  p11s_pin_guard_free(tool);
}

static void news_is_told_once(void **state)
{
  struct p11s_secret *pin = p11s_secret_new("pin~1234", 8), *other = p11s_secret_new("pin~4321", 8);
  struct p11s_slot_info a1 = pin_token("a1", 0), a2 = pin_token("a2", 0);
  struct p11s_pin_guard *g = pin_guard(NULL);

  (void)state;
  for (int i = 0; i < 2; i++) {
    assert_true(p11s_pin_guard_is_news(g, &a1, pin, P11S_ERR_PIN_REFUSED));
    assert_false(p11s_pin_guard_is_news(g, &a1, pin, P11S_ERR_PIN_REFUSED));
    assert_true(p11s_pin_guard_is_news(g, &a1, pin, P11S_ERR_PIN_LOCKED));
    assert_true(p11s_pin_guard_is_news(g, &a1, other, P11S_ERR_PIN_REFUSED));
    assert_true(p11s_pin_guard_is_news(g, &a2, pin, P11S_ERR_PIN_REFUSED) == (i == 0));
    assert_false(p11s_pin_guard_is_news(g, &a1, pin, P11S_ERR_PIN_LOCKED));
    pin_right(g, "a1", "pin~5678"); /* and again when that is over */
  }
  p11s_pin_guard_free(g);
  p11s_secret_release(pin);
  p11s_secret_release(other);
}

/* -- slow hashes */

#define THREADS 4

static pthread_barrier_t begin;
static struct p11s_pin_guard *shared;

/* Of two tokens, two threads log in to each with the same PIN. */
static void *log_in_at_once(void *arg)
{
  const char *const serial[] = {"a1", "a2"};
  const unsigned *number = arg;

  (void)pthread_barrier_wait(&begin);
  pin_right(shared, serial[*number % 2], "pin~1234");
  return NULL;
}

/* Each takes 16 MiB. */
static void hashes_are_made_one_at_a_time_and_once(void **state)
{
  unsigned number[THREADS];
  pthread_t thread[THREADS];

  (void)state;
  shared = pin_guard(NULL);
  atomic_store(&hashes, 0);
  atomic_store(&most_at_once, 0);
  assert_int_equal(pthread_barrier_init(&begin, NULL, THREADS), 0);
  for (unsigned i = 0; i < THREADS; i++) {
    number[i] = i;
    assert_int_equal(pthread_create(&thread[i], NULL, log_in_at_once, &number[i]), 0);
  }
  for (unsigned i = 0; i < THREADS; i++)
    assert_int_equal(pthread_join(thread[i], NULL), 0);
  assert_int_equal(atomic_load(&hashes), 2);
  assert_int_equal(atomic_load(&most_at_once), 1);
  assert_int_equal(pthread_barrier_destroy(&begin), 0);
  p11s_pin_guard_free(shared);
}

/* Who logs in to another token waits for it, and not for long. */
static void no_hash_is_made_with_the_file_locked(void **state)
{
  struct p11s_pin_guard *g = pin_guard(pin_dir), *other = pin_guard(pin_dir);

  (void)state;
  atomic_store(&with_file_locked, 0);
  atomic_store(&hashes, 0);
  pin_right(g, "a1", "pin~1234"); /* there is no file yet */
  pin_wrong(g, "a2", "pin~1234");
  pin_right(other, "a3", "pin~1234");
  pin_right(g, "a1", "pin~4321");
  assert_int_equal(atomic_load(&hashes), 4);
  assert_int_equal(atomic_load(&with_file_locked), 0);
  p11s_pin_guard_free(g);
  p11s_pin_guard_free(other);
}

/* -- logins that nobody has asked for */

static enum p11s_err unasked(struct p11s_pin_guard *g, const char *serial, CK_FLAGS flags,
                             const char *pin)
{
  struct p11s_secret *s = p11s_secret_new(pin, strlen(pin));
  struct p11s_slot_info slot = pin_token(serial, flags);
  struct p11s_pin_try *t = NULL;
  struct p11s_error e;
  enum p11s_err result;

  assert_int_equal(p11s_pin_guard_enter(g, &slot, s, true, &t, &e), P11S_OK);
  result = p11s_pin_guard_permit(t, &e);
  p11s_pin_guard_leave(t, P11S_PIN_NO_VERDICT);
  p11s_secret_release(s);
  return result;
}

static void unasked_a_pin_is_tried_when_that_is_remembered(void **state)
{
  struct p11s_pin_guard *g = pin_guard(pin_dir);

  (void)state;
  assert_int_equal(unasked(g, "a1", 0, "pin~1234"), P11S_OK);
  assert_int_equal(unasked(g, "a1", PIN_LOW, "pin~1234"), P11S_ERR_PIN_LOCKED);
  pin_wrong(g, "a1", "pin~1234");
  assert_int_equal(unasked(g, "a1", 0, "pin~1234"), P11S_ERR_PIN_REFUSED);
  p11s_pin_guard_free(g);
}

static void only_a_proven_pin_is_when_it_is_not(struct p11s_pin_guard *g)
{
  assert_int_equal(unasked(g, "a1", 0, "pin~1234"), P11S_ERR_NO_PIN);
  assert_int_equal(unasked(g, "a1", 0, "pin~1234"), P11S_ERR_NO_PIN);
  pin_right(g, "a1", "pin~1234"); /* nothing of that is held against who asks */
  assert_int_equal(unasked(g, "a1", 0, "pin~1234"), P11S_OK);
  assert_int_equal(unasked(g, "a1", PIN_LOW, "pin~1234"), P11S_OK);
  assert_int_equal(unasked(g, "a1", 0, "pin~9999"), P11S_ERR_NO_PIN);
  p11s_pin_guard_free(g);
}

static void unasked_a_pin_is_not_tried_when_that_is_not_remembered(void **state)
{
  (void)state;
  only_a_proven_pin_is_when_it_is_not(pin_guard(NULL));
  only_a_proven_pin_is_when_it_is_not(pin_guard("/nonexistent/state"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, pin_rig_setup, pin_rig_teardown)
  static const struct CMUnitTest tests[] = {
      TEST(hashes_are_made_one_at_a_time_and_once),
      TEST(no_hash_is_made_with_the_file_locked),
      TEST(unasked_a_pin_is_tried_when_that_is_remembered),
      TEST(unasked_a_pin_is_not_tried_when_that_is_not_remembered),
      TEST(in_memory),
      TEST(in_the_directory),
      TEST(tokens_of_one_serial),
      TEST(logins_to_tokens_of_one_serial),
      TEST(pins_of_any_length),
      TEST(a_thousand_questions_cost_one_hash),
      TEST(many_tokens_one_refused_pin),
      TEST(many_tokens_in_memory),
      TEST(no_pin_in_the_directory),
      TEST(knows_the_accepted_pin),
      TEST(an_accepted_pin_is_taken_no_more),
      TEST(another_process_proves_a_changed_pin),
      TEST(news_is_told_once),
  };
#undef TEST

  return cmocka_run_group_tests_name("pin_guard", tests, NULL, NULL);
}
