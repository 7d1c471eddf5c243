/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A PKCS#11 module in front of another one: makes it slow, and counts the calls.
 * Unlike p11spy it costs next to nothing itself, and is told what to do while it runs.
 *
 *   P11SLOW_MODULE   the real module
 *   P11SLOW_CONTROL  file of struct control, which exists already and has its size;
 *                    processes that share it count together
 *
 * The delay is spent before the real call, outside of any lock: sessions are slow
 * side by side, as on a token that is far away or has many units.
 */
#define _GNU_SOURCE
#include <p11-kit/pkcs11.h>

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

/* -- the functions: name, parameters, arguments */

#define FUNCTIONS(F)                                                                               \
  F(C_Initialize, (void *args), (args))                                                            \
  F(C_Finalize, (void *reserved), (reserved))                                                      \
  F(C_GetInfo, (CK_INFO_PTR info), (info))                                                         \
  F(C_GetSlotList, (CK_BBOOL present, CK_SLOT_ID_PTR list, CK_ULONG_PTR n), (present, list, n))    \
  F(C_GetSlotInfo, (CK_SLOT_ID slot, CK_SLOT_INFO_PTR info), (slot, info))                         \
  F(C_GetTokenInfo, (CK_SLOT_ID slot, CK_TOKEN_INFO_PTR info), (slot, info))                       \
  F(C_GetMechanismList, (CK_SLOT_ID slot, CK_MECHANISM_TYPE_PTR list, CK_ULONG_PTR n),             \
    (slot, list, n))                                                                               \
  F(C_GetMechanismInfo, (CK_SLOT_ID slot, CK_MECHANISM_TYPE type, CK_MECHANISM_INFO_PTR info),     \
    (slot, type, info))                                                                            \
  F(C_OpenSession,                                                                                 \
    (CK_SLOT_ID slot, CK_FLAGS flags, void *app, CK_NOTIFY notify, CK_SESSION_HANDLE_PTR ret),     \
    (slot, flags, app, notify, ret))                                                               \
  F(C_CloseSession, (CK_SESSION_HANDLE s), (s))                                                    \
  F(C_CloseAllSessions, (CK_SLOT_ID slot), (slot))                                                 \
  F(C_GetSessionInfo, (CK_SESSION_HANDLE s, CK_SESSION_INFO_PTR info), (s, info))                  \
  F(C_Login, (CK_SESSION_HANDLE s, CK_USER_TYPE user, CK_UTF8CHAR_PTR pin, CK_ULONG n),            \
    (s, user, pin, n))                                                                             \
  F(C_Logout, (CK_SESSION_HANDLE s), (s))                                                          \
  F(C_CreateObject,                                                                                \
    (CK_SESSION_HANDLE s, CK_ATTRIBUTE_PTR attrs, CK_ULONG n, CK_OBJECT_HANDLE_PTR ret),           \
    (s, attrs, n, ret))                                                                            \
  F(C_DestroyObject, (CK_SESSION_HANDLE s, CK_OBJECT_HANDLE object), (s, object))                  \
  F(C_GetAttributeValue,                                                                           \
    (CK_SESSION_HANDLE s, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_PTR attrs, CK_ULONG n),            \
    (s, object, attrs, n))                                                                         \
  F(C_SetAttributeValue,                                                                           \
    (CK_SESSION_HANDLE s, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_PTR attrs, CK_ULONG n),            \
    (s, object, attrs, n))                                                                         \
  F(C_FindObjectsInit, (CK_SESSION_HANDLE s, CK_ATTRIBUTE_PTR attrs, CK_ULONG n), (s, attrs, n))   \
  F(C_FindObjects,                                                                                 \
    (CK_SESSION_HANDLE s, CK_OBJECT_HANDLE_PTR objects, CK_ULONG room, CK_ULONG_PTR n),            \
    (s, objects, room, n))                                                                         \
  F(C_FindObjectsFinal, (CK_SESSION_HANDLE s), (s))                                                \
  F(C_DigestInit, (CK_SESSION_HANDLE s, CK_MECHANISM_PTR mechanism), (s, mechanism))               \
  F(C_Digest,                                                                                      \
    (CK_SESSION_HANDLE s, CK_BYTE_PTR data, CK_ULONG size, CK_BYTE_PTR digest, CK_ULONG_PTR n),    \
    (s, data, size, digest, n))                                                                    \
  F(C_DigestUpdate, (CK_SESSION_HANDLE s, CK_BYTE_PTR data, CK_ULONG size), (s, data, size))       \
  F(C_DigestFinal, (CK_SESSION_HANDLE s, CK_BYTE_PTR digest, CK_ULONG_PTR n), (s, digest, n))      \
  F(C_SignInit, (CK_SESSION_HANDLE s, CK_MECHANISM_PTR mechanism, CK_OBJECT_HANDLE key),           \
    (s, mechanism, key))                                                                           \
  F(C_Sign,                                                                                        \
    (CK_SESSION_HANDLE s, CK_BYTE_PTR data, CK_ULONG size, CK_BYTE_PTR sig, CK_ULONG_PTR n),       \
    (s, data, size, sig, n))                                                                       \
  F(C_SignUpdate, (CK_SESSION_HANDLE s, CK_BYTE_PTR data, CK_ULONG size), (s, data, size))         \
  F(C_SignFinal, (CK_SESSION_HANDLE s, CK_BYTE_PTR sig, CK_ULONG_PTR n), (s, sig, n))              \
  F(C_VerifyInit, (CK_SESSION_HANDLE s, CK_MECHANISM_PTR mechanism, CK_OBJECT_HANDLE key),         \
    (s, mechanism, key))                                                                           \
  F(C_Verify, (CK_SESSION_HANDLE s, CK_BYTE_PTR data, CK_ULONG size, CK_BYTE_PTR sig, CK_ULONG n), \
    (s, data, size, sig, n))                                                                       \
  F(C_GenerateKeyPair,                                                                             \
    (CK_SESSION_HANDLE s, CK_MECHANISM_PTR mechanism, CK_ATTRIBUTE_PTR pub, CK_ULONG n_pub,        \
     CK_ATTRIBUTE_PTR priv, CK_ULONG n_priv, CK_OBJECT_HANDLE_PTR ret_pub,                         \
     CK_OBJECT_HANDLE_PTR ret_priv),                                                               \
    (s, mechanism, pub, n_pub, priv, n_priv, ret_pub, ret_priv))                                   \
  F(C_GenerateRandom, (CK_SESSION_HANDLE s, CK_BYTE_PTR data, CK_ULONG size), (s, data, size))

