/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "admin/assign.h"
#include "rig/fakehost.h"
#include "base/lock.h"
#include "rig/rig.h"
#include "rig/rows_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ZONE "example.org."

static struct p11s_signer *new_signer(bool store_pins, unsigned timeout_ms)
{
  struct p11s_config config = rig_config(2);

  config.timeout_ms = config.transfer_timeout_ms = timeout_ms;
  config.store_pins = store_pins;
  return rig_signer_of(&config);
}

/* Takes the reference over. */
static enum p11s_err assign_to(struct p11s_signer *signer, const char *zone, unsigned flags,
                               struct p11s_keyref *ref, struct p11s_error *e)
{
  struct p11s_assignment a = {zone, flags, true, true, ref};
  int64_t id = -1;
  enum p11s_err result = p11s_assign(signer, &fakehost, &a, &id, e);

  if (result == P11S_OK)
    assert_int_equal(id, fakehost_row_count);
  else
    assert_int_equal(id, -1);
  p11s_keyref_free(ref);
  return result;
}

static enum p11s_err generate_for(struct p11s_signer *signer, const char *zone,
                                  struct p11s_keyref *ref, struct p11s_error *e)
{
  struct p11s_assignment a = {zone, 257, true, true, ref};
  int64_t id = -1;
  enum p11s_err result = p11s_generate(signer, &fakehost, &a, 0, &id, e);

  p11s_keyref_free(ref);
  return result;
}

static void must_assign(struct p11s_signer *signer, const char *zone, unsigned flags,
                        struct p11s_keyref *ref)
{
  struct p11s_error e;

  if (assign_to(signer, zone, flags, ref, &e) != P11S_OK)
    fail_msg("%s", e.text);
}

static struct p11s_keyref *parsed(const struct fakehost_row *row)
{
  struct p11s_keyref *ref = NULL;

  assert_int_equal(p11s_keyref_parse(row->content, row->content_len, &ref, NULL), P11S_OK);
  return ref;
}

static void assert_pins(const struct p11s_keyref *ref, const char *label)
{
  struct p11s_pubkey *key = rig_public(label);
  const unsigned char *data;
  size_t len;

  data = p11s_pubkey_data(key, &len);
  assert_int_equal(ref->public_key_len, len);
  assert_memory_equal(ref->public_key, data, len);
  p11s_pubkey_free(key);
}

/* -- assign */

static void stores_the_pinned_row(void **state)
{
  struct p11s_signer *signer = new_signer(true, 60000);
  struct p11s_assignment a = {ZONE, 256, false, true, rig_ref("key", RIG_PIN)};
  struct p11s_keyref *stored;
  struct p11s_error e;
  int64_t id = -1;

  (void)state;
  a.ref->extra = strdup("Colour: blue\n");
  if (p11s_assign(signer, &fakehost, &a, &id, &e) != P11S_OK)
    fail_msg("%s", e.text);
  assert_int_equal(id, 1);
  assert_int_equal(fakehost_row_count, 1);
  assert_string_equal(fakehost_rows[0].zone, ZONE);
  assert_int_equal(fakehost_rows[0].flags, 256);
  assert_false(fakehost_rows[0].active);
  assert_true(fakehost_rows[0].published);
  stored = parsed(&fakehost_rows[0]);
  assert_int_equal(stored->algorithm, 13);
  assert_string_equal(stored->engine, RIG_MODULE);
  assert_string_equal(stored->slot, RIG_TOKEN);
  assert_string_equal(stored->label, "key");
  assert_null(stored->pub_label);
  assert_string_equal((const char *)p11s_secret_data(stored->pin), RIG_PIN);
  assert_string_equal(stored->extra, "Colour: blue\n");
  assert_pins(stored, "key");
  assert_pins(a.ref, "key");
  assert_int_equal(rig_fake()->calls("C_Sign"), 1); /* it has shown that it can sign */
  p11s_keyref_free(stored);
  p11s_keyref_free(a.ref);
  rig_signer_free(signer);
}

