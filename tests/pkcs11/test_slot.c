/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "pkcs11/rv.h"
#include "pkcs11/slot.h"
#include "rig/softhsm.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define LONG_LABEL "exactly thirty-two bytes, no NUL"
#define UTF8_LABEL "t\xc3\xb6ken \xe2\x84\x96 1"

/* --- on SoftHSM ------------------------------------------------------------ */

static CK_SLOT_ID alpha, words, number, utf8, full;

static int setup(void **state)
{
  (void)state;
  softhsm_setup();
  alpha = softhsm_token("alpha", USER_PIN);
  words = softhsm_token("two words", USER_PIN);
  number = softhsm_token("0", USER_PIN);
  utf8 = softhsm_token(UTF8_LABEL, USER_PIN);
  full = softhsm_token(LONG_LABEL, NULL);
  (void)softhsm_token("double", USER_PIN);
  (void)softhsm_token("double", USER_PIN);
  (void)softhsm_token("case", USER_PIN);
  (void)softhsm_token("CASE", USER_PIN);
  return 0;
}

static int teardown(void **state)
{
  (void)state;
  softhsm_teardown();
  return 0;
}

static struct p11s_slot_info found(const char *spec)
{
  struct p11s_slot_info info;
  struct p11s_error e = {0};

  if (p11s_slot_find(softhsm_module(), spec, &info, &e) != P11S_OK)
    fail_msg("'%s': %s", spec, e.text);
  return info;
}

static struct p11s_error refused(const char *spec, enum p11s_err code)
{
  struct p11s_slot_info info;
  struct p11s_error e = {0};

  assert_int_equal(p11s_slot_find(softhsm_module(), spec, &info, &e), code);
  assert_int_equal(e.code, code);
  /* NULL must do as well. */
  assert_int_equal(p11s_slot_find(softhsm_module(), spec, &info, NULL), code);
  return e;
}

static void by_label(void **state)
{
  struct p11s_slot_info info = found("alpha");

  (void)state;
  assert_int_equal(info.id, alpha);
  assert_string_equal(info.label, "alpha");
  assert_string_equal(info.manufacturer, "SoftHSM project");
  assert_string_equal(info.model, "SoftHSM v2");
  assert_int_equal(strlen(info.serial), 16);
  assert_true((info.flags & CKF_LOGIN_REQUIRED) != 0);
  assert_true((info.flags & CKF_TOKEN_INITIALIZED) != 0);
  assert_int_equal(info.max_sessions, 0);
  assert_int_equal(found("two words").id, words);
  assert_int_equal(found(UTF8_LABEL).id, utf8);
  assert_string_equal(found(UTF8_LABEL).label, UTF8_LABEL);
  assert_int_equal(found(LONG_LABEL).id, full);
}

static void by_label_in_another_case(void **state)
{
  (void)state;
  assert_int_equal(found("ALPHA").id, alpha);
  assert_int_equal(found("Two Words").id, words);
  /* The exact one first, and only of equal ones it is unclear which is meant. */
  assert_string_equal(found("case").label, "case");
  assert_string_equal(found("CASE").label, "CASE");
  (void)refused("Case", P11S_ERR_AMBIGUOUS);
}

static void by_serial_and_number(void **state)
{
  struct p11s_slot_info info = found("two words");
  char text[32];

  (void)state;
  assert_int_equal(found(info.serial).id, words);
  (void)snprintf(text, sizeof text, "%lu", words);
  assert_int_equal(found(text).id, words);
  (void)snprintf(text, sizeof text, "0x%lx", words);
  assert_int_equal(found(text).id, words);
  (void)snprintf(text, sizeof text, "0X%08lX", words);
  assert_int_equal(found(text).id, words);
  /* The slot with this number is alpha's, but the label goes first. */
  assert_int_equal(alpha, 0);
  assert_int_equal(found("0").id, number);
}

