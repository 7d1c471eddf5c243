/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "rig/rig.h"

#include "pin/guard.h"

#include "base/lock.h"
#include "pkcs11/object.h"
#include "rig/pair_rig.h"
#include "pkcs11/slot.h"
#include "rig/softhsm.h"

#include <dlfcn.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

/* For ThreadSanitizer, if it is there: SoftHSM's C_GetTokenInfo calls gmtime() in any thread. */
const char *__tsan_default_suppressions(void);
const char *__tsan_default_suppressions(void)
{
  return "race:libsofthsm2.so\n";
}

static const struct fakep11 *fake;
static CK_SLOT_ID slot;

/* In the build's tests/modules, or where libtool puts it. */
static void find_fake(char *path, size_t size)
{
  static const char *const places[] = {"modules/fakep11.so", "modules/.libs/fakep11.so"};
  char program[512];
  ssize_t len = readlink("/proc/self/exe", program, sizeof program - 1);
  char *tests;

  assert_true(len > 0);
  program[len] = '\0';
  tests = strstr(program, "/tests/");
  assert_non_null(tests);
  tests[strlen("/tests/")] = '\0';
  for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
    assert_true((size_t)snprintf(path, size, "%s%s", program, places[i]) < size);
    if (access(path, R_OK) == 0)
      return;
  }
  fail_msg("there is no fakep11.so in %smodules", program);
}

int rig_setup(void **state)
{
  char path[1024], config[1100];
  void *library;

  (void)state;
  rig_watchdog();
  find_fake(path, sizeof path);
  (void)snprintf(config, sizeof config, "module: %s\n", path);
  softhsm_setup();
  softhsm_add_config(RIG_MODULE, config);
  slot = softhsm_token(RIG_TOKEN, RIG_PIN);
  library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (library == NULL)
    fail_msg("%s", dlerror());
  fake = dlsym(library, FAKEP11_SYMBOL);
  assert_non_null(fake);
  return 0;
}

static struct p11s_pin_guard *guard;
/* Tokens of a test may outlive its rig_reset(), and use their guard. */
static struct p11s_pin_guard *old_guards[1024];
static size_t old_guard_count;

struct p11s_pin_guard *rig_guard(void)
{
  if (guard == NULL)
    guard = p11s_pin_guard_new(NULL);
  assert_non_null(guard);
  return guard;
}

int rig_teardown(void **state)
{
  p11s_pin_guard_free(guard);
  while (old_guard_count > 0)
    p11s_pin_guard_free(old_guards[--old_guard_count]);
  (void)state;
  softhsm_teardown();
  return 0;
}

int rig_reset(void **state)
{
  struct p11s_slot_info info;
  struct p11s_error e;

  if (guard != NULL && old_guard_count < sizeof old_guards / sizeof old_guards[0])
    old_guards[old_guard_count++] = guard;
  guard = NULL;
  (void)state;
  fake->reset();
  /* After a C_Finalize SoftHSM's token is in another slot. */
  if (p11s_slot_find(softhsm_module(), RIG_TOKEN, &info, &e) != P11S_OK)
    fail_msg("%s", e.text);
  slot = info.id;
  /* SoftHSM remembers that a wrong PIN was given until the right one is. */
  rig_log_out(rig_log_in());
  return 0;
}

const struct fakep11 *rig_fake(void)
{
  return fake;
}

/* -- on the token */

static void must(CK_RV rv, const char *call)
{
  if (rv != CKR_OK)
    fail_msg("%s: %s", call, p11s_rv_name(rv));
}

static void make_key(unsigned number, const char *label, CK_BBOOL consent)
{
  CK_FUNCTION_LIST *module = softhsm_module();
  CK_SESSION_HANDLE session = softhsm_session(slot, true, RIG_PIN);
  const struct p11s_algorithm *alg = p11s_algorithm_find(number);
  CK_MECHANISM mechanism = {alg->keygen, NULL, 0};
  CK_BBOOL yes = CK_TRUE;
  static unsigned char id; /* of its own for each key */
  CK_ATTRIBUTE public_template[] = {{CKA_TOKEN, &yes, sizeof yes},
                                    {CKA_EC_PARAMS, (void *)alg->ec_params, alg->ec_params_len},
                                    {CKA_LABEL, (void *)label, strlen(label)},
                                    {CKA_ID, &id, sizeof id}};
  CK_ATTRIBUTE private_template[] = {
      {CKA_TOKEN, &yes, sizeof yes}, {CKA_PRIVATE, &yes, sizeof yes},
      {CKA_SIGN, &yes, sizeof yes},  {CKA_LABEL, (void *)label, strlen(label)},
      {CKA_ID, &id, sizeof id},      {CKA_ALWAYS_AUTHENTICATE, &consent, sizeof consent}};
  CK_OBJECT_HANDLE public_key, private_key;

  id++;
  must(module->C_GenerateKeyPair(session, &mechanism, public_template, 4, private_template, 6,
                                 &public_key, &private_key),
       "C_GenerateKeyPair");
  must(module->C_CloseSession(session), "C_CloseSession");
}

void rig_make_key(const char *label)
{
  make_key(13, label, CK_FALSE);
}

