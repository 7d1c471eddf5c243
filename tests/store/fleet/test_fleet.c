/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Look-ups, claims and writes of the fleet's store over connections that do what a test says; what
   a real database says to the statements is for regression-tests/store/test_fleet.py. */
#include "base/lock.h"
#include "rig/rig.h"
#include "rig/table_rig.h"
#include "base/counters.h"
#include "store/fleet/fleet.h"
#include "store/fleet/connection.h"
#include "store/fleet/sql.h"
#include "store/record.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define TIMEOUT 5000 /* not reached, where it is not meant to be */
#define SOON 50

/* -- the connections */

struct p11s_connection {
  atomic_bool cut;
};

/* What the statements that begin so do. */
struct rule {
  const char *begins;
  enum p11s_fleet_result result;
  unsigned times; /* that it does this; then the next rule */
  uint64_t affected;
  const char *signature; /* a row with that signature; "": a claim of another server */
  bool hangs;            /* until the test lets it go, or it is cut */
};
static struct rule rules[8];
static pthread_mutex_t rules_lock = PTHREAD_MUTEX_INITIALIZER;
static struct rig_event asked, written, opened;
static atomic_bool let_go, refuse;
static unsigned char wanted_id[P11S_STORE_ID_LEN], wanted_key[P11S_RECORD_KEY_LEN];
static const char message[] = "a message";

bool __wrap_p11s_fleet_is_built(void);
bool __wrap_p11s_fleet_is_built(void)
{
  return true;
}

enum p11s_err __wrap_p11s_connection_open(const struct p11s_fleet_config *config, unsigned answer_s,
                                          struct p11s_connection **ret, struct p11s_error *e);
enum p11s_err __wrap_p11s_connection_open(const struct p11s_fleet_config *config, unsigned answer_s,
                                          struct p11s_connection **ret, struct p11s_error *e)
{
  (void)answer_s;
  assert_string_equal(config->dbname, "a database");
  rig_event_note(&opened);
  if (refuse)
    return p11s_error_set(e, P11S_ERR_HOST, "refused");
  *ret = calloc(1, sizeof **ret);
  return *ret != NULL ? P11S_OK : P11S_ERR_NOMEM;
}

void __wrap_p11s_connection_close(struct p11s_connection *conn);
void __wrap_p11s_connection_close(struct p11s_connection *conn)
{
  free(conn);
}

void __wrap_p11s_connection_cut(struct p11s_connection *conn);
void __wrap_p11s_connection_cut(struct p11s_connection *conn)
{
  atomic_store(&conn->cut, true);
}

static struct rule rule_for(const char *sql)
{
  struct rule found = {"", P11S_FLEET_DONE, 1, 0, NULL, false};

  pthread_mutex_lock(&rules_lock);
  for (unsigned i = 0; i < sizeof rules / sizeof rules[0]; i++)
    if (rules[i].times > 0 && strncmp(sql, rules[i].begins, strlen(rules[i].begins)) == 0) {
      found = rules[i];
      rules[i].times--;
      break;
    }
  pthread_mutex_unlock(&rules_lock);
  return found;
}

static void give_row(const char *signature, p11s_fleet_row_fn fn, void *arg)
{
  const struct p11s_fleet_field fields[] = {
      {wanted_id, sizeof wanted_id},
      {wanted_key, P11S_STORE_ID_LEN},
      {(const unsigned char *)"somebody", 8},
      {(const unsigned char *)"1000", 4},
      {(const unsigned char *)"0", 1},
      {(const unsigned char *)message, sizeof message},
      {(const unsigned char *)signature, strlen(signature)},
  };

  fn(fields, 7, arg);
}

enum p11s_fleet_result __wrap_p11s_connection_run(struct p11s_connection *conn,
                                                  struct p11s_buf *sql, p11s_fleet_row_fn fn,
                                                  void *arg, uint64_t *ret_affected,
                                                  struct p11s_error *e)
{
  struct rule rule = rule_for(p11s_buf_text(sql));

  assert_int_equal(strlen(p11s_buf_text(sql)), sql->len);
  p11s_buf_clear(sql);
  rig_event_note(fn != NULL ? &asked : &written);
  while (rule.hangs && !atomic_load(&let_go) && !atomic_load(&conn->cut))
    usleep(1000); /* the program's watchdog ends it */
  if (atomic_load(&conn->cut))
    rule.result = P11S_FLEET_LOST;
  if (rule.result != P11S_FLEET_DONE)
    (void)p11s_error_set(e, P11S_ERR_HOST, "as the test says");
  else if (rule.signature != NULL && fn != NULL)
    give_row(rule.signature, fn, arg);
  if (ret_affected != NULL)
    *ret_affected = rule.affected;
  return rule.result;
}

