/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * How many signatures a second a token makes when nothing else is in the way:
 * C_SignInit and C_Sign in a loop, on as many threads as there are sessions.
 *
 *   rawsign MODULE TOKEN-LABEL KEY-LABEL rsa|ecdsa THREADS SECONDS     PIN on stdin
 *
 * Prints the rate. What is signed is as large as for DNSSEC: a DigestInfo of
 * SHA-256, or its digest.
 */
#define _GNU_SOURCE
#include <p11-kit/pkcs11.h>

#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MAX_THREADS 64
#define DIGEST_INFO_LEN 51
#define DIGEST_LEN 32

struct bench {
  CK_FUNCTION_LIST *module;
  CK_SLOT_ID slot;
  CK_OBJECT_HANDLE key;
  CK_MECHANISM mechanism;
  CK_ULONG input_len;
  double end;
  atomic_ulong made;
};

static void die(const char *what, CK_RV rv)
{
  fprintf(stderr, "rawsign: %s: 0x%lx\n", what, rv);
  exit(1);
}

static void check(const char *what, CK_RV rv)
{
  if (rv != CKR_OK)
    die(what, rv);
}

static double now(void)
{
  struct timespec ts;

  clock_gettime(CLOCK_MONOTONIC, &ts);
  return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static CK_FUNCTION_LIST *load(const char *path)
{
  void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  CK_C_GetFunctionList get = NULL;
  CK_FUNCTION_LIST *module = NULL;

  if (library)
    *(void **)&get = dlsym(library, "C_GetFunctionList");
  if (!get)
    die(path, CKR_GENERAL_ERROR);
  check("C_GetFunctionList", get(&module));
  return module;
}

static CK_SLOT_ID find_slot(CK_FUNCTION_LIST *module, const char *label)
{
  CK_SLOT_ID slots[64];
  CK_ULONG n = 64;
  CK_TOKEN_INFO info;
  size_t len = strlen(label);

  check("C_GetSlotList", module->C_GetSlotList(CK_TRUE, slots, &n));
  for (CK_ULONG i = 0; i < n; i++)
    if (module->C_GetTokenInfo(slots[i], &info) == CKR_OK && len <= sizeof info.label &&
        memcmp(info.label, label, len) == 0 && (len == sizeof info.label || info.label[len] == ' '))
      return slots[i];
  die("no such token", CKR_TOKEN_NOT_PRESENT);
  return 0;
}

static CK_SESSION_HANDLE open_session(const struct bench *b)
{
  CK_SESSION_HANDLE session;

  check("C_OpenSession",
        b->module->C_OpenSession(b->slot, CKF_SERIAL_SESSION, NULL, NULL, &session));
  return session;
}

static CK_OBJECT_HANDLE find_key(CK_FUNCTION_LIST *module, CK_SESSION_HANDLE session, char *label)
{
  CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;
  CK_ATTRIBUTE attrs[] = {{CKA_CLASS, &class, sizeof class}, {CKA_LABEL, label, strlen(label)}};
  CK_OBJECT_HANDLE key;
  CK_ULONG n = 0;

  check("C_FindObjectsInit", module->C_FindObjectsInit(session, attrs, 2));
  check("C_FindObjects", module->C_FindObjects(session, &key, 1, &n));
  check("C_FindObjectsFinal", module->C_FindObjectsFinal(session));
  if (n != 1)
    die("no such key", CKR_KEY_HANDLE_INVALID);
  return key;
}

static void log_in(CK_FUNCTION_LIST *module, CK_SESSION_HANDLE session)
{
  unsigned char pin[128] = "";

  if (!fgets((char *)pin, sizeof pin, stdin))
    die("no PIN on stdin", CKR_PIN_INCORRECT);
  pin[strcspn((char *)pin, "\n")] = '\0';
  check("C_Login", module->C_Login(session, CKU_USER, pin, strlen((char *)pin)));
  memset(pin, 0, sizeof pin);
}

static void *signer(void *arg)
{
  struct bench *b = arg;
  CK_SESSION_HANDLE session = open_session(b);
  CK_BYTE input[DIGEST_INFO_LEN];
  CK_BYTE signature[512];
  unsigned long made = 0;

  memset(input, 0x5a, sizeof input);
  while (now() < b->end) {
    CK_ULONG len = sizeof signature;

    check("C_SignInit", b->module->C_SignInit(session, &b->mechanism, b->key));
    check("C_Sign", b->module->C_Sign(session, input, b->input_len, signature, &len));
    made++;
  }
  atomic_fetch_add(&b->made, made);
  return NULL;
}

int main(int argc, char **argv)
{
  CK_C_INITIALIZE_ARGS threads_ok = {.flags = CKF_OS_LOCKING_OK};
  pthread_t thread[MAX_THREADS];
  struct bench b = {0};
  CK_SESSION_HANDLE session;
  bool rsa;
  unsigned n;
  double start;

  if (argc != 7 || (n = (unsigned)strtoul(argv[5], NULL, 10)) < 1 || n > MAX_THREADS) {
    fprintf(stderr, "usage: rawsign MODULE TOKEN-LABEL KEY-LABEL rsa|ecdsa THREADS SECONDS\n");
    return 2;
  }
  rsa = strcmp(argv[4], "rsa") == 0;
  b.module = load(argv[1]);
  check("C_Initialize", b.module->C_Initialize(&threads_ok));
  b.slot = find_slot(b.module, argv[2]);
  session = open_session(&b);
  log_in(b.module, session);
  b.key = find_key(b.module, session, argv[3]);
  b.mechanism.mechanism = rsa ? CKM_RSA_PKCS : CKM_ECDSA;
  b.input_len = rsa ? DIGEST_INFO_LEN : DIGEST_LEN;

  start = now();
  b.end = start + strtod(argv[6], NULL);
  for (unsigned i = 0; i < n; i++)
    if (pthread_create(&thread[i], NULL, signer, &b) != 0)
      die("no thread", CKR_HOST_MEMORY);
  for (unsigned i = 0; i < n; i++)
    pthread_join(thread[i], NULL);
  printf("%.1f\n", (double)atomic_load(&b.made) / (now() - start));
  b.module->C_Finalize(NULL);
  return 0;
}
