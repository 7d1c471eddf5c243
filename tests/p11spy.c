/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A PKCS#11 module in front of another one: writes down who calls what, and spoils
 * calls where a test says so. It keeps no state of its own but the lists of calls, how
 * many sessions are open and how many signatures it spoiled.
 *
 *   P11SPY_MODULE  the real module
 *   P11SPY_LOG     file to which "THREADNAME FUNCTION" is appended for each call
 *   P11SPY_KEYS    file to which the label of the key is appended for each C_SignInit
 *   P11SPY_RULES   file with rules, read again at each call; one a line:
 *
 *     C_Login return 0xa4       do not call the module, return that
 *     C_Sign hang               wait until the rule is gone
 *     C_Sign delay 20           take so many milliseconds more
 *     C_Sign corrupt            flip one bit of the signature
 *     C_Sign corrupt 1          of so many signatures, no more (once for each process)
 *     C_OpenSession limit 2     CKR_SESSION_COUNT while so many sessions are open
 *     C_GetTokenInfo flags 0x40000   set these flags
 *     C_GetTokenInfo clear 0x4       clear these flags
 *     C_GetTokenInfo sessions 2      the most sessions it says it can have
 *     slots empty 2             so many readers without a token before the
 *                               module's slots, and as many behind
 */
#define _GNU_SOURCE
#include <p11-kit/pkcs11.h>

#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Slots of our own: SoftHSM takes 31 bits of a random serial number for its. */
#define EMPTY_BEFORE 0xfe000000UL
#define EMPTY_BEHIND 0xff000000UL
#define EMPTY_LAST (EMPTY_BEHIND + 0xffffffUL)

static CK_FUNCTION_LIST *module;
static CK_FUNCTION_LIST spied;
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* -- the list of calls */

static void append(const char *path, const char *line, size_t n)
{
  int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);

  if (fd < 0)
    return;
  if (write(fd, line, n) != (ssize_t)n)
    abort(); /* a test that misses a call proves nothing */
  close(fd);
}

static void note(const char *function)
{
  const char *path = getenv("P11SPY_LOG");
  char thread[32] = "?";
  char line[128];
  int n;

  if (!path)
    return;
  pthread_getname_np(pthread_self(), thread, sizeof(thread));
  n = snprintf(line, sizeof(line), "%s %s\n", thread, function);
  append(path, line, (size_t)n);
}

static void note_key(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE key)
{
  const char *path = getenv("P11SPY_KEYS");
  char line[128] = "?";
  CK_ATTRIBUTE label = {CKA_LABEL, line, sizeof(line) - 1};

  if (!path)
    return;
  if (module->C_GetAttributeValue(session, key, &label, 1) != CKR_OK)
    label.ulValueLen = 1;
  line[label.ulValueLen] = '\n';
  append(path, line, label.ulValueLen + 1);
}

/* -- rules */

/* True if there is a rule "function verb"; its number goes to ret_value. */
static bool rule(const char *function, const char *verb, unsigned long *ret_value)
{
  const char *path = getenv("P11SPY_RULES");
  char line[128], f[64], v[32], value[32];
  bool found = false;
  FILE *in;

  in = path ? fopen(path, "re") : NULL;
  if (!in)
    return false;
  while (!found && fgets(line, sizeof(line), in)) {
    value[0] = '\0';
    if (sscanf(line, "%63s %31s %31s", f, v, value) < 2)
      continue;
    found = strcmp(f, function) == 0 && strcmp(v, verb) == 0;
    if (found && ret_value)
      *ret_value = strtoul(value, NULL, 0);
  }
  fclose(in);
  return found;
}

/* What every spied function does first. True: return *ret_rv. */
static bool intercept(const char *function, CK_RV *ret_rv)
{
  static const struct timespec five_ms = {0, 5000000};
  struct timespec delay;
  unsigned long ms;

  note(function);
  if (rule(function, "delay", &ms)) {
    delay = (struct timespec){(time_t)(ms / 1000), (long)(ms % 1000) * 1000000};
    nanosleep(&delay, NULL);
  }
  while (rule(function, "hang", NULL))
    nanosleep(&five_ms, NULL);
  return rule(function, "return", ret_rv);
}

/* -- readers without a token */