static void not_there(void **state)
{
  struct p11s_error e = refused("alph", P11S_ERR_NO_TOKEN);

  (void)state;
  assert_non_null(strstr(e.text, "'alph'"));
  assert_non_null(strstr(e.text, "'alpha'"));
  assert_non_null(strstr(e.text, "'two words'"));
  assert_non_null(strstr(e.text, found("alpha").serial));
  (void)refused("4711", P11S_ERR_NO_TOKEN);
  (void)refused("0x", P11S_ERR_NO_TOKEN);
  (void)refused("0x0g", P11S_ERR_NO_TOKEN);
  (void)refused("0x-1", P11S_ERR_NO_TOKEN);
  (void)refused("x0", P11S_ERR_NO_TOKEN);
  (void)refused("1 ", P11S_ERR_NO_TOKEN);
  (void)refused("99999999999999999999999999", P11S_ERR_NO_TOKEN);
  (void)refused(" alpha", P11S_ERR_NO_TOKEN);
  (void)refused("", P11S_ERR_SYNTAX);
}

/* A row that was written with Debian 12's OpenSC finds its token with Debian 13's. */
static void by_the_label_of_an_older_opensc(void **state)
{
  (void)state;
  assert_int_equal(found("alpha (UserPIN)").id, alpha);
  assert_int_equal(found("two words (User PIN)").id, words);
  assert_int_equal(found("alpha (PIN)").id, alpha);
  (void)refused("alpha (backup)", P11S_ERR_NO_TOKEN);
  (void)refused("alpha(UserPIN)", P11S_ERR_NO_TOKEN);
  (void)refused("alph (UserPIN)", P11S_ERR_NO_TOKEN);
  (void)refused(" (UserPIN)", P11S_ERR_NO_TOKEN);
  (void)refused("alpha (", P11S_ERR_NO_TOKEN);
  (void)refused("double (UserPIN)", P11S_ERR_AMBIGUOUS);
}

static void two_of_one_label(void **state)
{
  struct p11s_error e = refused("double", P11S_ERR_AMBIGUOUS);
  char serials[2][17];

  (void)state;
  assert_int_equal(sscanf(strstr(e.text, "serial "), "serial %16[^,]", serials[0]), 1);
  assert_int_equal(
      sscanf(strstr(strstr(e.text, "serial ") + 1, "serial "), "serial %16[^,]", serials[1]), 1);
  assert_string_not_equal(serials[0], serials[1]);
  assert_string_equal(found(serials[0]).label, "double");
  assert_string_equal(found(serials[1]).label, "double");
}

static void by_uri(void **state)
{
  char text[128];

  (void)state;
  assert_int_equal(found("pkcs11:token=alpha").id, alpha);
  assert_int_equal(found("PKCS11:token=alpha").id, alpha);
  assert_int_equal(found("pkcs11:token=two%20words").id, words);
  assert_int_equal(found("pkcs11:token=t%C3%B6ken%20%E2%84%96%201").id, utf8);
  assert_int_equal(found("pkcs11:slot-id=0").id, alpha);
  (void)snprintf(text, sizeof text, "pkcs11:serial=%s", found("two words").serial);
  assert_int_equal(found(text).id, words);
  (void)snprintf(text, sizeof text, "pkcs11:token=double;serial=%s", found("two words").serial);
  (void)refused(text, P11S_ERR_NO_TOKEN);
  assert_int_equal(found("pkcs11:model=SoftHSM%20v2;manufacturer=SoftHSM%20project;token=alpha").id,
                   alpha);
  /* A key's whole URI does as well. */
  assert_int_equal(found("pkcs11:token=alpha;object=key;id=%01;type=private").id, alpha);
  /* Unlike plain labels, URIs are exact. */
  (void)refused("pkcs11:token=ALPHA", P11S_ERR_NO_TOKEN);
  (void)refused("pkcs11:token=alpha;slot-id=77", P11S_ERR_NO_TOKEN);
  (void)refused("pkcs11:token=double", P11S_ERR_AMBIGUOUS);
  (void)refused("pkcs11:manufacturer=SoftHSM%20project", P11S_ERR_AMBIGUOUS);
}

static void bad_uris(void **state)
{
  static const char *const bad[] = {
      "pkcs11:",
      "pkcs11:token",
      "pkcs11:token=alpha;",
      "pkcs11:token=alpha;;serial=1",
      "pkcs11:=alpha",
      "pkcs11:;token=alpha",
      "pkcs11:token=%zz",
      "pkcs11:tok%65n=alpha",
      "pkcs11:token=two words",
      "pkcs11:token=alpha\n",
      "pkcs11:object=key",
      "pkcs11:unknown=1;token=alpha",
      "pkcs11:type=nonsense;token=alpha",
      "pkcs11:slot-id=x",
      "pkcs11:token=123456789012345678901234567890123",
  };

  (void)state;
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    struct p11s_slot_info info;

    if (p11s_slot_find(softhsm_module(), bad[i], &info, NULL) != P11S_ERR_SYNTAX)
      fail_msg("%s", bad[i]);
  }
}