static void pins_stay_out_of_the_table(void **state)
{
  struct p11s_signer *signer = new_signer(false, 60000);
  struct p11s_keyref *stored;

  (void)state;
  must_assign(signer, ZONE, 257, rig_ref("key", RIG_PIN));
  assert_null(strstr(fakehost_rows[0].content, RIG_PIN "\n"));
  assert_non_null(strstr(fakehost_rows[0].content, "\nPIN: \n"));
  stored = parsed(&fakehost_rows[0]);
  assert_null(stored->pin);
  assert_pins(stored, "key");
  p11s_keyref_free(stored);

  /* where one comes from is no secret */
  assert_int_equal(setenv("P11S_TEST_PIN", RIG_PIN, 1), 0);
  must_assign(signer, ZONE, 256, rig_ref("key", "env:P11S_TEST_PIN"));
  assert_int_equal(unsetenv("P11S_TEST_PIN"), 0);
  assert_non_null(strstr(fakehost_rows[1].content, "\nPIN: env:P11S_TEST_PIN\n"));
  rig_signer_free(signer);
}

static void one_key_for_several_zones(void **state)
{
  struct p11s_signer *signer = new_signer(true, 60000);

  (void)state;
  must_assign(signer, ZONE, 257, rig_ref("key", RIG_PIN));
  must_assign(signer, "example.net.", 257, rig_ref("key", RIG_PIN));
  must_assign(signer, ZONE, 256, rig_ref("key", RIG_PIN)); /* as a ZSK too */
  must_assign(signer, ZONE, 257, rig_ref("second", RIG_PIN));
  assert_int_equal(fakehost_row_count, 4);
  rig_signer_free(signer);
}

static void twin_is_refused(void **state)
{
  struct p11s_signer *signer = new_signer(true, 60000);
  struct p11s_error e;

  (void)state;
  fakehost_put(ZONE, 257, "not ours at all", 15);
  must_assign(signer, ZONE, 257, rig_ref("key", RIG_PIN));
  assert_int_equal(assign_to(signer, ZONE, 257, rig_ref("key", RIG_PIN), &e), P11S_ERR_EXISTS);
  assert_non_null(strstr(e.text, "key id 2"));
  assert_non_null(strstr(e.text, ZONE));
  /* under another name it is the same key */
  assert_int_equal(assign_to(signer, ZONE, 257, rig_ref("pkcs11:object=key", RIG_PIN), &e),
                   P11S_ERR_EXISTS);
  assert_int_equal(fakehost_row_count, 2);
  rig_signer_free(signer);
}

/* Rows of the built-in engine pin nothing: they are compared by name. */
static void unpinned_twin_is_refused(void **state)
{
  static const char twin[] = "Private-key-format: v1.2\nAlgorithm: 13\nEngine: " RIG_MODULE
                             "\nSlot: " RIG_TOKEN "\nPIN: 1\nLabel: key\n";
  static const char other_algorithm[] =
      "Private-key-format: v1.2\nAlgorithm: 14\n"
      "Engine: " RIG_MODULE "\nSlot: " RIG_TOKEN "\nPIN: 1\nLabel: key\n";
  static const char software[] = "Private-key-format: v1.2\nAlgorithm: 13 (ECDSAP256SHA256)\n"
                                 "PrivateKey: GU6SnQ/Ou+xC5RumuIUIuJZteXT2z0O/ok1s38Et6mQ=\n";
  struct p11s_signer *signer = new_signer(true, 60000);
  struct p11s_error e;

  (void)state;
  fakehost_put(ZONE, 257, software, sizeof software - 1);
  fakehost_put("example.net.", 257, twin, sizeof twin - 1);
  fakehost_put(ZONE, 256, twin, sizeof twin - 1);
  fakehost_put(ZONE, 257, other_algorithm, sizeof other_algorithm - 1);
  fakehost_put(ZONE, 257, "Engine: half a row\n", 19);
  must_assign(signer, ZONE, 257, rig_ref("key", RIG_PIN));
  assert_int_equal(fakehost_row_count, 6);

  fakehost_reset();
  fakehost_put(ZONE, 257, twin, sizeof twin - 1);
  assert_int_equal(assign_to(signer, ZONE, 257, rig_ref("key", RIG_PIN), &e), P11S_ERR_EXISTS);
  assert_non_null(strstr(e.text, "key id 1"));
  assert_int_equal(fakehost_row_count, 1);
  rig_signer_free(signer);
}

