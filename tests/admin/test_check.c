/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "admin/assign.h"
#include "rig/fakehost.h"
#include "rig/message_rig.h"
#include "rig/rig.h"
#include "rig/rows_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ORG "example.org."
#define NET "example.net."
#define SEEN_MAX 16

struct seen {
  char zone[64];
  unsigned id, flags, algorithm;
  enum p11s_err result;
  char text[1024];
  char token[64], label[64];
};

static struct seen seen[SEEN_MAX];
static unsigned seen_count;

static void note(const struct p11s_check *check, void *arg)
{
  struct seen *s = &seen[seen_count];

  assert_true(seen_count < SEEN_MAX);
  assert_ptr_equal(arg, seen);
  seen_count++;
  (void)snprintf(s->zone, sizeof s->zone, "%s", check->zone);
  s->id = check->id;
  s->flags = check->flags;
  s->algorithm = check->alg != NULL ? check->alg->number : 0;
  s->result = check->error != NULL ? check->error->code : P11S_OK;
  (void)snprintf(s->text, sizeof s->text, "%s", check->error != NULL ? check->error->text : "");
  (void)snprintf(s->token, sizeof s->token, "%s", check->token);
  (void)snprintf(s->label, sizeof s->label, "%s", check->label);
}

static enum p11s_err check(struct p11s_signer *signer, const char *zone, struct p11s_error *e)
{
  seen_count = 0;
  return p11s_check_rows(signer, &fakehost, zone, note, seen, e);
}

static void put_text(const char *zone, const char *text)
{
  fakehost_put(zone, 256, text, strlen(text));
}

static struct p11s_keyref *mismatched(void)
{
  struct p11s_keyref *ref = rig_pinned_ref("second", RIG_PIN);

  free(ref->label);
  ref->label = strdup("key");
  return ref;
}

static struct p11s_keyref *of_algorithm(unsigned number)
{
  struct p11s_keyref *ref = rig_ref("key", RIG_PIN);

  ref->algorithm = number;
  return ref;
}

static void assert_seen(unsigned at, const char *zone, unsigned id, unsigned algorithm,
                        enum p11s_err result)
{
  if (seen[at].result != result)
    fail_msg("%u: %d, not %d: %s", at, (int)seen[at].result, (int)result, seen[at].text);
  assert_string_equal(seen[at].zone, zone);
  assert_int_equal(seen[at].id, id);
  assert_int_equal(seen[at].algorithm, algorithm);
}

static void every_reference_is_listed(void **state)
{
  struct p11s_signer *signer = rig_signer(1);
  struct p11s_error e = {0};

  (void)state;
  fakehost_put_ref(NET, 257, rig_ref("key", "open sesame")); /* before the token is logged in */
  fakehost_put_ref(ORG, 257, rig_pinned_ref("key", RIG_PIN));
  put_text(ORG, "Private-key-format: v1.2\nAlgorithm: 13 (ECDSAP256SHA256)\n"
                "PrivateKey: GU6SnQ/Ou+xC5RumuIUIuJZteXT2z0O/ok1s38Et6mQ=\n"); /* not ours */
  fakehost_put_ref(ORG, 256, rig_ref("second", RIG_PIN));
  fakehost_put_ref(ORG, 256, rig_ref("nosuch", RIG_PIN));
  fakehost_put_ref(ORG, 256, mismatched());
  fakehost_put_ref(ORG, 256, of_algorithm(14));
  fakehost_put_ref(ORG, 256, of_algorithm(12));
  put_text(ORG, "Engine: x\nhalf a row");
  put_text(ORG, "");
  if (check(signer, NULL, &e) != P11S_OK)
    fail_msg("%s", e.text);
  assert_int_equal(seen_count, 9);
  assert_seen(0, NET, 1, 13, P11S_ERR_PIN_REFUSED);
  assert_seen(1, ORG, 2, 13, P11S_OK);
  assert_seen(2, ORG, 4, 13, P11S_OK);
  assert_seen(3, ORG, 5, 13, P11S_ERR_NO_KEY);
  assert_seen(4, ORG, 6, 13, P11S_ERR_KEY_MISMATCH);
  assert_seen(5, ORG, 7, 14, P11S_ERR_KEY_TYPE);
  assert_seen(6, ORG, 8, 0, P11S_ERR_KEY_TYPE);
  assert_seen(7, ORG, 9, 0, P11S_ERR_SYNTAX);
  assert_seen(8, ORG, 10, 0, P11S_ERR_SYNTAX);
  assert_int_equal(seen[1].flags, 257);
  assert_int_equal(seen[2].flags, 256);
  for (unsigned i = 0; i < 7; i++)
    assert_string_equal(seen[i].token, RIG_TOKEN);
  assert_string_equal(seen[3].label, "nosuch");
  assert_string_equal(seen[7].token, "");
  assert_string_equal(seen[7].label, "");
  for (unsigned i = 0; i < seen_count; i++)
    assert_null(strstr(seen[i].text, "sesame"));
  assert_int_equal(rig_fake()->calls("C_Sign"), 2);
  rig_signer_free(signer);
}

