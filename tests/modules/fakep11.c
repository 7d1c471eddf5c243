/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "modules/fakep11.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SOFTHSM "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so"
#define RULES_MAX 64
#define PATIENCE_S 10

/* All functions that pass through unchanged but for the script: F(name, parameters, arguments). */
#define PLAIN_FUNCTIONS(F)                                                                         \
  F(C_Initialize, (void *args), (args))                                                            \
  F(C_Finalize, (void *reserved), (reserved))                                                      \
  F(C_GetInfo, (CK_INFO_PTR info), (info))                                                         \
  F(C_GetSlotList, (CK_BBOOL present, CK_SLOT_ID_PTR list, CK_ULONG_PTR count),                    \
    (present, list, count))                                                                        \
  F(C_GetSlotInfo, (CK_SLOT_ID slot, CK_SLOT_INFO_PTR info), (slot, info))                         \
  F(C_GetMechanismList, (CK_SLOT_ID slot, CK_MECHANISM_TYPE_PTR list, CK_ULONG_PTR count),         \
    (slot, list, count))                                                                           \
  F(C_GetMechanismInfo, (CK_SLOT_ID slot, CK_MECHANISM_TYPE type, CK_MECHANISM_INFO_PTR info),     \
    (slot, type, info))                                                                            \
  F(C_CloseSession, (CK_SESSION_HANDLE session), (session))                                        \
  F(C_CloseAllSessions, (CK_SLOT_ID slot), (slot))                                                 \
  F(C_GetSessionInfo, (CK_SESSION_HANDLE session, CK_SESSION_INFO_PTR info), (session, info))      \
  F(C_Login, (CK_SESSION_HANDLE session, CK_USER_TYPE user, CK_UTF8CHAR_PTR pin, CK_ULONG len),    \
    (session, user, pin, len))                                                                     \
  F(C_Logout, (CK_SESSION_HANDLE session), (session))                                              \
  F(C_CreateObject,                                                                                \
    (CK_SESSION_HANDLE session, CK_ATTRIBUTE_PTR attrs, CK_ULONG n, CK_OBJECT_HANDLE_PTR object),  \
    (session, attrs, n, object))                                                                   \
  F(C_GetAttributeValue,                                                                           \
    (CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_PTR attrs, CK_ULONG n),      \
    (session, object, attrs, n))                                                                   \
  F(C_SetAttributeValue,                                                                           \
    (CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_PTR attrs, CK_ULONG n),      \
    (session, object, attrs, n))                                                                   \
  F(C_FindObjects,                                                                                 \
    (CK_SESSION_HANDLE session, CK_OBJECT_HANDLE_PTR objects, CK_ULONG room, CK_ULONG_PTR n),      \
    (session, objects, room, n))                                                                   \
  F(C_FindObjectsFinal, (CK_SESSION_HANDLE session), (session))

#define ALL_FUNCTIONS(F)                                                                           \
  PLAIN_FUNCTIONS(F)                                                                               \
  F(C_FindObjectsInit, , )                                                                         \
  F(C_DestroyObject, , )                                                                           \
  F(C_GenerateKeyPair, , )                                                                         \
  F(C_GetTokenInfo, , )                                                                            \
  F(C_OpenSession, , )                                                                             \
  F(C_SignInit, , )                                                                                \
  F(C_Sign, , )

enum function {
#define NUMBER(name, parameters, arguments) FN_##name,
  ALL_FUNCTIONS(NUMBER)
#undef NUMBER
      FUNCTIONS
};

static const char *const names[FUNCTIONS] = {
#define NAME(name, parameters, arguments) #name,
    ALL_FUNCTIONS(NAME)
#undef NAME
};

enum effect { REFUSE, BLOCK, DELAY, CORRUPT, LATE };

struct rule {
  enum function function;
  enum effect effect;
  unsigned first, last; /* call numbers since reset; last FAKEP11_EVER: no end */
  CK_RV rv;
  unsigned ms;
};

static CK_FUNCTION_LIST *real;
static CK_FUNCTION_LIST scripted;
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* guards all below */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static struct rule rules[RULES_MAX];
static unsigned rule_count;
static unsigned calls[FUNCTIONS];
static unsigned blocked[FUNCTIONS];
static unsigned releases[FUNCTIONS]; /* a blocked call waits for the next one */
static CK_FLAGS flags_set, flags_cleared;
static bool loose_search;
static CK_ULONG max_sessions;
static CK_ULONG longest; /* 0: any length */
static CK_RV read_only_rv;
static enum function mechanism_function = FUNCTIONS; /* none is refused */
static CK_MECHANISM_TYPE mechanism_type;
static CK_RV mechanism_rv;