/* A failed assignment stores nothing, names the zone, and shows no PIN. */
static void assert_fails(struct p11s_signer *signer, const char *zone, struct p11s_keyref *ref,
                         enum p11s_err expected)
{
  static const char start[] = "zone ";
  struct p11s_error e = {0};
  enum p11s_err result = assign_to(signer, zone, 257, ref, &e);

  if (result != expected)
    fail_msg("%d, not %d: %s", (int)result, (int)expected, e.text);
  assert_int_equal(e.code, expected);
  assert_int_equal(strncmp(e.text, start, sizeof start - 1), 0);
  assert_non_null(strstr(e.text, zone));
  assert_null(strstr(e.text, "sesame"));
  assert_int_equal(fakehost_row_count, 0);
}

static struct p11s_keyref *odd_ref(const char *engine, const char *slot, unsigned algorithm)
{
  struct p11s_keyref *ref = rig_ref_in(slot, rig_ref("key", RIG_PIN));

  free(ref->engine);
  ref->engine = strdup(engine);
  ref->algorithm = algorithm;
  return ref;
}

static void failures_store_nothing(void **state)
{
  struct p11s_signer *signer = new_signer(true, 60000);
  struct p11s_keyref *ref;

  (void)state;
  assert_fails(signer, "nosuch.example.", rig_ref("key", RIG_PIN), P11S_ERR_HOST);
  assert_int_equal(rig_fake()->calls("C_OpenSession"), 0); /* the zone is looked at first */
  assert_fails(signer, ZONE, rig_ref("key", "open sesame"), P11S_ERR_PIN_REFUSED);
  assert_fails(signer, ZONE, rig_ref("key", NULL), P11S_ERR_NO_PIN);
  assert_fails(signer, ZONE, rig_ref("nosuch", RIG_PIN), P11S_ERR_NO_KEY);
  assert_fails(signer, ZONE, odd_ref("nosuch", RIG_TOKEN, 13), P11S_ERR_NO_MODULE);
  assert_fails(signer, ZONE, odd_ref(RIG_MODULE, "nosuch", 13), P11S_ERR_NO_TOKEN);
  assert_fails(signer, ZONE, odd_ref(RIG_MODULE, RIG_TOKEN, 14), P11S_ERR_KEY_TYPE);
  assert_fails(signer, ZONE, odd_ref(RIG_MODULE, RIG_TOKEN, 8), P11S_ERR_KEY_TYPE);
  assert_fails(signer, ZONE, odd_ref(RIG_MODULE, RIG_TOKEN, 3), P11S_ERR_KEY_TYPE);
  ref = rig_pinned_ref("second", RIG_PIN);
  free(ref->label);
  ref->label = strdup("key");
  assert_fails(signer, ZONE, ref, P11S_ERR_KEY_MISMATCH);
  rig_fake()->corrupt(1, 2);
  assert_fails(signer, ZONE, rig_ref("key", RIG_PIN), P11S_ERR_SIGNATURE);
  rig_fake()->refuse("C_SignInit", 1, 1, CKR_KEY_FUNCTION_NOT_PERMITTED);
  assert_fails(signer, ZONE, rig_ref("key", RIG_PIN), P11S_ERR_TOKEN);
  fakehost_refuse_listing(true);
  assert_fails(signer, ZONE, rig_ref("key", RIG_PIN), P11S_ERR_HOST);
  fakehost_refuse_listing(false);
  fakehost_refuse_adding(true);
  assert_fails(signer, ZONE, rig_ref("key", RIG_PIN), P11S_ERR_HOST);
  fakehost_refuse_adding(false);
  /* a reference that could not be read back */
  ref = rig_ref("key", RIG_PIN);
  ref->pub_label = strdup("key ");
  assert_int_not_equal(assign_to(signer, ZONE, 257, ref, NULL), P11S_OK);
  assert_int_equal(fakehost_row_count, 0);
  /* and all is well without these */
  must_assign(signer, ZONE, 257, rig_ref("key", RIG_PIN));
  rig_signer_free(signer);
}