void rig_make_ed25519_key(const char *label)
{
  make_key(15, label, CK_FALSE);
}

void rig_make_consent_key(const char *label)
{
  make_key(13, label, CK_TRUE);
}

/* All that match (class or label NULL: any), at most 64, from an open session. */
static CK_ULONG search(CK_SESSION_HANDLE session, CK_OBJECT_CLASS *class, const char *label,
                       CK_OBJECT_HANDLE found[64])
{
  CK_FUNCTION_LIST *module = softhsm_module();
  CK_ATTRIBUTE template[2];
  CK_ULONG n = 0, count;

  if (class != NULL)
    template[n++] = (CK_ATTRIBUTE){CKA_CLASS, class, sizeof *class};
  if (label != NULL)
    template[n++] = (CK_ATTRIBUTE){CKA_LABEL, (void *)label, strlen(label)};
  must(module->C_FindObjectsInit(session, template, n), "C_FindObjectsInit");
  must(module->C_FindObjects(session, found, 64, &count), "C_FindObjects");
  must(module->C_FindObjectsFinal(session), "C_FindObjectsFinal");
  assert_true(count < 64);
  return count;
}

static void remove_class(const char *label, CK_OBJECT_CLASS class)
{
  CK_FUNCTION_LIST *module = softhsm_module();
  CK_SESSION_HANDLE session = softhsm_session(slot, true, RIG_PIN);
  CK_OBJECT_HANDLE found[64];
  CK_ULONG count = search(session, &class, label, found);

  for (CK_ULONG i = 0; i < count; i++)
    must(module->C_DestroyObject(session, found[i]), "C_DestroyObject");
  must(module->C_CloseSession(session), "C_CloseSession");
}

void rig_remove_private(const char *label)
{
  remove_class(label, CKO_PRIVATE_KEY);
}

void rig_remove_public(const char *label)
{
  remove_class(label, CKO_PUBLIC_KEY);
}

void rig_remove_key(const char *label)
{
  rig_remove_private(label);
  rig_remove_public(label);
}

/* fn for each object of the label, on a session that can write. */
static void each_object(const char *label,
                        CK_RV (*fn)(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object,
                                    unsigned char id),
                        unsigned char id)
{
  CK_SESSION_HANDLE session = softhsm_session(slot, true, RIG_PIN);
  CK_OBJECT_HANDLE found[64];
  CK_ULONG count = search(session, NULL, label, found);

  for (CK_ULONG i = 0; i < count; i++)
    must(fn(session, found[i], id), "C_CopyObject or C_SetAttributeValue");
  must(softhsm_module()->C_CloseSession(session), "C_CloseSession");
}

static CK_RV copy(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, unsigned char id)
{
  CK_ATTRIBUTE nothing_else = {CKA_LABEL, NULL, 0}; /* SoftHSM refuses NULL */
  CK_OBJECT_HANDLE made;

  (void)id;
  return softhsm_module()->C_CopyObject(session, object, &nothing_else, 0, &made);
}

void rig_copy_key(const char *label)
{
  each_object(label, copy, 0);
}

static CK_RV set_id(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, unsigned char id)
{
  CK_ATTRIBUTE attr = {CKA_ID, &id, sizeof id};

  return softhsm_module()->C_SetAttributeValue(session, object, &attr, 1);
}

void rig_set_id(const char *label, unsigned char id)
{
  each_object(label, set_id, id);
}

unsigned rig_objects(const char *label)
{
  CK_SESSION_HANDLE session = softhsm_session(slot, false, RIG_PIN);
  CK_OBJECT_HANDLE found[64];
  CK_ULONG count = search(session, NULL, label, found);

  must(softhsm_module()->C_CloseSession(session), "C_CloseSession");
  return (unsigned)count;
}

struct p11s_pubkey *rig_public(const char *label)
{
  CK_SESSION_HANDLE session = softhsm_session(slot, false, RIG_PIN);
  CK_OBJECT_CLASS class = CKO_PUBLIC_KEY;
  CK_OBJECT_HANDLE found[64];
  struct p11s_pubkey *key = NULL;
  struct p11s_error e;

  assert_int_equal(search(session, &class, label, found), 1);
  if (p11s_object_public_from(SESSION_OF(softhsm_module(), session), p11s_algorithm_find(13),
                              found[0], &key, &e) != P11S_OK)
    fail_msg("%s", e.text);
  must(softhsm_module()->C_CloseSession(session), "C_CloseSession");
  return key;
}

CK_SESSION_HANDLE rig_log_in(void)
{
  return softhsm_session(slot, false, RIG_PIN);
}

void rig_log_out(CK_SESSION_HANDLE session)
{
  must(softhsm_module()->C_CloseSession(session), "C_CloseSession");
}

/* -- for the core */

struct p11s_keyref *rig_pinned_ref(const char *label, const char *pin)
{
  struct p11s_keyref *ref = rig_ref(label, pin);
  struct p11s_pubkey *key = rig_public(label);
  const unsigned char *data;
  size_t len;

  data = p11s_pubkey_data(key, &len);
  assert_true(p11s_keyref_pin_public(ref, data, len));
  p11s_pubkey_free(key);
  return ref;
}