static _Thread_local CK_MECHANISM_TYPE begun; /* what C_SignInit was called with last */

/* -- the script */

static const struct rule *find_locked(enum function f, enum effect effect, unsigned call)
{
  for (unsigned i = 0; i < rule_count; i++)
    if (rules[i].function == f && rules[i].effect == effect && call >= rules[i].first &&
        (rules[i].last == FAKEP11_EVER || call <= rules[i].last))
      return &rules[i];
  return NULL;
}

static void wait_for_release_locked(enum function f)
{
  unsigned before = releases[f];

  blocked[f]++;
  pthread_cond_broadcast(&changed);
  while (releases[f] == before)
    pthread_cond_wait(&changed, &lock);
  blocked[f]--;
}

/* What every function does first. *ret_corrupt: spoil the result. */
static CK_RV enter(enum function f, bool *ret_corrupt)
{
  const struct rule *rule;
  unsigned call, ms = 0;
  CK_RV rv = CKR_OK;

  pthread_mutex_lock(&lock);
  call = ++calls[f];
  /* Looked up before waiting: release() and reset() take rules away. */
  rule = find_locked(f, REFUSE, call);
  if (rule != NULL)
    rv = rule->rv;
  rule = find_locked(f, DELAY, call);
  if (rule != NULL)
    ms = rule->ms;
  *ret_corrupt = find_locked(f, CORRUPT, call) != NULL;
  if (find_locked(f, BLOCK, call) != NULL)
    wait_for_release_locked(f);
  pthread_mutex_unlock(&lock);
  if (ms > 0)
    nanosleep(&(struct timespec){ms / 1000, (long)(ms % 1000) * 1000000L}, NULL);
  return rv;
}

/* -- the functions */