static void one_zone_alone(void **state)
{
  struct p11s_signer *signer = rig_signer(1);
  struct p11s_error e;

  (void)state;
  fakehost_put_ref(NET, 257, rig_ref("key", RIG_PIN));
  fakehost_put_ref(ORG, 257, rig_ref("second", RIG_PIN));
  assert_int_equal(check(signer, ORG, &e), P11S_OK);
  assert_int_equal(seen_count, 1);
  assert_seen(0, ORG, 2, 13, P11S_OK);
  assert_int_equal(check(signer, "nosuch.example.", &e), P11S_ERR_HOST);
  assert_non_null(strstr(e.text, "nosuch.example."));
  assert_int_equal(seen_count, 0);
  rig_signer_free(signer);
}

static void nothing_to_check(void **state)
{
  struct p11s_signer *signer = rig_signer(1);
  struct p11s_error e;

  (void)state;
  assert_int_equal(check(signer, NULL, &e), P11S_OK);
  assert_int_equal(check(signer, ORG, &e), P11S_OK);
  assert_int_equal(seen_count, 0);
  assert_int_equal(rig_fake()->calls("C_OpenSession"), 0);
  rig_signer_free(signer);
}

static void database_error_is_handed_on(void **state)
{
  struct p11s_signer *signer = rig_signer(1);
  struct p11s_error e = {0};

  (void)state;
  fakehost_refuse_listing(true);
  assert_int_equal(check(signer, NULL, &e), P11S_ERR_HOST);
  assert_int_equal(e.code, P11S_ERR_HOST);
  assert_int_equal(check(signer, ORG, &e), P11S_ERR_HOST);
  rig_signer_free(signer);
}

/* What was well before is looked at again. */
static void every_check_asks_the_token(void **state)
{
  struct p11s_signer *signer = rig_signer(1);

  (void)state;
  fakehost_put_ref(ORG, 257, rig_pinned_ref("key", RIG_PIN));
  assert_int_equal(check(signer, ORG, NULL), P11S_OK);
  assert_seen(0, ORG, 1, 13, P11S_OK);
  rig_fake()->corrupt(1, 2);
  assert_int_equal(check(signer, ORG, NULL), P11S_OK);
  assert_seen(0, ORG, 1, 13, P11S_ERR_SIGNATURE);
  assert_int_equal(check(signer, ORG, NULL), P11S_OK);
  assert_seen(0, ORG, 1, 13, P11S_OK);
  rig_signer_free(signer);
}

/* -- messages that the token refuses for their length */

static struct p11s_key *demanded;
static size_t longest_txt;

/* Two RRsets, one of that length. */
static void demand_two(const char *zone, unsigned weeks, const struct p11s_demand_sink *sink)
{
  unsigned char message[2048] = {0}, start[MESSAGE_RIG_MAX];
  struct message_rig txt = {ORG, "big." ORG, 16, MESSAGE_RIG_WEEK, "", 0};
  size_t len = message_rig_a(ORG, ORG, 1, MESSAGE_RIG_WEEK, start);
  struct p11s_demand one = {demanded, start, len, P11S_EVERY_WEEK};

  (void)zone;
  assert_int_equal(weeks, 0);
  (void)sink->demand(&one, sink->arg);
  len = message_rig_make(&txt, message);
  assert_true(len < longest_txt && longest_txt <= sizeof message);
  one = (struct p11s_demand){demanded, message, longest_txt, P11S_EVERY_WEEK};
  (void)sink->demand(&one, sink->arg);
}

static void messages_that_are_too_long(void **state)
{
  struct p11s_signer *signer = rig_signer(1);
  struct p11s_keyref *ref = rig_ref("edwards", RIG_PIN);

  (void)state;
  rig_make_ed25519_key("edwards");
  ref->algorithm = 15;
  assert_int_equal(p11s_signer_key(signer, ref, &demanded, NULL), P11S_OK);
  fakehost_put_ref(ORG, 257, ref);
  fakehost_demands = demand_two;
  longest_txt = 1500;
  assert_int_equal(check(signer, ORG, NULL), P11S_OK);
  assert_seen(0, ORG, 1, 15, P11S_OK);
  rig_fake()->limit_length(1500);
  assert_int_equal(check(signer, NULL, NULL), P11S_OK);
  assert_seen(0, ORG, 1, 15, P11S_OK);
  longest_txt = 1501;
  assert_int_equal(check(signer, NULL, NULL), P11S_OK);
  assert_seen(0, ORG, 1, 15, P11S_ERR_TOO_LONG);
  assert_non_null(strstr(seen[0].text, "up to 1500 bytes"));
  assert_non_null(strstr(seen[0].text, ": RRset big.example.org. TXT (1501 bytes)."));
  fakehost_demands = NULL; /* no zone has use for the key */
  assert_int_equal(check(signer, ORG, NULL), P11S_OK);
  assert_seen(0, ORG, 1, 15, P11S_OK);
  rig_remove_key("edwards");
  p11s_key_release(demanded);
  rig_signer_free(signer);
}

int main(void)
{
  static const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup(every_reference_is_listed, rows_rig_reset),
      cmocka_unit_test_setup(one_zone_alone, rows_rig_reset),
      cmocka_unit_test_setup(nothing_to_check, rows_rig_reset),
      cmocka_unit_test_setup(database_error_is_handed_on, rows_rig_reset),
      cmocka_unit_test_setup(every_check_asks_the_token, rows_rig_reset),
      cmocka_unit_test_setup(messages_that_are_too_long, rows_rig_reset),
  };

  return cmocka_run_group_tests_name("check", tests, rows_rig_setup, rows_rig_teardown);
}