/* -- */

static void set_rules(const struct rule *first, size_t count)
{
  pthread_mutex_lock(&rules_lock);
  memset(rules, 0, sizeof rules);
  for (size_t i = 0; i < count; i++)
    rules[i] = first[i];
  pthread_mutex_unlock(&rules_lock);
}
#define RULES(...)                                                                                 \
  set_rules((const struct rule[]){__VA_ARGS__},                                                    \
            sizeof(const struct rule[]){__VA_ARGS__} / sizeof(struct rule))

static int reset(void **state)
{
  (void)state;
  set_rules(NULL, 0);
  rig_event_reset(&asked);
  rig_event_reset(&written);
  rig_event_reset(&opened);
  atomic_store(&let_go, false);
  atomic_store(&refuse, false);
  return 0;
}

static int setup(void **state)
{
  static const struct rig_event fresh = RIG_EVENT_INIT;

  (void)state;
  rig_watchdog();
  asked = written = opened = fresh;
  memset(wanted_key, 7, sizeof wanted_key);
  return p11s_fleet_id(wanted_key, wanted_id) ? 0 : -1;
}

static struct p11s_fleet *open_fleet(unsigned timeout_ms)
{
  const struct p11s_fleet_config config = {.dbname = "a database", .timeout_ms = timeout_ms};
  struct p11s_fleet *fleet = NULL;

  assert_int_equal(p11s_fleet_open(&config, &fleet, NULL), P11S_OK);
  return fleet;
}

static void close_fleet(struct p11s_fleet *fleet)
{
  assert_true(p11s_fleet_stop(fleet, rig_later()));
  p11s_fleet_close(fleet, 0);
}

static enum p11s_store_found find(struct p11s_fleet *fleet, bool claim, char *ret_signature)
{
  const struct p11s_store_ask ask = {rig_later(), claim, false, false};
  unsigned char signature[64];
  size_t len = sizeof signature - 1;
  struct p11s_question q = {.message = (const unsigned char *)message, .len = sizeof message};
  enum p11s_store_found found;

  memcpy(q.key, wanted_key, sizeof q.key);
  found = p11s_fleet_find(fleet, &q, &ask, signature, &len);

  if (found == P11S_STORE_FOUND && ret_signature != NULL) {
    memcpy(ret_signature, signature, len);
    ret_signature[len] = '\0';
  }
  return found;
}

static void put(struct p11s_fleet *fleet, unsigned number)
{
  unsigned char key[P11S_RECORD_KEY_LEN];
  const struct p11s_store_record record = {
      key, (const unsigned char *)message, sizeof message, (const unsigned char *)"s", 1, 0, 1};

  memset(key, 0, sizeof key);
  memcpy(key, &number, sizeof number);
  p11s_fleet_put(fleet, key, &record);
}

static void wait_until_connected(struct p11s_fleet *fleet)
{
  struct p11s_fleet_stats stats;

  p11s_fleet_start(fleet);
  do {
    p11s_fleet_get_stats(fleet, &stats);
    usleep(1000);
  } while (!stats.connected);
}

/* -- look-ups and claims */

static void what_is_there_is_found(void **state)
{
  struct p11s_fleet *fleet = open_fleet(TIMEOUT);
  char signature[64];

  (void)state;
  RULES({"SELECT id,key_id", P11S_FLEET_DONE, 1, 0, "sig", false});
  assert_int_equal(find(fleet, true, signature), P11S_STORE_FOUND);
  assert_string_equal(signature, "sig");
  assert_int_equal(find(fleet, false, NULL), P11S_STORE_ABSENT);
  close_fleet(fleet);
}

static void who_comes_first_has_the_claim(void **state)
{
  struct p11s_fleet *fleet = open_fleet(TIMEOUT);

  (void)state;
  RULES({"INSERT IGNORE", P11S_FLEET_DONE, 1, 1, NULL, false});
  assert_int_equal(find(fleet, true, NULL), P11S_STORE_CLAIMED);
  close_fleet(fleet);
}