static unsigned long empty_readers(void)
{
  unsigned long n = 0;

  rule("slots", "empty", &n);
  return n;
}

static bool is_empty(CK_SLOT_ID slot)
{
  return slot >= EMPTY_BEFORE && slot <= EMPTY_LAST;
}

static CK_RV spy_C_GetSlotList(CK_BBOOL present, CK_SLOT_ID_PTR list, CK_ULONG_PTR count)
{
  unsigned long around = present ? 0 : empty_readers();
  CK_ULONG room = list && *count > 2 * around ? *count - 2 * around : 0;
  CK_RV rv;

  if (intercept("C_GetSlotList", &rv))
    return rv;
  if (around == 0)
    return module->C_GetSlotList(present, list, count);
  if (list && room == 0) {
    rv = module->C_GetSlotList(present, NULL, count);
    *count += 2 * around;
    return rv ? rv : CKR_BUFFER_TOO_SMALL;
  }
  rv = module->C_GetSlotList(present, list ? list + around : NULL, list ? &room : count);
  if (list)
    *count = room;
  if (!rv && list)
    for (unsigned long i = 0; i < around; i++) {
      list[i] = EMPTY_BEFORE + i;
      list[around + room + i] = EMPTY_BEHIND + i;
    }
  *count += 2 * around;
  return rv;
}

static CK_RV spy_C_GetSlotInfo(CK_SLOT_ID slot, CK_SLOT_INFO_PTR info)
{
  CK_RV rv;

  if (intercept("C_GetSlotInfo", &rv))
    return rv;
  if (!is_empty(slot))
    return module->C_GetSlotInfo(slot, info);
  memset(info, ' ', sizeof(*info));
  memcpy(info->slotDescription, "an empty reader", 15);
  info->flags = CKF_REMOVABLE_DEVICE | CKF_HW_SLOT;
  memset(&info->hardwareVersion, 0, sizeof(info->hardwareVersion));
  memset(&info->firmwareVersion, 0, sizeof(info->firmwareVersion));
  return CKR_OK;
}

static CK_RV spy_C_GetTokenInfo(CK_SLOT_ID slot, CK_TOKEN_INFO_PTR info)
{
  unsigned long flags, sessions;
  CK_RV rv;

  if (intercept("C_GetTokenInfo", &rv))
    return rv;
  if (is_empty(slot))
    return CKR_TOKEN_NOT_PRESENT;
  rv = module->C_GetTokenInfo(slot, info);
  if (!rv && rule("C_GetTokenInfo", "flags", &flags))
    info->flags |= flags;
  if (!rv && rule("C_GetTokenInfo", "clear", &flags))
    info->flags &= ~flags;
  if (!rv && rule("C_GetTokenInfo", "sessions", &sessions))
    info->ulMaxSessionCount = sessions;
  return rv;
}

/* -- sessions */

static pthread_mutex_t sessions_lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned long sessions_open; /* guarded by it */

static CK_RV spy_C_OpenSession(CK_SLOT_ID slot, CK_FLAGS flags, void *app, CK_NOTIFY notify,
                               CK_SESSION_HANDLE_PTR session)
{
  unsigned long limit;
  CK_RV rv;

  if (intercept("C_OpenSession", &rv))
    return rv;
  if (is_empty(slot))
    return CKR_TOKEN_NOT_PRESENT;
  pthread_mutex_lock(&sessions_lock);
  if (rule("C_OpenSession", "limit", &limit) && sessions_open >= limit)
    rv = CKR_SESSION_COUNT;
  else
    rv = module->C_OpenSession(slot, flags, app, notify, session);
  if (!rv)
    sessions_open++;
  pthread_mutex_unlock(&sessions_lock);
  return rv;
}

static CK_RV spy_C_CloseSession(CK_SESSION_HANDLE session)
{
  CK_RV rv;

  if (intercept("C_CloseSession", &rv))
    return rv;
  pthread_mutex_lock(&sessions_lock);
  rv = module->C_CloseSession(session);
  if (!rv)
    sessions_open--;
  pthread_mutex_unlock(&sessions_lock);
  return rv;
}