#define DEFINE(name, parameters, arguments)                                                        \
  static CK_RV fake_##name parameters                                                              \
  {                                                                                                \
    bool corrupt;                                                                                  \
    CK_RV rv = enter(FN_##name, &corrupt);                                                         \
                                                                                                   \
    return rv != CKR_OK ? rv : real->name arguments;                                               \
  }
PLAIN_FUNCTIONS(DEFINE)
#undef DEFINE

/* What the call that has just been made is said to have come to. */
static CK_RV end(enum function f, CK_RV rv)
{
  const struct rule *rule;

  pthread_mutex_lock(&lock);
  rule = find_locked(f, LATE, calls[f]);
  if (rule != NULL && rv == CKR_OK)
    rv = rule->rv;
  pthread_mutex_unlock(&lock);
  return rv;
}

static CK_RV fake_C_DestroyObject(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object)
{
  bool corrupt;
  CK_RV rv = enter(FN_C_DestroyObject, &corrupt);

  return rv != CKR_OK ? rv : end(FN_C_DestroyObject, real->C_DestroyObject(session, object));
}

/* One that fails gives no handles. */
static CK_RV fake_C_GenerateKeyPair(CK_SESSION_HANDLE session, CK_MECHANISM_PTR mechanism,
                                    CK_ATTRIBUTE_PTR pub, CK_ULONG n_pub, CK_ATTRIBUTE_PTR priv,
                                    CK_ULONG n_priv, CK_OBJECT_HANDLE_PTR ret_pub,
                                    CK_OBJECT_HANDLE_PTR ret_priv)
{
  CK_OBJECT_HANDLE made[2] = {0, 0};
  bool corrupt;
  CK_RV rv = enter(FN_C_GenerateKeyPair, &corrupt);

  if (rv == CKR_OK)
    rv = end(FN_C_GenerateKeyPair, real->C_GenerateKeyPair(session, mechanism, pub, n_pub, priv,
                                                           n_priv, &made[0], &made[1]));
  if (rv == CKR_OK) {
    *ret_pub = made[0];
    *ret_priv = made[1];
  }
  return rv;
}

static CK_RV fake_C_FindObjectsInit(CK_SESSION_HANDLE session, CK_ATTRIBUTE_PTR attrs, CK_ULONG n)
{
  bool corrupt, loose;
  CK_RV rv = enter(FN_C_FindObjectsInit, &corrupt);

  pthread_mutex_lock(&lock);
  loose = loose_search;
  pthread_mutex_unlock(&lock);
  for (CK_ULONG i = 0; loose && i < n; i++)
    if (attrs[i].type == CKA_CLASS) {
      attrs += i;
      n = 1;
    }
  return rv != CKR_OK ? rv : real->C_FindObjectsInit(session, attrs, n);
}

static CK_RV fake_C_GetTokenInfo(CK_SLOT_ID slot, CK_TOKEN_INFO_PTR info)
{
  bool corrupt;
  CK_RV rv = enter(FN_C_GetTokenInfo, &corrupt);

  if (rv == CKR_OK)
    rv = real->C_GetTokenInfo(slot, info);
  if (rv != CKR_OK)
    return rv;
  pthread_mutex_lock(&lock);
  info->flags = (info->flags | flags_set) & ~flags_cleared;
  if (max_sessions != 0)
    info->ulMaxSessionCount = max_sessions;
  pthread_mutex_unlock(&lock);
  return CKR_OK;
}

static CK_RV refused_mechanism(enum function f)
{
  CK_RV rv;

  pthread_mutex_lock(&lock);
  rv = mechanism_function == f && mechanism_type == begun ? mechanism_rv : CKR_OK;
  pthread_mutex_unlock(&lock);
  return rv;
}

static CK_RV fake_C_OpenSession(CK_SLOT_ID slot, CK_FLAGS flags, CK_VOID_PTR application,
                                CK_NOTIFY notify, CK_SESSION_HANDLE_PTR session)
{
  bool corrupt;
  CK_RV rv = enter(FN_C_OpenSession, &corrupt);

  pthread_mutex_lock(&lock);
  if (rv == CKR_OK && (flags & CKF_RW_SESSION) == 0)
    rv = read_only_rv;
  pthread_mutex_unlock(&lock);
  return rv != CKR_OK ? rv : real->C_OpenSession(slot, flags, application, notify, session);
}

static CK_RV fake_C_SignInit(CK_SESSION_HANDLE session, CK_MECHANISM_PTR mechanism,
                             CK_OBJECT_HANDLE key)
{
  bool corrupt;
  CK_RV rv = enter(FN_C_SignInit, &corrupt);

  begun = mechanism->mechanism;
  if (rv == CKR_OK)
    rv = refused_mechanism(FN_C_SignInit);
  return rv != CKR_OK ? rv : real->C_SignInit(session, mechanism, key);
}

static CK_RV fake_C_Sign(CK_SESSION_HANDLE session, CK_BYTE_PTR data, CK_ULONG len,
                         CK_BYTE_PTR signature, CK_ULONG_PTR signature_len)
{
  bool corrupt;
  CK_RV rv = enter(FN_C_Sign, &corrupt);

  if (rv == CKR_OK)
    rv = real->C_Sign(session, data, len, signature, signature_len);
  if (rv == CKR_OK)
    rv = refused_mechanism(FN_C_Sign);
  pthread_mutex_lock(&lock);
  if (rv == CKR_OK && longest != 0 && len > longest)
    rv = CKR_DATA_LEN_RANGE;
  pthread_mutex_unlock(&lock);
  if (rv == CKR_OK && corrupt && signature != NULL && *signature_len > 0)
    signature[*signature_len / 2] ^= 1;
  return rv;
}

/* -- what tests call */

static enum function number_of(const char *name)
{
  for (enum function f = 0; f < FUNCTIONS; f++)
    if (strcmp(names[f], name) == 0)
      return f;
  fprintf(stderr, "fakep11: %s is not scripted\n", name);
  abort();
}

static void control_reset(void)
{
  pthread_mutex_lock(&lock);
  rule_count = 0;
  memset(calls, 0, sizeof calls);
  for (enum function f = 0; f < FUNCTIONS; f++)
    releases[f]++;
  flags_set = flags_cleared = 0;
  loose_search = false;
  read_only_rv = CKR_OK;
  mechanism_function = FUNCTIONS;
  max_sessions = 0;
  longest = 0;
  pthread_cond_broadcast(&changed);
  pthread_mutex_unlock(&lock);
}

static unsigned control_calls(const char *function)
{
  unsigned n;

  pthread_mutex_lock(&lock);
  n = calls[number_of(function)];
  pthread_mutex_unlock(&lock);
  return n;
}

static void add_rule(const char *function, enum effect effect, unsigned first, unsigned count,
                     CK_RV rv, unsigned ms)
{
  enum function f = number_of(function);

  if (first == 0 || rule_count >= RULES_MAX) {
    fprintf(stderr, "fakep11: a bad rule for %s, or too many\n", function);
    abort();
  }
  pthread_mutex_lock(&lock);
  first += calls[f];
  rules[rule_count++] = (struct rule){
      f, effect, first, count == FAKEP11_EVER ? FAKEP11_EVER : first + count - 1, rv, ms};
  pthread_mutex_unlock(&lock);
}

static void control_refuse(const char *function, unsigned first, unsigned count, CK_RV rv)
{
  add_rule(function, REFUSE, first, count, rv, 0);
}

static void control_fail_late(const char *function, unsigned first, unsigned count, CK_RV rv)
{
  add_rule(function, LATE, first, count, rv, 0);
}

static void control_block(const char *function, unsigned first, unsigned count)
{
  add_rule(function, BLOCK, first, count, CKR_OK, 0);
}

static void control_delay(const char *function, unsigned first, unsigned count, unsigned ms)
{
  add_rule(function, DELAY, first, count, CKR_OK, ms);
}

static void control_corrupt(unsigned first, unsigned count)
{
  add_rule("C_Sign", CORRUPT, first, count, CKR_OK, 0);
}

static void control_refuse_mechanism(const char *function, CK_MECHANISM_TYPE type, CK_RV rv)
{
  pthread_mutex_lock(&lock);
  mechanism_function = number_of(function);
  mechanism_type = type;
  mechanism_rv = rv;
  pthread_mutex_unlock(&lock);
}

static void control_refuse_read_only(CK_RV rv)
{
  pthread_mutex_lock(&lock);
  read_only_rv = rv;
  pthread_mutex_unlock(&lock);
}

static void control_limit_length(CK_ULONG most)
{
  pthread_mutex_lock(&lock);
  longest = most;
  pthread_mutex_unlock(&lock);
}

static void control_search_loosely(void)
{
  pthread_mutex_lock(&lock);
  loose_search = true;
  pthread_mutex_unlock(&lock);
}

static void control_token_info(CK_FLAGS set, CK_FLAGS clear, CK_ULONG sessions)
{
  pthread_mutex_lock(&lock);
  flags_set = set;
  flags_cleared = clear;
  max_sessions = sessions;
  pthread_mutex_unlock(&lock);
}

static bool control_wait_blocked(const char *function, unsigned count)
{
  enum function f = number_of(function);
  struct timespec until;
  bool reached;

  (void)clock_gettime(CLOCK_REALTIME, &until);
  until.tv_sec += PATIENCE_S;
  pthread_mutex_lock(&lock);
  while (blocked[f] < count && pthread_cond_timedwait(&changed, &lock, &until) == 0)
    ;
  reached = blocked[f] >= count;
  pthread_mutex_unlock(&lock);
  return reached;
}

static void control_release(const char *function)
{
  enum function f = number_of(function);
  unsigned kept = 0;

  pthread_mutex_lock(&lock);
  for (unsigned i = 0; i < rule_count; i++)
    if (rules[i].function != f || rules[i].effect != BLOCK)
      rules[kept++] = rules[i];
  rule_count = kept;
  releases[f]++;
  pthread_cond_broadcast(&changed);
  pthread_mutex_unlock(&lock);
}

/* -- loading */

static void load(void)
{
  const char *path = getenv("P11S_SOFTHSM");
  void *library = dlopen(path != NULL ? path : SOFTHSM, RTLD_NOW | RTLD_LOCAL);
  CK_C_GetFunctionList get = NULL;

  if (library != NULL)
    *(void **)&get = dlsym(library, "C_GetFunctionList");
  if (get == NULL || get(&real) != CKR_OK) {
    fprintf(stderr, "fakep11: no SoftHSM: %s\n", dlerror());
    real = NULL;
    return;
  }
  scripted = *real;
#define SCRIPT(name, parameters, arguments) scripted.name = fake_##name;
  ALL_FUNCTIONS(SCRIPT)
#undef SCRIPT
}

static CK_FUNCTION_LIST *control_behind(void)
{
  (void)pthread_once(&once, load);
  return real;
}

__attribute__((visibility("default"))) CK_RV C_GetFunctionList(CK_FUNCTION_LIST_PTR_PTR list)
{
  (void)pthread_once(&once, load);
  if (real == NULL)
    return CKR_GENERAL_ERROR;
  *list = &scripted;
  return CKR_OK;
}

__attribute__((visibility("default"))) extern const struct fakep11 fakep11;
const struct fakep11 fakep11 = {
    .reset = control_reset,
    .calls = control_calls,
    .refuse = control_refuse,
    .fail_late = control_fail_late,
    .block = control_block,
    .delay = control_delay,
    .corrupt = control_corrupt,
    .refuse_mechanism = control_refuse_mechanism,
    .refuse_read_only = control_refuse_read_only,
    .limit_length = control_limit_length,
    .search_loosely = control_search_loosely,
    .token_info = control_token_info,
    .wait_blocked = control_wait_blocked,
    .release = control_release,
    .behind = control_behind,
};
