/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which queries may wait, by a clock of the test's own. */
#include "token/admission.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define LONG_MS 2000 /* how long a query would wait */
#define NEVER UINT64_MAX

static struct p11s_admission crowd;
static uint64_t now;

/* Queries that are asked for one token again and again, as many at a time as there are free threads
   for them, and how long its signatures take. */
struct flood {
  struct p11s_admission_token token;
  uint64_t lane;
  uint64_t takes_ms;
  unsigned asks; /* at the same time */
  unsigned waits;
  uint64_t entered[64];
  uint64_t leaves[64];
  unsigned served;
  unsigned refused;
  uint64_t waited_ms; /* of all its queries */
};

static void begin(unsigned threads, bool dealt, unsigned tokens)
{
  p11s_admission_init(&crowd, threads, dealt);
  for (unsigned i = 0; i < tokens; i++)
    p11s_admission_add_token(&crowd, true);
  now = 1000;
}

static bool enter(struct flood *f)
{
  struct p11s_wait wait = {.deadline_ms = now + LONG_MS, .query = true};
  uint64_t done = f->takes_ms == NEVER ? NEVER : now + f->takes_ms;

  if (!p11s_admission_enter(&crowd, &f->token, f->lane, now, 0, &wait)) {
    f->refused++;
    return false;
  }
  f->entered[f->waits] = now;
  f->leaves[f->waits] = done < wait.deadline_ms ? done : wait.deadline_ms;
  f->waits++;
  return true;
}

static void leave(struct flood *f, unsigned i)
{
  p11s_admission_leave(&crowd, &f->token, f->lane, f->entered[i], now);
  f->served += f->takes_ms != NEVER && now - f->entered[i] >= f->takes_ms;
  f->waits--;
  f->entered[i] = f->entered[f->waits];
  f->leaves[i] = f->leaves[f->waits];
}

static unsigned busy(void)
{
  return crowd.all.waiting;
}

/* One millisecond of them; a refused query comes again in the next. */
static void go_on(struct flood *const *floods, size_t count, unsigned threads)
{
  for (size_t i = 0; i < count; i++)
    for (unsigned k = floods[i]->waits; k-- > 0;)
      if (floods[i]->leaves[k] <= now)
        leave(floods[i], k);
  for (size_t i = 0; i < count; i++)
    for (unsigned n = floods[i]->waits; n < floods[i]->asks && busy() < threads; n++)
      if (!enter(floods[i]))
        break;
  for (size_t i = 0; i < count; i++)
    floods[i]->waited_ms += floods[i]->waits;
  now++;
}

static void run(uint64_t ms, struct flood *const *floods, size_t count, unsigned threads)
{
  for (uint64_t end = now + ms; now < end;)
    go_on(floods, count, threads);
}

static void a_burst_may_have_all_threads_then_some_are_free(void **state)
{
  struct flood hung = {.takes_ms = NEVER, .asks = 30};
  uint64_t free_ms = 0;

  (void)state;
  begin(8, false, 1);
  go_on((struct flood *[]){&hung}, 1, 8);
  assert_int_equal(hung.waits, 8);
  run(2 * P11S_ADMISSION_BURST_MS, (struct flood *[]){&hung}, 1, 8);
  assert_int_equal(hung.waits, 6);
  assert_true(hung.refused > 0);
  for (unsigned i = 0; i < 20000; i++) {
    go_on((struct flood *[]){&hung}, 1, 8);
    free_ms += hung.waits < 8;
  }
  assert_true(free_ms > 19000);
}

/* Twenty-four threads are the slow token's, and half of them when another slow one comes; the fast
   one is there all the while. */