static void slow_token_stores_nothing(void **state)
{
  struct p11s_signer *signer = new_signer(true, 20);

  (void)state;
  rig_fake()->block("C_Sign", 1, FAKEP11_EVER);
  assert_fails(signer, ZONE, rig_ref("key", RIG_PIN), P11S_ERR_TIMEOUT);
  rig_fake()->release("C_Sign");
  rig_signer_free(signer);
  assert_int_equal(fakehost_row_count, 0);
}

/* -- generate */

static void generates_and_stores(void **state)
{
  struct p11s_signer *signer = new_signer(true, 60000);
  unsigned before = rig_objects(NULL);
  struct p11s_keyref *stored;
  struct p11s_error e;

  (void)state;
  if (generate_for(signer, ZONE, rig_ref("fresh", RIG_PIN), &e) != P11S_OK)
    fail_msg("%s", e.text);
  assert_int_equal(rig_objects(NULL), before + 2);
  assert_int_equal(fakehost_row_count, 1);
  stored = parsed(&fakehost_rows[0]);
  assert_pins(stored, "fresh");
  p11s_keyref_free(stored);
  /* what is there already is neither replaced nor removed */
  assert_int_equal(generate_for(signer, ZONE, rig_ref("fresh", RIG_PIN), &e), P11S_ERR_EXISTS);
  assert_int_equal(generate_for(signer, ZONE, rig_ref("key", RIG_PIN), &e), P11S_ERR_EXISTS);
  assert_int_equal(rig_objects(NULL), before + 2);
  assert_int_equal(fakehost_row_count, 1);
  rig_remove_key("fresh");
  rig_signer_free(signer);
}

static void generate_asks_for_the_zone_first(void **state)
{
  struct p11s_signer *signer = new_signer(true, 60000);
  struct p11s_error e;

  (void)state;
  assert_int_equal(generate_for(signer, "nosuch.example.", rig_ref("fresh", RIG_PIN), &e),
                   P11S_ERR_HOST);
  assert_int_equal(rig_fake()->calls("C_GenerateKeyPair"), 0);
  rig_signer_free(signer);
}

enum fault { ADDING, LISTING, SIGNATURE, SIGNING, FAULTS };

static void cause(enum fault fault)
{
  switch (fault) {
  case ADDING:
    fakehost_refuse_adding(true);
    break;
  case LISTING:
    fakehost_refuse_listing(true);
    break;
  case SIGNATURE:
    rig_fake()->corrupt(1, 2);
    break;
  default:
    rig_fake()->refuse("C_Sign", 1, 1, CKR_KEY_FUNCTION_NOT_PERMITTED);
    break;
  }
}

static void failed_generate_leaves_nothing(void **state)
{
  static const enum p11s_err expected[FAULTS] = {
      [ADDING] = P11S_ERR_HOST,
      [LISTING] = P11S_ERR_HOST,
      [SIGNATURE] = P11S_ERR_SIGNATURE,
      [SIGNING] = P11S_ERR_TOKEN,
  };
  struct p11s_signer *signer = new_signer(true, 60000);
  unsigned before = rig_objects(NULL);
  struct p11s_error e;

  (void)state;
  for (enum fault fault = 0; fault < FAULTS; fault++) {
    rig_reset(NULL);
    cause(fault);
    if (generate_for(signer, ZONE, rig_ref("fresh", RIG_PIN), &e) != expected[fault])
      fail_msg("fault %d: %s", (int)fault, e.text);
    assert_int_equal(rig_fake()->calls("C_GenerateKeyPair"), 1);
    assert_int_equal(rig_objects(NULL), before);
    assert_int_equal(fakehost_row_count, 0);
    assert_non_null(strstr(e.text, ZONE));
    assert_null(strstr(e.text, "stays on the token"));
    fakehost_reset();
  }
  /* the same once more, without a fault: a new key, not the memory of an old one */
  if (generate_for(signer, ZONE, rig_ref("fresh", RIG_PIN), &e) != P11S_OK)
    fail_msg("%s", e.text);
  assert_int_equal(rig_objects(NULL), before + 2);
  rig_remove_key("fresh");
  rig_signer_free(signer);
}