static CK_RV spy_C_CloseAllSessions(CK_SLOT_ID slot)
{
  CK_RV rv;

  if (intercept("C_CloseAllSessions", &rv))
    return rv;
  if (is_empty(slot))
    return CKR_TOKEN_NOT_PRESENT;
  pthread_mutex_lock(&sessions_lock);
  rv = module->C_CloseAllSessions(slot);
  if (!rv)
    sessions_open = 0; /* the tests have one token */
  pthread_mutex_unlock(&sessions_lock);
  return rv;
}

/* -- signatures */

static bool corrupts(void)
{
  static atomic_ulong corrupted;
  unsigned long most = 0;

  return rule("C_Sign", "corrupt", &most) && (most == 0 || atomic_fetch_add(&corrupted, 1) < most);
}

static CK_RV spy_C_SignInit(CK_SESSION_HANDLE session, CK_MECHANISM_PTR mechanism,
                            CK_OBJECT_HANDLE key)
{
  CK_RV rv;

  if (intercept("C_SignInit", &rv))
    return rv;
  note_key(session, key);
  return module->C_SignInit(session, mechanism, key);
}

static CK_RV spy_C_Sign(CK_SESSION_HANDLE session, CK_BYTE_PTR data, CK_ULONG size, CK_BYTE_PTR sig,
                        CK_ULONG_PTR sig_size)
{
  CK_RV rv;

  if (intercept("C_Sign", &rv))
    return rv;
  rv = module->C_Sign(session, data, size, sig, sig_size);
  if (!rv && sig && *sig_size && corrupts())
    sig[*sig_size / 2] ^= 1;
  return rv;
}

/* -- functions that are only written down */