/* First the claim of another server, then its signature. */
static void who_comes_second_waits(void **state)
{
  struct p11s_fleet *fleet = open_fleet(TIMEOUT);
  uint64_t before = p11s_counter_get(P11S_STAT_FLEET_AWAITED);
  char signature[64];

  (void)state;
  RULES({"SELECT id,key_id", P11S_FLEET_DONE, 1, 0, NULL, false},
        {"INSERT IGNORE", P11S_FLEET_DONE, 1, 0, NULL, false},
        {"SELECT id,key_id", P11S_FLEET_DONE, 5, 0, "", false},
        {"SELECT id,key_id", P11S_FLEET_DONE, 1, 0, "sig", false});
  assert_int_equal(find(fleet, true, signature), P11S_STORE_FOUND);
  assert_string_equal(signature, "sig");
  assert_int_equal(p11s_counter_get(P11S_STAT_FLEET_AWAITED), before + 1);
  close_fleet(fleet);
}

static void deadlocks_are_tried_again_but_not_for_ever(void **state)
{
  struct p11s_fleet *fleet = open_fleet(TIMEOUT);

  (void)state;
  RULES({"INSERT IGNORE", P11S_FLEET_AGAIN, 2, 0, NULL, false},
        {"INSERT IGNORE", P11S_FLEET_DONE, 1, 1, NULL, false});
  assert_int_equal(find(fleet, true, NULL), P11S_STORE_CLAIMED);
  RULES({"INSERT IGNORE", P11S_FLEET_AGAIN, 1000, 0, NULL, false});
  assert_int_equal(find(fleet, true, NULL), P11S_STORE_ABSENT);
  close_fleet(fleet);
}

static void *find_in_thread(void *arg)
{
  return find(arg, true, NULL) == P11S_STORE_FOUND ? arg : NULL;
}

static void all_who_look_for_the_same_ask_once(void **state)
{
  struct p11s_fleet *fleet = open_fleet(TIMEOUT);
  pthread_t thread[8];

  (void)state;
  wait_until_connected(fleet);
  RULES({"SELECT id,key_id", P11S_FLEET_DONE, 1, 0, "sig", true});
  for (unsigned i = 0; i < 8; i++)
    assert_int_equal(pthread_create(&thread[i], NULL, find_in_thread, fleet), 0);
  rig_event_wait(&asked, 1);
  usleep(SOON * 1000); /* time to join; who has not asks by itself and finds nothing */
  atomic_store(&let_go, true);
  for (unsigned i = 0; i < 8; i++) {
    void *found;

    assert_int_equal(pthread_join(thread[i], &found), 0);
    assert_true(found == fleet || rig_event_count(&asked) > 1);
  }
  close_fleet(fleet);
}

/* -- a database that does not answer */

static void who_is_not_answered_leaves_and_soon_nobody_asks(void **state)
{
  struct p11s_fleet *fleet = open_fleet(SOON);
  uint64_t before = p11s_counter_get(P11S_STAT_FLEET_TIMEOUTS), began;
  struct p11s_fleet_stats stats;

  (void)state;
  wait_until_connected(fleet);
  RULES({"SELECT id,key_id", P11S_FLEET_DONE, 1, 0, "sig", true});
  for (unsigned i = 0; i < 3; i++) {
    began = p11s_now_ms();
    assert_int_equal(find(fleet, true, NULL), P11S_STORE_ABSENT);
    assert_true(p11s_now_ms() - began >= SOON - 1);
  }
  assert_int_equal(p11s_counter_get(P11S_STAT_FLEET_TIMEOUTS), before + 3);
  p11s_fleet_get_stats(fleet, &stats);
  assert_false(stats.connected);
  for (unsigned i = 0; i < 1000; i++)
    assert_int_equal(find(fleet, true, NULL), P11S_STORE_ABSENT);
  assert_int_equal(p11s_counter_get(P11S_STAT_FLEET_TIMEOUTS), before + 3);
  assert_int_equal(rig_event_count(&asked), 1);
  atomic_store(&let_go, true);
  wait_until_connected(fleet);
  close_fleet(fleet);
}