static void key_that_cannot_be_removed_is_named(void **state)
{
  struct p11s_signer *signer = new_signer(true, 60000);
  struct p11s_error e;

  (void)state;
  fakehost_refuse_adding(true);
  rig_fake()->refuse("C_DestroyObject", 1, FAKEP11_EVER, CKR_ACTION_PROHIBITED);
  assert_int_equal(generate_for(signer, ZONE, rig_ref("fresh", RIG_PIN), &e), P11S_ERR_HOST);
  assert_non_null(strstr(e.text, "stays on the token"));
  assert_non_null(strstr(e.text, "'fresh'"));
  assert_non_null(strstr(e.text, "read-only")); /* and why all this */
  assert_int_equal(rig_objects("fresh"), 2);
  rig_remove_key("fresh");
  rig_signer_free(signer);
}

/* -- tokens that fail after they have made, or removed, a pair */

static void assert_generate_fails(struct p11s_signer *signer, const char *word)
{
  unsigned before = rig_objects(NULL);
  struct p11s_error e = {0};

  assert_int_not_equal(generate_for(signer, ZONE, rig_ref("fresh", RIG_PIN), &e), P11S_OK);
  if (strstr(e.text, word) == NULL)
    fail_msg("'%s' is not in '%s'", word, e.text);
  assert_int_equal(rig_objects(NULL), before);
  assert_int_equal(fakehost_row_count, 0);
}

static void pair_of_a_failed_call_does_not_stay(void **state)
{
  static const CK_RV rvs[] = {CKR_DEVICE_ERROR,   CKR_GENERAL_ERROR,           CKR_FUNCTION_FAILED,
                              CKR_DEVICE_REMOVED, CKR_ATTRIBUTE_VALUE_INVALID, CKR_DEVICE_MEMORY};
  struct p11s_signer *signer = new_signer(true, 60000);

  (void)state;
  for (size_t i = 0; i < sizeof rvs / sizeof rvs[0]; i++) {
    rig_reset(NULL);
    rig_fake()->search_loosely(); /* other keys are none of its business */
    rig_fake()->fail_late("C_GenerateKeyPair", 1, FAKEP11_EVER, rvs[i]);
    assert_generate_fails(signer, "removed again");
    assert_int_equal(rig_fake()->calls("C_GenerateKeyPair"), 1);
  }
  rig_signer_free(signer);
}

/* The session went with it: the next one finds what was made. */
static void pair_of_a_lost_session_is_found_on_the_next(void **state)
{
  struct p11s_signer *signer = new_signer(true, 60000);
  unsigned before = rig_objects(NULL);
  struct p11s_error e;

  (void)state;
  for (unsigned lost = 1; lost <= 2; lost++) { /* of the searches for the two halves */
    rig_reset(NULL);
    rig_fake()->fail_late("C_GenerateKeyPair", 1, 1, CKR_SESSION_HANDLE_INVALID);
    rig_fake()->refuse("C_FindObjectsInit", 3, lost, CKR_SESSION_HANDLE_INVALID);
    if (generate_for(signer, ZONE, rig_ref("fresh", RIG_PIN), &e) != P11S_OK)
      fail_msg("%s", e.text);
    assert_int_equal(rig_objects(NULL), before + 2);
    rig_remove_key("fresh");
    fakehost_reset();
    rig_signer_free(signer);
    signer = new_signer(true, 60000);
  }
  /* and it is named when there is no next one */
  rig_reset(NULL);
  rig_fake()->fail_late("C_GenerateKeyPair", 1, 1, CKR_SESSION_HANDLE_INVALID);
  rig_fake()->refuse("C_FindObjectsInit", 3, FAKEP11_EVER, CKR_SESSION_HANDLE_INVALID);
  assert_int_equal(generate_for(signer, ZONE, rig_ref("fresh", RIG_PIN), &e), P11S_ERR_TOKEN);
  assert_int_equal(rig_fake()->calls("C_GenerateKeyPair"), 1);
  assert_non_null(strstr(e.text, "may have made the key pair; this removes it: for t in "));
  assert_non_null(strstr(e.text, " --id "));
  rig_remove_key("fresh");
  rig_signer_free(signer);
}