#define PASS(name, parameters, arguments)                                                          \
  static CK_RV spy_##name parameters                                                               \
  {                                                                                                \
    CK_RV rv;                                                                                      \
                                                                                                   \
    if (intercept(#name, &rv))                                                                     \
      return rv;                                                                                   \
    return module->name arguments;                                                                 \
  }

/* The same for a function whose first argument is a slot. */
#define PASS_SLOT(name, parameters, arguments)                                                     \
  static CK_RV spy_##name parameters                                                               \
  {                                                                                                \
    CK_RV rv;                                                                                      \
                                                                                                   \
    if (intercept(#name, &rv))                                                                     \
      return rv;                                                                                   \
    if (is_empty(slot))                                                                            \
      return CKR_TOKEN_NOT_PRESENT;                                                                \
    return module->name arguments;                                                                 \
  }

PASS(C_Initialize, (void *args), (args))
PASS(C_Finalize, (void *reserved), (reserved))
PASS(C_GetInfo, (CK_INFO_PTR info), (info))
PASS_SLOT(C_GetMechanismList, (CK_SLOT_ID slot, CK_MECHANISM_TYPE_PTR list, CK_ULONG_PTR count),
          (slot, list, count))
PASS_SLOT(C_GetMechanismInfo, (CK_SLOT_ID slot, CK_MECHANISM_TYPE type, CK_MECHANISM_INFO_PTR info),
          (slot, type, info))
PASS(C_GetSessionInfo, (CK_SESSION_HANDLE session, CK_SESSION_INFO_PTR info), (session, info))
PASS(C_Login, (CK_SESSION_HANDLE session, CK_USER_TYPE user, CK_UTF8CHAR_PTR pin, CK_ULONG size),
     (session, user, pin, size))
PASS(C_Logout, (CK_SESSION_HANDLE session), (session))
PASS(C_CreateObject,
     (CK_SESSION_HANDLE session, CK_ATTRIBUTE_PTR attrs, CK_ULONG n, CK_OBJECT_HANDLE_PTR object),
     (session, attrs, n, object))
PASS(C_DestroyObject, (CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object), (session, object))
PASS(C_GetAttributeValue,
     (CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_PTR attrs, CK_ULONG n),
     (session, object, attrs, n))
PASS(C_SetAttributeValue,
     (CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_PTR attrs, CK_ULONG n),
     (session, object, attrs, n))
PASS(C_FindObjectsInit, (CK_SESSION_HANDLE session, CK_ATTRIBUTE_PTR attrs, CK_ULONG n),
     (session, attrs, n))
PASS(C_FindObjects,
     (CK_SESSION_HANDLE session, CK_OBJECT_HANDLE_PTR objects, CK_ULONG room, CK_ULONG_PTR n),
     (session, objects, room, n))
PASS(C_FindObjectsFinal, (CK_SESSION_HANDLE session), (session))
PASS(C_DigestInit, (CK_SESSION_HANDLE session, CK_MECHANISM_PTR mechanism), (session, mechanism))
PASS(C_Digest,
     (CK_SESSION_HANDLE session, CK_BYTE_PTR data, CK_ULONG size, CK_BYTE_PTR digest,
      CK_ULONG_PTR n),
     (session, data, size, digest, n))
PASS(C_DigestUpdate, (CK_SESSION_HANDLE session, CK_BYTE_PTR data, CK_ULONG size),
     (session, data, size))
PASS(C_DigestFinal, (CK_SESSION_HANDLE session, CK_BYTE_PTR digest, CK_ULONG_PTR n),
     (session, digest, n))
PASS(C_SignUpdate, (CK_SESSION_HANDLE session, CK_BYTE_PTR data, CK_ULONG size),
     (session, data, size))
PASS(C_SignFinal, (CK_SESSION_HANDLE session, CK_BYTE_PTR sig, CK_ULONG_PTR n), (session, sig, n))
PASS(C_VerifyInit, (CK_SESSION_HANDLE session, CK_MECHANISM_PTR mechanism, CK_OBJECT_HANDLE key),
     (session, mechanism, key))
PASS(C_Verify,
     (CK_SESSION_HANDLE session, CK_BYTE_PTR data, CK_ULONG size, CK_BYTE_PTR sig, CK_ULONG n),
     (session, data, size, sig, n))
PASS(C_GenerateKeyPair,
     (CK_SESSION_HANDLE session, CK_MECHANISM_PTR mechanism, CK_ATTRIBUTE_PTR pub, CK_ULONG n_pub,
      CK_ATTRIBUTE_PTR priv, CK_ULONG n_priv, CK_OBJECT_HANDLE_PTR ret_pub,
      CK_OBJECT_HANDLE_PTR ret_priv),
     (session, mechanism, pub, n_pub, priv, n_priv, ret_pub, ret_priv))
PASS(C_GenerateRandom, (CK_SESSION_HANDLE session, CK_BYTE_PTR data, CK_ULONG size),
     (session, data, size))

/* -- loading */

static void load(void)
{
  const char *path = getenv("P11SPY_MODULE");
  void *library = path ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : NULL;
  CK_C_GetFunctionList get;

  if (!library)
    return;
  *(void **)&get = dlsym(library, "C_GetFunctionList");
  if (!get || get(&module) != CKR_OK) {
    module = NULL;
    return;
  }
  spied = *module;
#define SPY(name) spied.name = spy_##name
  SPY(C_Initialize);
  SPY(C_Finalize);
  SPY(C_GetInfo);
  SPY(C_GetSlotList);
  SPY(C_GetSlotInfo);
  SPY(C_GetTokenInfo);
  SPY(C_GetMechanismList);
  SPY(C_GetMechanismInfo);
  SPY(C_OpenSession);
  SPY(C_CloseSession);
  SPY(C_CloseAllSessions);
  SPY(C_GetSessionInfo);
  SPY(C_Login);
  SPY(C_Logout);
  SPY(C_CreateObject);
  SPY(C_DestroyObject);
  SPY(C_GetAttributeValue);
  SPY(C_SetAttributeValue);
  SPY(C_FindObjectsInit);
  SPY(C_FindObjects);
  SPY(C_FindObjectsFinal);
  SPY(C_DigestInit);
  SPY(C_Digest);
  SPY(C_DigestUpdate);
  SPY(C_DigestFinal);
  SPY(C_SignInit);
  SPY(C_Sign);
  SPY(C_SignUpdate);
  SPY(C_SignFinal);
  SPY(C_VerifyInit);
  SPY(C_Verify);
  SPY(C_GenerateKeyPair);
  SPY(C_GenerateRandom);
#undef SPY
}

__attribute__((visibility("default"))) CK_RV C_GetFunctionList(CK_FUNCTION_LIST_PTR_PTR list)
{
  pthread_once(&once, load);
  if (!module)
    return CKR_GENERAL_ERROR;
  *list = &spied;
  return CKR_OK;
}