static void no_pin_in_a_uri(void **state)
{
  static const char *const with_pin[] = {
      "pkcs11:token=alpha?pin-value=s3cret",   "pkcs11:token=alpha;pin-value=s3cret",
      "pkcs11:token=alpha?PIN-VALUE=s3cret",   "pkcs11:token=alpha?x=1&pin-source=file:/s3cret",
      "pkcs11:pinfile=/s3cret;token=alpha",    "pkcs11:token=alpha?pin-%76alue=s3cret",
      "pkcs11:token=alpha? pin-value=s3cret",  "pkcs11:token=alpha?p\tin-value=s3cret",
      "pkcs11:token=alpha?;pin-value=s3cret",  "pkcs11:token=alpha&pin-value=s3cret",
      "pkcs11:token=alpha?p%69n-value=s3cret", "pkcs11:token=alpha?pin-value",
  };

  (void)state;
  for (size_t i = 0; i < sizeof with_pin / sizeof with_pin[0]; i++) {
    struct p11s_error e = refused(with_pin[i], P11S_ERR_SYNTAX);

    if (strstr(e.text, "s3cret") != NULL)
      fail_msg("%s: %s", with_pin[i], e.text);
  }
}

struct seen {
  int count, initialized;
};

static void note_slot(const struct p11s_slot_info *info, void *arg)
{
  struct seen *seen = arg;

  seen->count++;
  if ((info->flags & CKF_TOKEN_INITIALIZED) != 0)
    seen->initialized++;
  else
    assert_string_equal(info->label, "");
}

static void each_shows_uninitialized_ones_too(void **state)
{
  struct seen seen = {0, 0};

  (void)state;
  assert_int_equal(p11s_slot_each(softhsm_module(), note_slot, &seen, NULL), P11S_OK);
  assert_int_equal(seen.initialized, 9);
  assert_int_equal(seen.count, 10);
}

/* --- on a token that is made up -------------------------------------------- */

/* What an uninitialized token has in place of a label. */
#define FACTORY_LABEL "factory"

static struct fake_slot {
  CK_SLOT_ID id;
  CK_FLAGS flags;
  CK_RV rv;          /* of C_GetTokenInfo, */
  unsigned failures; /* so often, unless 0 */
  const char *label, *serial;
} fake_slots[] = {
    {3, 0, CKR_TOKEN_NOT_PRESENT, 0, "", ""},
    {4, CKF_TOKEN_PRESENT, CKR_TOKEN_NOT_PRESENT, 0, "", ""},
    {7, CKF_TOKEN_PRESENT, CKR_DEVICE_ERROR, 0, "", ""},
    {9, CKF_TOKEN_PRESENT, CKR_OK, 0, "nul", "1"},
    {11, CKF_TOKEN_PRESENT, CKR_OK, 0, "a\x1b[2Jb", "2"},
    {1000, CKF_TOKEN_PRESENT, CKR_OK, 0, LONG_LABEL, "1234567890123456"},
    {1001, CKF_TOKEN_PRESENT, CKR_OK, 0, "twin", "1234567890123456"},
    {2000, 0, CKR_OK, 0, "pulled out", "5"}, /* the library remembers the token */
    {2001, CKF_TOKEN_PRESENT, CKR_OK, 0, FACTORY_LABEL, "6"},
};
#define FAKE_SLOTS (sizeof fake_slots / sizeof fake_slots[0])

static CK_ULONG claimed;   /* what C_GetSlotList says first */
static CK_ULONG delivered; /* and then */
static CK_RV list_rv;