static void a_lost_connection_is_made_anew(void **state)
{
  struct p11s_fleet *fleet = open_fleet(TIMEOUT);

  (void)state;
  wait_until_connected(fleet);
  RULES({"SELECT id,key_id", P11S_FLEET_LOST, 1, 0, NULL, false},
        {"SELECT id,key_id", P11S_FLEET_DONE, 1, 0, "sig", false});
  assert_int_equal(find(fleet, true, NULL), P11S_STORE_ABSENT);
  rig_event_wait(&opened, 2);
  wait_until_connected(fleet);
  assert_int_equal(find(fleet, true, NULL), P11S_STORE_FOUND);
  close_fleet(fleet);
}

static void when_there_is_no_connection_nobody_waits(void **state)
{
  struct p11s_fleet *fleet = open_fleet(TIMEOUT);

  (void)state;
  atomic_store(&refuse, true);
  p11s_fleet_start(fleet);
  rig_event_wait(&opened, 2); /* then it is known of the first */
  for (unsigned i = 0; i < 100; i++)
    assert_int_equal(find(fleet, true, NULL), P11S_STORE_ABSENT);
  assert_int_equal(rig_event_count(&asked), 0);
  close_fleet(fleet);
}

static void stopping_cuts_off_what_hangs(void **state)
{
  struct p11s_fleet *fleet = open_fleet(TIMEOUT);

  (void)state;
  wait_until_connected(fleet);
  RULES({"INSERT INTO", P11S_FLEET_DONE, 1, 0, NULL, true});
  put(fleet, 1);
  rig_event_wait(&written, 1);
  assert_true(p11s_fleet_stop(fleet, p11s_now_ms() + 1000));
  assert_int_equal(find(fleet, true, NULL), P11S_STORE_ABSENT);
  put(fleet, 2);
  p11s_fleet_close(fleet, 0);
}

/* -- writing */

static void what_is_put_is_written_in_batches(void **state)
{
  struct p11s_fleet *fleet = open_fleet(TIMEOUT);
  uint64_t before = p11s_counter_get(P11S_STAT_FLEET_WRITTEN);

  (void)state;
  wait_until_connected(fleet);
  RULES({"INSERT INTO", P11S_FLEET_DONE, 1, 0, NULL, true});
  put(fleet, 0);
  rig_event_wait(&written, 1);
  for (unsigned i = 1; i <= 400; i++)
    put(fleet, i);
  atomic_store(&let_go, true);
  assert_true(p11s_fleet_flush(fleet, rig_later()));
  assert_int_equal(p11s_counter_get(P11S_STAT_FLEET_WRITTEN), before + 401);
  assert_int_equal(rig_event_count(&written), 3); /* one, and twice 200 */
  close_fleet(fleet);
}

static void what_cannot_be_written_now_is_written_later(void **state)
{
  struct p11s_fleet *fleet = open_fleet(TIMEOUT);
  uint64_t before = p11s_counter_get(P11S_STAT_FLEET_WRITTEN);

  (void)state;
  RULES({"INSERT INTO", P11S_FLEET_AGAIN, 3, 0, NULL, false},
        {"INSERT INTO", P11S_FLEET_LOST, 1, 0, NULL, false});
  put(fleet, 1);
  assert_true(p11s_fleet_flush(fleet, rig_later()));
  assert_int_equal(p11s_counter_get(P11S_STAT_FLEET_WRITTEN), before + 1);
  assert_int_equal(rig_event_count(&written), 5);
  close_fleet(fleet);
}

static void what_is_refused_is_dropped(void **state)
{
  struct p11s_fleet *fleet = open_fleet(TIMEOUT);
  uint64_t before = p11s_counter_get(P11S_STAT_FLEET_FAILED);

  (void)state;
  RULES({"INSERT INTO", P11S_FLEET_REFUSED, 1, 0, NULL, false});
  put(fleet, 1);
  assert_true(p11s_fleet_flush(fleet, rig_later()));
  assert_int_equal(p11s_counter_get(P11S_STAT_FLEET_FAILED), before + 1);
  put(fleet, 2);
  assert_true(p11s_fleet_flush(fleet, rig_later()));
  close_fleet(fleet);
}