static void removing_may_fail_late_too(void **state)
{
  struct p11s_signer *signer = new_signer(true, 60000);

  (void)state;
  fakehost_refuse_adding(true);
  rig_fake()->fail_late("C_DestroyObject", 1, FAKEP11_EVER, CKR_DEVICE_ERROR);
  assert_generate_fails(signer, "read-only");
  rig_signer_free(signer);
}

/* One that fails, and does not let the pair be removed. */
static void pair_of_a_failed_call_that_stays_is_named(void **state)
{
  struct p11s_signer *signer = new_signer(true, 60000);
  struct p11s_error e;

  (void)state;
  rig_fake()->fail_late("C_GenerateKeyPair", 1, FAKEP11_EVER, CKR_DEVICE_ERROR);
  rig_fake()->refuse("C_DestroyObject", 1, FAKEP11_EVER, CKR_ACTION_PROHIBITED);
  assert_int_equal(generate_for(signer, ZONE, rig_ref("fresh", RIG_PIN), &e), P11S_ERR_TOKEN);
  assert_int_equal(rig_fake()->calls("C_GenerateKeyPair"), 1);
  assert_non_null(strstr(e.text, "CKR_DEVICE_ERROR"));
  assert_non_null(strstr(e.text, "stays on the token; this removes it: for t in "));
  assert_int_equal(strcmp(e.text + strlen(e.text) - 6, "; done"), 0);
  assert_int_equal(rig_objects("fresh"), 2);
  rig_remove_key("fresh");
  rig_signer_free(signer);
}

int main(void)
{
  static const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup(stores_the_pinned_row, rows_rig_reset),
      cmocka_unit_test_setup(pins_stay_out_of_the_table, rows_rig_reset),
      cmocka_unit_test_setup(one_key_for_several_zones, rows_rig_reset),
      cmocka_unit_test_setup(twin_is_refused, rows_rig_reset),
      cmocka_unit_test_setup(unpinned_twin_is_refused, rows_rig_reset),
      cmocka_unit_test_setup(failures_store_nothing, rows_rig_reset),
      cmocka_unit_test_setup(slow_token_stores_nothing, rows_rig_reset),
      cmocka_unit_test_setup(generates_and_stores, rows_rig_reset),
      cmocka_unit_test_setup(generate_asks_for_the_zone_first, rows_rig_reset),
      cmocka_unit_test_setup(failed_generate_leaves_nothing, rows_rig_reset),
      cmocka_unit_test_setup(key_that_cannot_be_removed_is_named, rows_rig_reset),
      cmocka_unit_test_setup(pair_of_a_failed_call_does_not_stay, rows_rig_reset),
      cmocka_unit_test_setup(pair_of_a_lost_session_is_found_on_the_next, rows_rig_reset),
      cmocka_unit_test_setup(removing_may_fail_late_too, rows_rig_reset),
      cmocka_unit_test_setup(pair_of_a_failed_call_that_stays_is_named, rows_rig_reset),
  };

  return cmocka_run_group_tests_name("assign", tests, rows_rig_setup, rows_rig_teardown);
}