static CK_RV fake_list(CK_BBOOL present, CK_SLOT_ID *slots, CK_ULONG *count)
{
  (void)present;
  if (list_rv != CKR_OK)
    return list_rv;
  if (slots == NULL) {
    *count = claimed;
    return CKR_OK;
  }
  if (*count < delivered) {
    *count = delivered;
    claimed = delivered; /* this is how it is after a card was put in */
    return CKR_BUFFER_TOO_SMALL;
  }
  for (size_t i = 0; i < FAKE_SLOTS && i < *count; i++)
    slots[i] = fake_slots[i].id;
  *count = delivered;
  return CKR_OK;
}

static struct fake_slot *fake_slot(CK_SLOT_ID id)
{
  for (size_t i = 0; i < FAKE_SLOTS; i++)
    if (fake_slots[i].id == id)
      return &fake_slots[i];
  return NULL;
}

static CK_RV fake_slot_info(CK_SLOT_ID id, CK_SLOT_INFO *info)
{
  if (fake_slot(id) == NULL)
    return CKR_SLOT_ID_INVALID;
  memset(info, 0, sizeof *info);
  info->flags = fake_slot(id)->flags;
  return CKR_OK;
}

static CK_RV fake_token_info(CK_SLOT_ID id, CK_TOKEN_INFO *info)
{
  struct fake_slot *slot = fake_slot(id);
  CK_RV rv = slot->rv;

  if (slot->failures > 0 && --slot->failures == 0)
    slot->rv = CKR_OK;
  if (rv != CKR_OK)
    return rv;
  memset(info, 0, sizeof *info); /* padded with NUL, as it should not be */
  info->flags = strcmp(slot->label, FACTORY_LABEL) != 0 ? CKF_TOKEN_INITIALIZED : 0;
  memcpy(info->label, slot->label, strlen(slot->label));
  memcpy(info->serialNumber, slot->serial, strlen(slot->serial));
  info->ulMaxSessionCount = CK_UNAVAILABLE_INFORMATION;
  return CKR_OK;
}

static CK_FUNCTION_LIST fake = {
    .C_GetSlotList = fake_list,
    .C_GetSlotInfo = fake_slot_info,
    .C_GetTokenInfo = fake_token_info,
};

static int fake_setup(void **state)
{
  (void)state;
  claimed = delivered = FAKE_SLOTS;
  list_rv = CKR_OK;
  return 0;
}

static void among_empty_and_broken_slots(void **state)
{
  struct p11s_slot_info info;
  struct p11s_error e;

  (void)state;
  assert_int_equal(p11s_slot_find(&fake, "nul", &info, &e), P11S_OK);
  assert_int_equal(info.id, 9);
  assert_int_equal(info.max_sessions, 0);
  assert_int_equal(p11s_slot_find(&fake, "pkcs11:token=nul", &info, &e), P11S_OK);
  assert_int_equal(p11s_slot_find(&fake, LONG_LABEL, &info, &e), P11S_OK);
  assert_string_equal(info.label, LONG_LABEL);
  assert_string_equal(info.serial, "1234567890123456");
  assert_int_equal(p11s_slot_find(&fake, "1001", &info, &e), P11S_OK);
  assert_string_equal(info.label, "twin");
  assert_int_equal(p11s_slot_find(&fake, "3", &info, &e), P11S_ERR_NO_TOKEN);
  assert_int_equal(p11s_slot_find(&fake, "7", &info, &e), P11S_ERR_NO_TOKEN);
  assert_non_null(strstr(e.text, "CKR_DEVICE_ERROR"));
  assert_int_equal(p11s_slot_find(&fake, "1234567890123456", &info, &e), P11S_ERR_AMBIGUOUS);
  assert_non_null(strstr(e.text, "1000"));
  assert_non_null(strstr(e.text, "1001"));
}

/* A token that was taken out when its slot had just been looked at is no trouble. */
static void only_a_slot_that_fails_is_named(void **state)
{
  struct p11s_slot_info info;
  struct p11s_error e;

  (void)state;
  claimed = delivered = 2;
  assert_int_equal(p11s_slot_find(&fake, "nul", &info, &e), P11S_ERR_NO_TOKEN);
  assert_null(strstr(e.text, "passed over"));
  claimed = delivered = 3;
  assert_int_equal(p11s_slot_find(&fake, "nul", &info, &e), P11S_ERR_NO_TOKEN);
  assert_non_null(strstr(e.text, "(a slot was passed over: CKR_DEVICE_ERROR)"));
}