static void each_token_has_its_share(void **state)
{
  struct flood slow = {.takes_ms = NEVER, .asks = 60}, other = {.takes_ms = NEVER, .asks = 60};
  struct flood fast = {.takes_ms = 10, .asks = 4};

  (void)state;
  begin(32, false, 2);
  run(20000, (struct flood *[]){&slow, &fast}, 2, 32);
  assert_in_range(slow.waited_ms, 20 * 20000, 26 * 20000);
  assert_int_equal(fast.refused, 0);
  slow.waited_ms = 0;
  run(20000, (struct flood *[]){&slow, &other, &fast}, 3, 32);
  assert_in_range(slow.waited_ms, 8 * 20000, 16 * 20000);
  assert_in_range(other.waited_ms, 8 * 20000, 16 * 20000);
  assert_int_equal(fast.refused, 0);
  assert_in_range(fast.served, 12000, 16000);
}

static void who_keeps_up_refuses_nobody(void **state)
{
  static const unsigned threads[] = {1, 3, 8, 32};

  (void)state;
  for (unsigned dealt = 0; dealt < 2; dealt++)
    for (unsigned i = 0; i < 4; i++) {
      struct flood fast = {.takes_ms = P11S_ADMISSION_SHORT_MS, .asks = 64};

      begin(threads[i], dealt != 0, 10);
      run(20000, (struct flood *[]){&fast}, 1, threads[i]);
      assert_int_equal(fast.refused, 0);
      fast.takes_ms = NEVER; /* until it hangs */
      run(5000, (struct flood *[]){&fast}, 1, threads[i]);
      assert_true(fast.refused > 0);
    }
}

/* Of PowerDNS's three distributor threads one at a time waits for a slow token, and ends before
   PowerDNS drops what has been dealt to the thread. */
static void of_dealt_threads_one_waits_and_not_for_long(void **state)
{
  struct flood slow = {.takes_ms = 1200, .asks = 16}, fast = {.takes_ms = 5, .asks = 1};
  uint64_t waited = 0, longest = 0;

  (void)state;
  begin(3, true, 2);
  run(3000, (struct flood *[]){&slow, &fast}, 2, 3);
  for (unsigned i = 0; i < 20000; i++) {
    go_on((struct flood *[]){&slow, &fast}, 2, 3);
    waited += slow.waits;
    for (unsigned k = 0; k < slow.waits; k++)
      longest =
          slow.leaves[k] - slow.entered[k] > longest ? slow.leaves[k] - slow.entered[k] : longest;
  }
  assert_in_range(waited, 10000, 20000);
  assert_in_range(longest, 1, P11S_ADMISSION_BURST_MS);
  assert_int_equal(fast.refused, 0);
}

/* Of one token: who asks for another zone is not refused for the flood, though he waits. */
static void the_first_query_of_a_zone_may_wait(void **state)
{
  static const bool dealt[] = {true, false};

  (void)state;
  for (unsigned i = 0; i < 2; i++) {
    struct flood flood = {.takes_ms = 900, .asks = 30, .lane = 1};
    struct p11s_wait wait = {.query = true};

    begin(dealt[i] ? 3 : 16, dealt[i], 1);
    run(20000, (struct flood *[]){&flood}, 1, crowd.threads);
    assert_true(flood.refused > 0);
    for (unsigned k = 0; k < 20; k++) {
      uint64_t entered = now;

      wait.deadline_ms = now + LONG_MS;
      assert_true(p11s_admission_enter(&crowd, &flood.token, 2, now, 800, &wait));
      assert_in_range(wait.deadline_ms, now + 500, now + LONG_MS);
      run(400, (struct flood *[]){&flood}, 1, crowd.threads);
      p11s_admission_leave(&crowd, &flood.token, 2, entered, now);
      run(60, (struct flood *[]){&flood}, 1, crowd.threads);
    }
  }
}

static bool is_let_in(struct flood *f, uint64_t lane, bool queued)
{
  struct p11s_wait wait = {.query = true, .queued = queued};
  bool entered = p11s_admission_enter(&crowd, &f->token, lane, now, 200, &wait);

  if (entered)
    p11s_admission_leave(&crowd, &f->token, lane, now, now);
  return entered;
}

/* What was dealt to a thread while it waited is not waited for as well, be it of another zone that
   is flooded. */