/* An order that matters is kept. */
static void writes_of_a_kind_go_together(void **state)
{
  struct p11s_fleet *fleet = open_fleet(TIMEOUT);

  (void)state;
  wait_until_connected(fleet);
  RULES({"INSERT INTO", P11S_FLEET_DONE, 1, 0, NULL, true});
  put(fleet, 0);
  rig_event_wait(&written, 1);
  put(fleet, 1);
  p11s_fleet_queue(fleet, P11S_OP_FORGET, wanted_key);
  p11s_fleet_queue(fleet, P11S_OP_FORGET, wanted_key);
  put(fleet, 1);
  p11s_fleet_queue(fleet, P11S_OP_USED, wanted_key);
  p11s_fleet_queue(fleet, P11S_OP_ABANDON, wanted_key);
  atomic_store(&let_go, true);
  assert_true(p11s_fleet_flush(fleet, rig_later()));
  assert_int_equal(rig_event_count(&written), 6);
  close_fleet(fleet);
}

static void the_queue_is_bounded(void **state)
{
  struct p11s_fleet *fleet = open_fleet(TIMEOUT);
  uint64_t before = p11s_counter_get(P11S_STAT_FLEET_DROPPED);
  struct p11s_fleet_stats stats;

  (void)state;
  atomic_store(&refuse, true);
  for (unsigned i = 0; i < 10050; i++)
    put(fleet, i);
  assert_int_equal(p11s_counter_get(P11S_STAT_FLEET_DROPPED), before + 50);
  p11s_fleet_get_stats(fleet, &stats);
  assert_int_equal(stats.queued, 10000);
  close_fleet(fleet);
}

/* -- life */

static void in_a_child_nothing_is_found(void **state)
{
  struct p11s_fleet *fleet = open_fleet(TIMEOUT);
  int status;
  pid_t pid;

  (void)state;
  wait_until_connected(fleet);
  RULES({"SELECT id,key_id", P11S_FLEET_DONE, 2, 0, "sig", false});
  pid = fork();
  if (pid == 0) {
    bool nothing = find(fleet, true, NULL) == P11S_STORE_ABSENT;

    put(fleet, 1);
    p11s_fleet_begin_stop(fleet);
    _exit(nothing && p11s_fleet_stop(fleet, 0) ? 0 : 1);
  }
  assert_int_equal(waitpid(pid, &status, 0), pid);
  assert_int_equal(status, 0);
  assert_int_equal(find(fleet, true, NULL), P11S_STORE_FOUND);
  close_fleet(fleet);
}

static void without_one_nothing_is_found(void **state)
{
  (void)state;
  assert_int_equal(find(NULL, true, NULL), P11S_STORE_ABSENT);
  put(NULL, 1);
  p11s_fleet_queue(NULL, P11S_OP_FORGET, wanted_key);
  p11s_fleet_start(NULL);
  p11s_fleet_begin_stop(NULL);
  assert_true(p11s_fleet_flush(NULL, 0));
  assert_true(p11s_fleet_stop(NULL, 0));
  p11s_fleet_close(NULL, 0);
}

static void one_that_was_never_used_starts_nothing(void **state)
{
  struct p11s_fleet *fleet = open_fleet(TIMEOUT);

  (void)state;
  close_fleet(fleet);
  assert_int_equal(rig_event_count(&opened), 0);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup(what_is_there_is_found, reset),
      cmocka_unit_test_setup(who_comes_first_has_the_claim, reset),
      cmocka_unit_test_setup(who_comes_second_waits, reset),
      cmocka_unit_test_setup(deadlocks_are_tried_again_but_not_for_ever, reset),
      cmocka_unit_test_setup(all_who_look_for_the_same_ask_once, reset),
      cmocka_unit_test_setup(who_is_not_answered_leaves_and_soon_nobody_asks, reset),
      cmocka_unit_test_setup(a_lost_connection_is_made_anew, reset),
      cmocka_unit_test_setup(when_there_is_no_connection_nobody_waits, reset),
      cmocka_unit_test_setup(stopping_cuts_off_what_hangs, reset),
      cmocka_unit_test_setup(what_is_put_is_written_in_batches, reset),
      cmocka_unit_test_setup(what_cannot_be_written_now_is_written_later, reset),
      cmocka_unit_test_setup(what_is_refused_is_dropped, reset),
      cmocka_unit_test_setup(writes_of_a_kind_go_together, reset),
      cmocka_unit_test_setup(the_queue_is_bounded, reset),
      cmocka_unit_test_setup(in_a_child_nothing_is_found, reset),
      cmocka_unit_test_setup(without_one_nothing_is_found, reset),
      cmocka_unit_test_setup(one_that_was_never_used_starts_nothing, reset),
  };

  return cmocka_run_group_tests(tests, setup, NULL);
}