/* Another process is writing to it: it is there a moment later,. */
static void a_slot_that_fails_for_a_moment(void **state)
{
  struct fake_slot *slot = fake_slot(9);
  struct p11s_slot_info info;
  struct p11s_error e;

  (void)state;
  slot->rv = CKR_GENERAL_ERROR;
  slot->failures = 3;
  assert_int_equal(p11s_slot_find(&fake, "nul", &info, &e), P11S_OK);
  assert_int_equal(info.id, 9);
  slot->rv = CKR_GENERAL_ERROR;
  slot->failures = 2;
  assert_int_equal(p11s_slot_find(&fake, "pkcs11:token=nul", &info, &e), P11S_OK);
}

static void tokens_that_are_not_ready(void **state)
{
  struct p11s_slot_info info;
  struct p11s_error e;

  (void)state;
  assert_int_equal(p11s_slot_find(&fake, "pulled out", &info, &e), P11S_ERR_NO_TOKEN);
  assert_int_equal(p11s_slot_find(&fake, "2000", &info, &e), P11S_ERR_NO_TOKEN);
  assert_int_equal(p11s_slot_find(&fake, FACTORY_LABEL, &info, &e), P11S_ERR_NO_TOKEN);
  assert_non_null(strstr(e.text, "slot 2001, not initialized"));
  assert_int_equal(p11s_slot_find(&fake, "FACTORY", &info, &e), P11S_ERR_NO_TOKEN);
  assert_int_equal(p11s_slot_find(&fake, "6", &info, &e), P11S_ERR_NO_TOKEN);
  assert_int_equal(p11s_slot_find(&fake, "pkcs11:serial=6", &info, &e), P11S_ERR_NO_TOKEN);
  /* Only by where it is. */
  assert_int_equal(p11s_slot_find(&fake, "2001", &info, &e), P11S_OK);
  assert_int_equal(p11s_slot_find(&fake, "pkcs11:slot-id=2001", &info, &e), P11S_OK);
  assert_int_equal(info.flags & CKF_TOKEN_INITIALIZED, 0);
}

static void labels_are_fit_to_be_shown(void **state)
{
  struct p11s_slot_info info;
  struct p11s_error e;

  (void)state;
  assert_int_equal(p11s_slot_find(&fake, "11", &info, &e), P11S_OK);
  assert_string_equal(info.label, "a?[2Jb");
  assert_int_equal(p11s_slot_find(&fake, "a\x1b[2Jb", &info, &e), P11S_OK);
  assert_int_equal(p11s_slot_find(&fake, "gone", &info, &e), P11S_ERR_NO_TOKEN);
  assert_null(strchr(e.text, 0x1b));
}

static void counts_that_change(void **state)
{
  struct p11s_slot_info info;
  struct p11s_error e;

  (void)state;
  claimed = 2; /* then CKR_BUFFER_TOO_SMALL */
  assert_int_equal(p11s_slot_find(&fake, "nul", &info, &e), P11S_OK);
  claimed = FAKE_SLOTS;
  delivered = 4;
  assert_int_equal(p11s_slot_find(&fake, "nul", &info, &e), P11S_OK);
  assert_int_equal(p11s_slot_find(&fake, "twin", &info, &e), P11S_ERR_NO_TOKEN);
  claimed = delivered = 0;
  assert_int_equal(p11s_slot_find(&fake, "nul", &info, &e), P11S_ERR_NO_SLOTS);
  assert_non_null(strstr(e.text, "no slots"));
}

static CK_RV lying_list(CK_BBOOL present, CK_SLOT_ID *slots, CK_ULONG *count)
{
  (void)present;
  *count = slots == NULL ? 1 : 1000; /* with CKR_OK */
  return CKR_OK;
}

static void counts_that_lie(void **state)
{
  CK_FUNCTION_LIST liar = fake;
  struct p11s_slot_info info;
  struct p11s_error e;

  (void)state;
  liar.C_GetSlotList = lying_list;
  assert_int_equal(p11s_slot_find(&liar, "nul", &info, &e), P11S_ERR_TOKEN);
  claimed = CK_UNAVAILABLE_INFORMATION;
  assert_int_equal(p11s_slot_find(&fake, "nul", &info, &e), P11S_ERR_TOKEN);
  claimed = 5000;
  assert_int_equal(p11s_slot_find(&fake, "nul", &info, &e), P11S_ERR_TOKEN);
}