static void who_came_while_the_thread_waited_does_not_wait(void **state)
{
  struct flood one = {.takes_ms = NEVER, .asks = 16, .lane = 1};
  struct flood two = {.takes_ms = NEVER, .asks = 16, .lane = 2};

  (void)state;
  begin(3, true, 2);
  run(5000, (struct flood *[]){&one, &two}, 2, 3);
  now++;
  while (one.waits > 0)
    leave(&one, 0);
  while (two.waits > 0)
    leave(&two, 0);
  assert_false(is_let_in(&one, 1, true));
  assert_false(is_let_in(&two, 2, true));
  assert_true(is_let_in(&one, 3, true));
  assert_true(is_let_in(&one, 1, false));
  now += P11S_ADMISSION_HURRY_MS;
  assert_true(is_let_in(&one, 1, true));
}

static void a_query_alone_waits_as_long_as_it_may(void **state)
{
  static const unsigned threads[] = {2, 3, 8};

  (void)state;
  for (unsigned i = 0; i < 3; i++) {
    struct flood one = {.takes_ms = 1900, .asks = 1};

    begin(threads[i], true, 1);
    run(60000, (struct flood *[]){&one}, 1, threads[i]);
    assert_int_equal(one.refused, 0);
    assert_int_equal(one.served, 60000 / 1900);
  }
}

/* Just behind the end of a flood there is time for two signatures, and soon for all. */
static void after_a_flood_a_new_name_is_waited_for(void **state)
{
  static const bool dealt[] = {true, false};

  (void)state;
  for (unsigned i = 0; i < 2; i++) {
    struct flood slow = {.takes_ms = NEVER, .asks = 16};
    struct p11s_wait wait = {.query = true};

    begin(dealt[i] ? 3 : 8, dealt[i], 1);
    run(600000, (struct flood *[]){&slow}, 1, crowd.threads);
    slow.asks = 0;
    while (slow.waits > 0)
      go_on((struct flood *[]){&slow}, 1, crowd.threads);
    now++;
    wait.deadline_ms = now + LONG_MS;
    assert_true(p11s_admission_enter(&crowd, &slow.token, 0, now, 700, &wait));
    assert_in_range(wait.deadline_ms, now + 700, now + LONG_MS);
    p11s_admission_leave(&crowd, &slow.token, 0, now, now + 700);
    wait = (struct p11s_wait){.deadline_ms = now + 700 + LONG_MS, .query = true, .waited_ms = 700};
    assert_true(p11s_admission_enter(&crowd, &slow.token, 0, now + 700, 700, &wait));
    p11s_admission_leave(&crowd, &slow.token, 0, now + 700, now + 1400);
    now += 5000;
    wait = (struct p11s_wait){.deadline_ms = now + LONG_MS, .query = true};
    assert_true(p11s_admission_enter(&crowd, &slow.token, 0, now, 700, &wait));
    assert_int_equal(wait.deadline_ms, now + LONG_MS);
  }
}

static void no_limit(void **state)
{
  struct flood any = {.takes_ms = NEVER, .asks = 64};

  (void)state;
  begin(0, false, 1);
  for (unsigned i = 0; i < 64; i++)
    assert_true(enter(&any));
  assert_int_equal(any.leaves[63], now + LONG_MS);
  while (any.waits > 0)
    leave(&any, 0);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_burst_may_have_all_threads_then_some_are_free),
      cmocka_unit_test(each_token_has_its_share),
      cmocka_unit_test(who_keeps_up_refuses_nobody),
      cmocka_unit_test(of_dealt_threads_one_waits_and_not_for_long),
      cmocka_unit_test(the_first_query_of_a_zone_may_wait),
      cmocka_unit_test(who_came_while_the_thread_waited_does_not_wait),
      cmocka_unit_test(a_query_alone_waits_as_long_as_it_may),
      cmocka_unit_test(after_a_flood_a_new_name_is_waited_for),
      cmocka_unit_test(no_limit),
  };

  return cmocka_run_group_tests(tests, NULL, NULL);
}
