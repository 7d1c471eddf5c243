/* SPDX-License-Identifier: GPL-2.0-or-later */
#define P11_KIT_FUTURE_UNSTABLE_API
#include "rig/softhsm.h"

#include "pkcs11/module.h"

#include <dlfcn.h>
#include <errno.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define PATH_MAX_LEN 256
#define SLOTS_MAX 64

static char dir[PATH_MAX_LEN], softhsm2_conf[PATH_MAX_LEN];
/* p11-kit keeps the pointers. */
static char user_conf[PATH_MAX_LEN], system_conf[PATH_MAX_LEN];
static char modules_dir[PATH_MAX_LEN], none_dir[PATH_MAX_LEN];

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WITH_ASAN
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define WITH_ASAN
#endif

#ifdef WITH_ASAN
/* SoftHSM 2.6.1 leaks what it parses of CKA_EC_PARAMS of Edwards keys. To tell that from leaks of
   ours, its frames must be in the stacks and its code still be loaded at the end. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
  return "fast_unwind_on_malloc=0";
}

const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
  return "leak:libsofthsm2.so\n";
}

static void keep_loaded(void)
{
  if (dlopen(SOFTHSM_MODULE, RTLD_NOW | RTLD_NODELETE) == NULL)
    fail_msg("%s", dlerror());
}
#else
static void keep_loaded(void) {}
#endif

static void path_of(char *to, const char *name)
{
  int len = snprintf(to, PATH_MAX_LEN, "%s/%s", dir, name);

  if (len < 0 || len >= PATH_MAX_LEN)
    fail_msg("path too long: %s", name);
}

static void make_dir(char *path, const char *name)
{
  path_of(path, name);
  if (mkdir(path, 0700) != 0)
    fail_msg("%s: %s", path, strerror(errno));
}

static void make_file(const char *path, const char *text)
{
  FILE *file = fopen(path, "w");

  if (file == NULL || fputs(text, file) == EOF || fclose(file) != 0)
    fail_msg("%s: %s", path, strerror(errno));
}

static void configure_softhsm(void)
{
  char path[PATH_MAX_LEN], text[2 * PATH_MAX_LEN];

  make_dir(path, "tokens");
  (void)snprintf(text, sizeof text,
                 "directories.tokendir = %s\nobjectstore.backend = file\nlog.level = ERROR\n"
                 "slots.removable = false\n",
                 path);
  path_of(softhsm2_conf, "softhsm2.conf");
  make_file(softhsm2_conf, text);
  if (setenv("SOFTHSM2_CONF", softhsm2_conf, 1) != 0)
    fail_msg("setenv: %s", strerror(errno));
}

static void configure_p11_kit(void)
{
  char path[PATH_MAX_LEN];

  make_dir(path, "config");
  if (setenv("XDG_CONFIG_HOME", path, 1) != 0)
    fail_msg("setenv: %s", strerror(errno));
  make_dir(path, "config/pkcs11");
  make_dir(modules_dir, "config/pkcs11/modules");
  make_dir(none_dir, "none");
  path_of(user_conf, "config/pkcs11/pkcs11.conf");
  make_file(user_conf, "user-config: only\n");
  /* For root p11-kit reads the system's configuration only, so that is moved here as well. */
  if (getuid() == 0) {
    path_of(system_conf, "system.conf");
    make_file(system_conf, "user-config: none\n");
    p11_kit_override_system_files(system_conf, user_conf, none_dir, modules_dir, none_dir);
  }
  softhsm_add_config("softhsm2", "module: " SOFTHSM_MODULE "\n");
}

void softhsm_setup(void)
{
  const char *tmp = getenv("TMPDIR");

  (void)snprintf(dir, sizeof dir, "%s/p11s-test-XXXXXX", tmp != NULL ? tmp : "/tmp");
  if (mkdtemp(dir) == NULL)
    fail_msg("%s: %s", dir, strerror(errno));
  configure_softhsm();
  configure_p11_kit();
  keep_loaded();
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
  (void)st;
  (void)flag;
  (void)ftw;
  return remove(path);
}