#define NUMBER(name, parameters, arguments) N_##name,
enum function { FUNCTIONS(NUMBER) N_FUNCTIONS };
#undef NUMBER

/* -- what is shared with whoever watches: all 64-bit, native byte order */

#define NAME_SIZE 24

struct counter {
  char function[NAME_SIZE]; /* "" behind the last */
  _Atomic uint64_t calls;
};

struct control {
  _Atomic uint64_t call_us;      /* written by the watcher: every call takes this long more, */
  _Atomic uint64_t sign_us;      /* C_Sign and C_SignFinal this long on top */
  _Atomic uint64_t signing;      /* calls inside C_Sign or C_SignFinal now */
  _Atomic uint64_t most_signing; /* at any time; the watcher sets it back */
  struct counter counter[N_FUNCTIONS + 1];
};

static struct control nobody_watches;
static struct control *control = &nobody_watches;
static CK_FUNCTION_LIST *module;
static CK_FUNCTION_LIST slowed;
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* -- slowness */

static void pause_us(uint64_t us)
{
  struct timespec ts = {(time_t)(us / 1000000), (long)(us % 1000000) * 1000};

  while (us > 0 && clock_nanosleep(CLOCK_MONOTONIC, 0, &ts, &ts) == EINTR)
    ;
}

static void enter(enum function function)
{
  uint64_t us = atomic_load_explicit(&control->call_us, memory_order_relaxed);

  atomic_fetch_add_explicit(&control->counter[function].calls, 1, memory_order_relaxed);
  if (function == N_C_Sign || function == N_C_SignFinal) {
    uint64_t now = atomic_fetch_add(&control->signing, 1) + 1;
    uint64_t most = atomic_load(&control->most_signing);

    while (now > most && !atomic_compare_exchange_weak(&control->most_signing, &most, now))
      ;
    us += atomic_load_explicit(&control->sign_us, memory_order_relaxed);
  }
  pause_us(us);
}

static void leave(enum function function)
{
  if (function == N_C_Sign || function == N_C_SignFinal)
    atomic_fetch_sub(&control->signing, 1);
}

#define WRAP(name, parameters, arguments)                                                          \
  static CK_RV slow_##name parameters                                                              \
  {                                                                                                \
    CK_RV rv;                                                                                      \
                                                                                                   \
    enter(N_##name);                                                                               \
    rv = module->name arguments;                                                                   \
    leave(N_##name);                                                                               \
    return rv;                                                                                     \
  }
FUNCTIONS(WRAP)
#undef WRAP

/* -- loading */

static void attach(const char *path)
{
  void *memory;
  int fd;

  fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
  if (fd < 0)
    return;
  memory = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  close(fd);
  if (memory == MAP_FAILED)
    return;
  control = memory;
#define NAME(name, parameters, arguments)                                                          \
  strncpy(control->counter[N_##name].function, #name, NAME_SIZE - 1);
  FUNCTIONS(NAME)
#undef NAME
}

static void load(void)
{
  const char *path = getenv("P11SLOW_MODULE");
  void *library = path ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : NULL;
  CK_C_GetFunctionList get;

  if (!library)
    return;
  *(void **)&get = dlsym(library, "C_GetFunctionList");
  if (!get || get(&module) != CKR_OK) {
    module = NULL;
    return;
  }
  attach(getenv("P11SLOW_CONTROL"));
  slowed = *module;
#define SLOW(name, parameters, arguments) slowed.name = slow_##name;
  FUNCTIONS(SLOW)
#undef SLOW
}

__attribute__((visibility("default"))) CK_RV C_GetFunctionList(CK_FUNCTION_LIST_PTR_PTR list)
{
  pthread_once(&once, load);
  if (!module)
    return CKR_GENERAL_ERROR;
  *list = &slowed;
  return CKR_OK;
}