static void failing_list(void **state)
{
  struct p11s_slot_info info;
  struct p11s_error e;

  (void)state;
  list_rv = CKR_CRYPTOKI_NOT_INITIALIZED;
  assert_int_equal(p11s_slot_find(&fake, "nul", &info, &e), P11S_ERR_NO_SLOTS);
  assert_int_equal(e.code, P11S_ERR_NO_SLOTS);
  assert_non_null(strstr(e.text, "C_GetSlotList: CKR_CRYPTOKI_NOT_INITIALIZED"));
  assert_int_equal(e.rv, CKR_CRYPTOKI_NOT_INITIALIZED);
  assert_int_equal(p11s_slot_each(&fake, note_slot, NULL, &e), P11S_ERR_NO_SLOTS);
}

/* --- mechanisms ------------------------------------------------------------ */

static void mechanisms_of_softhsm(void **state)
{
  struct p11s_mechanisms m = {NULL, 0};

  (void)state;
  assert_int_equal(p11s_mechanisms_get(softhsm_module(), alpha, &m, NULL), P11S_OK);
  assert_true(p11s_mechanisms_have(&m, CKM_RSA_PKCS));
  assert_true(p11s_mechanisms_have(&m, CKM_ECDSA));
  assert_false(p11s_mechanisms_have(&m, CKM_VENDOR_DEFINED));
  p11s_mechanisms_clear(&m);
  p11s_mechanisms_clear(&m);
  assert_int_equal(p11s_mechanisms_get(softhsm_module(), 4711, &m, NULL), P11S_ERR_TOKEN);
}

static CK_ULONG mechanism_claims, mechanism_gives;

static CK_RV fake_mechanisms(CK_SLOT_ID id, CK_MECHANISM_TYPE *list, CK_ULONG *count)
{
  (void)id;
  *count = list == NULL ? mechanism_claims : mechanism_gives;
  return CKR_OK;
}

static void mechanism_counts_that_lie(void **state)
{
  CK_FUNCTION_LIST liar = {.C_GetMechanismList = fake_mechanisms};
  struct p11s_mechanisms m = {NULL, 0};

  (void)state;
  mechanism_claims = 1;
  mechanism_gives = 10;
  assert_int_equal(p11s_mechanisms_get(&liar, 0, &m, NULL), P11S_ERR_TOKEN);
  mechanism_claims = CK_UNAVAILABLE_INFORMATION;
  assert_int_equal(p11s_mechanisms_get(&liar, 0, &m, NULL), P11S_ERR_TOKEN);
  mechanism_claims = 0;
  assert_int_equal(p11s_mechanisms_get(&liar, 0, &m, NULL), P11S_OK);
  assert_false(p11s_mechanisms_have(&m, 0));
  p11s_mechanisms_clear(&m);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(by_label),
      cmocka_unit_test(by_label_in_another_case),
      cmocka_unit_test(by_serial_and_number),
      cmocka_unit_test(not_there),
      cmocka_unit_test(by_the_label_of_an_older_opensc),
      cmocka_unit_test(two_of_one_label),
      cmocka_unit_test(by_uri),
      cmocka_unit_test(bad_uris),
      cmocka_unit_test(no_pin_in_a_uri),
      cmocka_unit_test(each_shows_uninitialized_ones_too),
      cmocka_unit_test_setup(among_empty_and_broken_slots, fake_setup),
      cmocka_unit_test_setup(only_a_slot_that_fails_is_named, fake_setup),
      cmocka_unit_test_setup(a_slot_that_fails_for_a_moment, fake_setup),
      cmocka_unit_test_setup(tokens_that_are_not_ready, fake_setup),
      cmocka_unit_test_setup(labels_are_fit_to_be_shown, fake_setup),
      cmocka_unit_test_setup(counts_that_change, fake_setup),
      cmocka_unit_test_setup(counts_that_lie, fake_setup),
      cmocka_unit_test_setup(failing_list, fake_setup),
      cmocka_unit_test(mechanisms_of_softhsm),
      cmocka_unit_test(mechanism_counts_that_lie),
  };

  return cmocka_run_group_tests_name("slot", tests, setup, teardown);
}