void softhsm_teardown(void)
{
  p11s_module_shutdown();
  if (nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS) != 0)
    fail_msg("cannot remove %s: %s", dir, strerror(errno));
}

const char *softhsm_dir(void)
{
  return dir;
}

const char *softhsm_conf(void)
{
  return softhsm2_conf;
}

static void config_path(char *to, const char *name)
{
  char file[64];

  (void)snprintf(file, sizeof file, "config/pkcs11/modules/%s.module", name);
  path_of(to, file);
}

void softhsm_add_config(const char *name, const char *text)
{
  char path[PATH_MAX_LEN];

  config_path(path, name);
  make_file(path, text);
}

void softhsm_remove_config(const char *name)
{
  char path[PATH_MAX_LEN];

  config_path(path, name);
  if (unlink(path) != 0)
    fail_msg("%s: %s", path, strerror(errno));
}

CK_FUNCTION_LIST *softhsm_module(void)
{
  CK_FUNCTION_LIST *module = NULL;
  struct p11s_error e;

  if (p11s_module_get("softhsm2", &module, &e) != P11S_OK)
    fail_msg("%s", e.text);
  return module;
}

static void must(CK_RV rv, const char *call)
{
  if (rv != CKR_OK)
    fail_msg("%s: %s", call, p11s_rv_name(rv));
}

/* SoftHSM always has one uninitialized token. An initialized one keeps its slot until C_Finalize
   and is found under a number made from its serial afterwards. */
static CK_SLOT_ID free_slot(CK_FUNCTION_LIST *module)
{
  CK_SLOT_ID slots[SLOTS_MAX];
  CK_ULONG count = SLOTS_MAX;

  /* This call makes the uninitialized one. */
  must(module->C_GetSlotList(CK_TRUE, NULL, &count), "C_GetSlotList");
  count = SLOTS_MAX;
  must(module->C_GetSlotList(CK_TRUE, slots, &count), "C_GetSlotList");
  for (CK_ULONG i = 0; i < count; i++) {
    CK_TOKEN_INFO info;

    must(module->C_GetTokenInfo(slots[i], &info), "C_GetTokenInfo");
    if ((info.flags & CKF_TOKEN_INITIALIZED) == 0)
      return slots[i];
  }
  fail_msg("SoftHSM has no uninitialized token");
  return 0;
}

CK_SLOT_ID softhsm_token(const char *label, const char *pin)
{
  CK_FUNCTION_LIST *module = softhsm_module();
  CK_UTF8CHAR padded[32], so_pin[] = SO_PIN;
  CK_SESSION_HANDLE session;
  CK_SLOT_ID slot;

  memset(padded, ' ', sizeof padded);
  memcpy(padded, label, strnlen(label, sizeof padded));
  slot = free_slot(module);
  must(module->C_InitToken(slot, so_pin, sizeof so_pin - 1, padded), "C_InitToken");
  if (pin == NULL)
    return slot;
  must(module->C_OpenSession(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &session),
       "C_OpenSession");
  must(module->C_Login(session, CKU_SO, so_pin, sizeof so_pin - 1), "C_Login");
  must(module->C_InitPIN(session, (CK_UTF8CHAR *)pin, strlen(pin)), "C_InitPIN");
  must(module->C_CloseSession(session), "C_CloseSession");
  return slot;
}

CK_SESSION_HANDLE softhsm_session(CK_SLOT_ID slot, bool rw, const char *pin)
{
  CK_FUNCTION_LIST *module = softhsm_module();
  CK_SESSION_HANDLE session;
  CK_RV rv;

  must(module->C_OpenSession(slot, CKF_SERIAL_SESSION | (rw ? CKF_RW_SESSION : 0), NULL, NULL,
                             &session),
       "C_OpenSession");
  if (pin != NULL) {
    rv = module->C_Login(session, CKU_USER, (CK_UTF8CHAR *)pin, strlen(pin));
    if (rv != CKR_USER_ALREADY_LOGGED_IN)
      must(rv, "C_Login");
  }
  return session;
}
