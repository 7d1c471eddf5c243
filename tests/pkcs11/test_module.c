/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/lock.h"
#include "base/log.h"
#include "pkcs11/module.h"
#include "pkcs11/module_internal.h"
#include "pkcs11/restart.h"
#include "rig/softhsm.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define THREADS 8
#define REREAD_MS 30000
/* Of Debian's p11-kit-modules, which p11-kit itself pulls in. */
#define TRUST_MODULE "/usr/lib/x86_64-linux-gnu/pkcs11/p11-kit-trust.so"

static int setup(void **state)
{
  (void)state;
  softhsm_setup();
  softhsm_add_config("absent", "module: /nonexistent/libabsent.so\n");
  softhsm_add_config("nopkcs11", "module: /usr/lib/x86_64-linux-gnu/libm.so.6\n");
  return 0;
}

static int teardown(void **state)
{
  (void)state;
  softhsm_teardown();
  return 0;
}

static CK_RV list_slots(CK_FUNCTION_LIST *module)
{
  CK_ULONG count = 0;

  return module->C_GetSlotList(CK_FALSE, NULL, &count);
}

/* First, so that the threads find nothing loaded. */
static void *get_in_thread(void *arg)
{
  CK_FUNCTION_LIST *module = NULL;

  (void)pthread_barrier_wait(arg);
  if (p11s_module_get("softhsm2", &module, NULL) != P11S_OK || list_slots(module) != CKR_OK)
    return NULL;
  return module;
}

static void many_threads_get_one_module(void **state)
{
  pthread_barrier_t barrier;
  pthread_t threads[THREADS];
  void *modules[THREADS];

  (void)state;
  assert_int_equal(pthread_barrier_init(&barrier, NULL, THREADS), 0);
  for (int i = 0; i < THREADS; i++)
    assert_int_equal(pthread_create(&threads[i], NULL, get_in_thread, &barrier), 0);
  for (int i = 0; i < THREADS; i++)
    assert_int_equal(pthread_join(threads[i], &modules[i]), 0);
  assert_non_null(modules[0]);
  for (int i = 1; i < THREADS; i++)
    assert_ptr_equal(modules[i], modules[0]);
  assert_int_equal(pthread_barrier_destroy(&barrier), 0);
  assert_int_equal(list_slots(modules[0]), CKR_OK);
}

static void unknown_module_names_the_known(void **state)
{
  CK_FUNCTION_LIST *module = NULL;
  struct p11s_error e;

  (void)state;
  assert_int_equal(p11s_module_get("softhsm", &module, &e), P11S_ERR_NO_MODULE);
  assert_null(module);
  assert_non_null(strstr(e.text, "'softhsm'"));
  assert_non_null(strstr(e.text, "softhsm2"));
  assert_null(strstr(e.text, "libsofthsm2.so"));
  assert_int_equal(p11s_module_get("", &module, &e), P11S_ERR_NO_MODULE);
}

static void module_that_does_not_load(void **state)
{
  CK_FUNCTION_LIST *module = NULL;
  struct p11s_error e;

  (void)state;
  assert_int_equal(p11s_module_get("absent", &module, &e), P11S_ERR_NO_MODULE);
  assert_int_equal(p11s_module_get("nopkcs11", &module, &e), P11S_ERR_NO_MODULE);
  /* p11-kit's last words on loading */
  assert_non_null(strstr(e.text, "it says: "));
}

struct seen {
  struct p11s_module_info last;
  int count;
};

static void note_module(const struct p11s_module_info *info, void *arg)
{
  struct seen *seen = arg;

  seen->last = *info;
  seen->count++;
}

/* SoftHSM does not initialize without its configuration; another module must not suffer. */
static void module_that_does_not_initialize(void **state)
{
  CK_FUNCTION_LIST *module = NULL;
  struct seen seen = {.count = 0};
  struct p11s_error e;

  (void)state;
  p11s_module_shutdown();
  softhsm_add_config("trust", "module: " TRUST_MODULE "\n");
  assert_int_equal(setenv("SOFTHSM2_CONF", "/nonexistent/softhsm2.conf", 1), 0);
  for (int i = 0; i < 2; i++) {
    assert_int_equal(p11s_module_get("softhsm2", &module, &e), P11S_ERR_NO_MODULE);
    assert_non_null(strstr(e.text, "'softhsm2' does not initialize: CKR_"));
    assert_null(module);
  }
  assert_int_equal(p11s_module_get("trust", &module, &e), P11S_OK);
  assert_int_equal(list_slots(module), CKR_OK);
  assert_int_equal(p11s_module_each(note_module, &seen, NULL), P11S_OK);
  assert_int_equal(seen.count, 1);
  assert_string_equal(seen.last.name, "trust");
  /* It is tried again each time. */
  assert_int_equal(setenv("SOFTHSM2_CONF", softhsm_conf(), 1), 0);
  assert_int_equal(p11s_module_get("softhsm2", &module, &e), P11S_OK);
  assert_int_equal(list_slots(module), CKR_OK);
  assert_int_equal(p11s_module_get("unknown", &module, &e), P11S_ERR_NO_MODULE);
  assert_non_null(strstr(e.text, "softhsm2"));
  assert_non_null(strstr(e.text, "trust"));
  p11s_module_shutdown();
  softhsm_remove_config("trust");
}

/* p11-kit gives such a module as it is, and nobody else's arguments for it. */
static void unmanaged_module(void **state)
{
  CK_FUNCTION_LIST *module;
  CK_SESSION_HANDLE session;

  (void)state;
  p11s_module_shutdown();
  softhsm_add_config("raw", "module: " SOFTHSM_MODULE "\nmanaged: no\n");
  softhsm_remove_config("softhsm2");
  assert_int_equal(p11s_module_get("raw", &module, NULL), P11S_OK);
  assert_int_equal(list_slots(module), CKR_OK);
  assert_int_equal(module->C_OpenSession(0, CKF_SERIAL_SESSION, NULL, NULL, &session),
                   CKR_TOKEN_NOT_RECOGNIZED);
  p11s_module_shutdown();
  softhsm_remove_config("raw");
  softhsm_add_config("softhsm2", "module: " SOFTHSM_MODULE "\n");
  assert_int_equal(list_slots(softhsm_module()), CKR_OK);
}

static void each_lists_what_works(void **state)
{
  struct seen seen = {.count = 0};

  (void)state;
  assert_int_equal(p11s_module_each(note_module, &seen, NULL), P11S_OK);
  assert_int_equal(seen.count, 1);
  assert_string_equal(seen.last.name, "softhsm2");
  assert_non_null(strstr(seen.last.path, "libsofthsm2.so"));
  assert_string_equal(seen.last.manufacturer, "SoftHSM");
  assert_non_null(strstr(seen.last.description, "PKCS11"));
  assert_true(strspn(seen.last.version, "0123456789") > 0);
  assert_non_null(strchr(seen.last.version, '.'));
}

/* What PowerDNS's built-in engine does in the same process. */
static void another_user_of_p11_kit(void **state)
{
  CK_FUNCTION_LIST *ours = softhsm_module();
  CK_FUNCTION_LIST **theirs = p11_kit_modules_load_and_initialize(0);
  CK_FUNCTION_LIST *their;

  (void)state;
  assert_non_null(theirs);
  their = p11_kit_module_for_name(theirs, "softhsm2");
  assert_non_null(their);
  assert_int_equal(list_slots(their), CKR_OK);
  /* Their end is not ours … */
  p11_kit_modules_finalize_and_release(theirs);
  assert_int_equal(list_slots(ours), CKR_OK);
  assert_ptr_equal(softhsm_module(), ours);
  /* … nor ours theirs. */
  theirs = p11_kit_modules_load_and_initialize(0);
  assert_non_null(theirs);
  their = p11_kit_module_for_name(theirs, "softhsm2");
  p11s_module_shutdown();
  assert_int_equal(list_slots(their), CKR_OK);
  assert_int_equal(list_slots(softhsm_module()), CKR_OK);
  p11_kit_modules_finalize_and_release(theirs);
  assert_int_equal(list_slots(softhsm_module()), CKR_OK);
}

static void shutdown_and_again(void **state)
{
  (void)state;
  for (int i = 0; i < 3; i++) {
    p11s_module_shutdown();
    assert_int_equal(list_slots(softhsm_module()), CKR_OK);
  }
  p11s_module_shutdown();
  p11s_module_shutdown();
}

/* 0 when all is well; cmocka is not for children. */
static int in_child(const CK_FUNCTION_LIST *parents)
{
  CK_FUNCTION_LIST *module = NULL;
  CK_SESSION_HANDLE session;
  CK_SLOT_ID slots[16];
  CK_ULONG count = 16;

  if (p11s_module_get("softhsm2", &module, NULL) != P11S_OK)
    return 1;
  if (module == parents)
    return 2;
  if (module->C_GetSlotList(CK_TRUE, slots, &count) != CKR_OK || count < 1)
    return 3;
  if (module->C_OpenSession(slots[0], CKF_SERIAL_SESSION, NULL, NULL, &session) != CKR_OK)
    return 4;
  p11s_module_shutdown();
  return 0;
}

static void child_starts_anew(void **state)
{
  CK_FUNCTION_LIST *module = softhsm_module();
  CK_SLOT_ID slot = softhsm_token("forked", USER_PIN);
  CK_SESSION_HANDLE session = softhsm_session(slot, false, USER_PIN);
  CK_SESSION_INFO info;
  int status;
  pid_t pid = fork();

  (void)state;
  assert_int_not_equal(pid, -1);
  if (pid == 0)
    _exit(in_child(module));
  assert_int_equal(waitpid(pid, &status, 0), pid);
  assert_true(WIFEXITED(status));
  assert_int_equal(WEXITSTATUS(status), 0);
  /* The child's end is not the parent's. */
  assert_ptr_equal(softhsm_module(), module);
  assert_int_equal(module->C_GetSessionInfo(session, &info), CKR_OK);
  assert_int_equal(info.state, CKS_RO_USER_FUNCTIONS);
  assert_int_equal(module->C_CloseSession(session), CKR_OK);
}

/* Our lock is held for most of the time that this takes. */
static void *miss_modules(void *arg)
{
  atomic_bool *stop = arg;
  CK_FUNCTION_LIST *module;

  while (!atomic_load(stop))
    (void)p11s_module_get("unknown", &module, NULL);
  return NULL;
}

/* The child must not wait for a thread that it does not have. It only looks at our own lock: what
   p11-kit does with its own is p11-kit's. */
static void fork_while_busy(void **state)
{
  atomic_bool stop = false;
  pthread_t thread;

  (void)state;
  (void)softhsm_module();
  assert_int_equal(pthread_create(&thread, NULL, miss_modules, &stop), 0);
  for (int i = 0; i < 100; i++) {
    int status;
    pid_t pid = fork();

    assert_int_not_equal(pid, -1);
    if (pid == 0) {
      (void)alarm(20);
      p11s_module_shutdown();
      _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
  }
  atomic_store(&stop, true);
  assert_int_equal(pthread_join(thread, NULL), 0);
}

/* -- modules that are tried beforehand: pkcs11signer-probe is a script that says this and that */

#define GOOD_ONE "softhsm2\\0" SOFTHSM_MODULE "\\0-e\\0\\0\\0"
#define CRASHING(flags) "bad\\0/none/bad.so\\0-" flags "D\\0\\0crashed when loaded\\0"

static atomic_uint_fast64_t later;
static char logged[1024];

uint64_t __real_p11s_now_ms(void);
uint64_t __wrap_p11s_now_ms(void);
uint64_t __wrap_p11s_now_ms(void)
{
  return __real_p11s_now_ms() + atomic_load(&later);
}

static void note_line(enum p11s_log_level level, const char *line)
{
  if (level != P11S_LOG_DEBUG)
    (void)snprintf(logged + strlen(logged), sizeof logged - strlen(logged), "%s\n", line);
}

static void probe_says(const char *text)
{
  char path[512];
  FILE *file;

  (void)snprintf(path, sizeof path, "%s/probe", softhsm_dir());
  file = fopen(path, "w");
  assert_non_null(file);
  assert_true(fprintf(file, "#!/bin/sh\nprintf '%s\\0end\\0'\n", text) > 0);
  assert_int_equal(fclose(file), 0);
  assert_int_equal(chmod(path, 0700), 0);
  assert_int_equal(setenv("PKCS11SIGNER_PROBE", path, 1), 0);
}

static int probed_setup(void **state)
{
  (void)state;
  p11s_module_shutdown();
  logged[0] = 0;
  p11s_log_set_sink(note_line);
  return 0;
}

static int probed_teardown(void **state)
{
  (void)state;
  p11s_module_shutdown();
  p11s_log_set_sink(NULL);
  return setenv("PKCS11SIGNER_PROBE", "/nonexistent/probe", 1);
}

static void assert_refused(const char *name, const char *reason)
{
  CK_FUNCTION_LIST *module = NULL;
  struct p11s_error e;

  assert_int_equal(p11s_module_get(name, &module, &e), P11S_ERR_NO_MODULE);
  assert_null(module);
  if (strstr(e.text, reason) == NULL)
    fail_msg("'%s' is not in: %s", reason, e.text);
}

static void note_name(const char *name, void *arg)
{
  char *names = arg;

  (void)snprintf(names + strlen(names), 256 - strlen(names), "%s ", name);
}

/* p11-kit does not know it here, so it would have been loaded had anybody tried. */
static void crashing_module_is_left_out(void **state)
{
  char names[256] = "";

  (void)state;
  probe_says(CRASHING("e") GOOD_ONE);
  assert_int_equal(list_slots(softhsm_module()), CKR_OK);
  assert_refused("bad", "PKCS#11 module 'bad' (/none/bad.so) crashed when loaded: it is left out");
  assert_refused("worse", "it knows: bad, softhsm2");
  assert_int_equal(p11s_module_each_name(note_name, names, NULL), P11S_OK);
  assert_string_equal(names, "bad softhsm2 ");
  /* Once. */
  assert_non_null(strstr(logged, "'bad'"));
  assert_ptr_equal(strstr(logged, "'bad'"), strrchr(logged, '(') - 6);
}

static void crashing_module_is_tried_again(void **state)
{
  CK_FUNCTION_LIST *module = NULL;

  (void)state;
  probe_says(CRASHING("e") GOOD_ONE);
  assert_refused("bad", "crashed when loaded");
  probe_says("bad\\0" SOFTHSM_MODULE "\\0-e\\0\\0\\0");
  assert_refused("bad", "crashed when loaded");
  atomic_fetch_add(&later, 31000);
  probe_says("bad\\0/none/bad.so\\0-eU\\0\\0is no library\\0");
  assert_refused("bad", "is no library");
  probe_says("bad\\0" SOFTHSM_MODULE "\\0-e\\0\\0\\0");
  assert_refused("bad", "is no library");
  atomic_fetch_add(&later, 31000);
  assert_int_equal(p11s_module_get("bad", &module, NULL), P11S_OK);
  assert_int_equal(list_slots(module), CKR_OK);
  assert_non_null(strstr(logged, "'bad' can be loaded now"));
}

/* p11-kit itself leaves out such a one and all that come after it. */
static void critical_module_that_does_not_load(void **state)
{
  (void)state;
  softhsm_add_config("absent", "module: /nonexistent/libabsent.so\ncritical: yes\n");
  assert_refused("softhsm2", "marked as critical");
  p11s_module_shutdown();
  probe_says("absent\\0/nonexistent/libabsent.so\\0-ecU\\0\\0does not load\\0" GOOD_ONE);
  assert_int_equal(list_slots(softhsm_module()), CKR_OK);
  assert_refused("absent", "does not load: install it");
  assert_string_equal(logged, "");
  softhsm_add_config("absent", "module: /nonexistent/libabsent.so\n");
}

static void modules_for_this_program_only(void **state)
{
  CK_FUNCTION_LIST *module = NULL;

  (void)state;
  softhsm_remove_config("softhsm2");
  probe_says(CRASHING("") GOOD_ONE);
  assert_int_equal(list_slots(softhsm_module()), CKR_OK);
  assert_refused("bad", "it is left out");
  p11s_module_shutdown();
  probe_says("softhsm2\\0" SOFTHSM_MODULE "\\0-u\\0\\0\\0remote\\0\\0-\\0\\0\\0");
  assert_int_equal(list_slots(softhsm_module()), CKR_OK);
  assert_refused("remote", "a process of its own");
  softhsm_add_config("softhsm2", "module: " SOFTHSM_MODULE "\n");
  p11s_module_shutdown();
  assert_int_equal(p11s_module_get("softhsm2", &module, NULL), P11S_OK);
}

/* What is in the process anyway is not left out. */
static void module_that_powerdns_loaded_already(void **state)
{
  CK_FUNCTION_LIST **theirs = p11_kit_modules_load_and_initialize(0);

  (void)state;
  assert_non_null(theirs);
  probe_says("softhsm2\\0" SOFTHSM_MODULE "\\0-eD\\0\\0does not come back\\0");
  assert_int_equal(list_slots(softhsm_module()), CKR_OK);
  assert_string_equal(logged, "");
  p11s_module_shutdown();
  p11_kit_modules_finalize_and_release(theirs);
}

/* -- somebody finalizes the library under us */

static void finalize_behind_our_back(void)
{
  CK_FUNCTION_LIST *library = p11_kit_module_load(SOFTHSM_MODULE, P11_KIT_MODULE_UNMANAGED);

  assert_non_null(library);
  assert_int_equal(library->C_Finalize(NULL), CKR_OK);
  p11_kit_module_release(library);
}

static void *lose_in_thread(void *arg)
{
  (void)pthread_barrier_wait(arg);
  p11s_module_lost("softhsm2");
  return get_in_thread(arg);
}

static void library_that_was_finalized(void **state)
{
  CK_FUNCTION_LIST *module = softhsm_module();
  uint64_t life = p11s_module_life("softhsm2");
  pthread_barrier_t barrier;
  pthread_t threads[THREADS];

  (void)state;
  p11s_module_lost("unknown");
  assert_int_equal(p11s_module_life("unknown"), 0);
  assert_int_not_equal(life, 0);
  finalize_behind_our_back();
  assert_int_equal(list_slots(module), CKR_CRYPTOKI_NOT_INITIALIZED);
  assert_int_equal(list_slots(softhsm_module()), CKR_CRYPTOKI_NOT_INITIALIZED);
  p11s_module_lost("softhsm2");
  assert_ptr_equal(softhsm_module(), module);
  assert_int_equal(list_slots(module), CKR_OK);
  assert_int_not_equal(p11s_module_life("softhsm2"), life);
  life = p11s_module_life("softhsm2");
  /* Said for nothing, and by many. */
  p11s_module_lost("softhsm2");
  assert_int_equal(list_slots(softhsm_module()), CKR_OK);
  assert_int_equal(p11s_module_life("softhsm2"), life);
  finalize_behind_our_back();
  assert_int_equal(pthread_barrier_init(&barrier, NULL, THREADS), 0);
  for (int i = 0; i < THREADS; i++)
    assert_int_equal(pthread_create(&threads[i], NULL, lose_in_thread, &barrier), 0);
  for (int i = 0; i < THREADS; i++) {
    void *got;

    assert_int_equal(pthread_join(threads[i], &got), 0);
    assert_ptr_equal(got, module);
  }
  assert_int_equal(pthread_barrier_destroy(&barrier), 0);
  /* It is still ours to finalize. */
  p11s_module_shutdown();
  assert_int_equal(list_slots(softhsm_module()), CKR_OK);
}

static void library_that_was_finalized_and_does_not_start(void **state)
{
  CK_FUNCTION_LIST *module = softhsm_module();

  (void)state;
  finalize_behind_our_back();
  p11s_module_lost("softhsm2");
  assert_int_equal(setenv("SOFTHSM2_CONF", "/nonexistent/softhsm2.conf", 1), 0);
  assert_refused("softhsm2", "does not initialize");
  assert_int_equal(setenv("SOFTHSM2_CONF", softhsm_conf(), 1), 0);
  assert_ptr_equal(softhsm_module(), module);
  assert_int_equal(list_slots(module), CKR_OK);
}

/* -- we do it ourselves, for what may be new on a card */

static void library_that_is_finalized_here(void **state)
{
  CK_FUNCTION_LIST *module;

  (void)state;
  p11s_module_shutdown();
  atomic_store(&later, 0);
  assert_false(p11s_module_is_old("softhsm2", REREAD_MS));
  module = softhsm_module();
  assert_false(p11s_module_is_old("unknown", REREAD_MS));
  assert_false(p11s_module_is_old("softhsm2", REREAD_MS));
  atomic_store(&later, P11S_MODULE_OLD_MS);
  assert_true(p11s_module_is_old("softhsm2", REREAD_MS));
  assert_true(p11s_module_finalize_library("softhsm2"));
  assert_int_equal(list_slots(module), CKR_CRYPTOKI_NOT_INITIALIZED);
  assert_false(p11s_module_finalize_library("softhsm2"));
  assert_ptr_equal(softhsm_module(), module);
  assert_int_equal(list_slots(module), CKR_OK);
  /* Not again soon. */
  atomic_store(&later, 2 * P11S_MODULE_OLD_MS);
  assert_false(p11s_module_is_old("softhsm2", REREAD_MS));
  atomic_store(&later, P11S_MODULE_OLD_MS + REREAD_MS);
  assert_true(p11s_module_is_old("softhsm2", REREAD_MS));
  atomic_store(&later, 0);
}

static void a_library_that_has_nothing_to_lose_is_started_anew(void **state)
{
  struct p11s_exclusive *gate = p11s_exclusive_get("softhsm2");
  CK_FUNCTION_LIST *module;
  CK_SESSION_HANDLE session;
  CK_SESSION_INFO info;

  (void)state;
  p11s_module_shutdown();
  atomic_store(&later, 0);
  module = softhsm_module();
  session = softhsm_session(softhsm_token("t", USER_PIN), false, USER_PIN);
  p11s_exclusive_enter(gate);
  assert_false(p11s_module_restart("softhsm2", gate, REREAD_MS));
  atomic_store(&later, 3 * REREAD_MS);
  assert_true(p11s_module_restart("softhsm2", gate, REREAD_MS));
  assert_false(p11s_module_restart("softhsm2", gate, REREAD_MS));
  p11s_exclusive_leave(gate);
  assert_int_equal(module->C_GetSessionInfo(session, &info), CKR_SESSION_HANDLE_INVALID);
  atomic_store(&later, 0);
}

static void only_opensc_is_made_to_look_again(void **state)
{
  CK_FUNCTION_LIST *module = softhsm_module();
  struct p11s_exclusive *gate = p11s_exclusive_get("softhsm2");

  (void)state;
  atomic_store(&later, 2 * REREAD_MS);
  assert_true(p11s_module_is_old("softhsm2", REREAD_MS));
  p11s_exclusive_enter(gate);
  assert_false(p11s_module_reread("softhsm2", gate, 0));
  p11s_exclusive_leave(gate);
  assert_int_equal(list_slots(module), CKR_OK);
  atomic_store(&later, 0);
}

static void return_values_have_names(void **state)
{
  (void)state;
  assert_string_equal(p11s_rv_name(CKR_OK), "CKR_OK");
  assert_string_equal(p11s_rv_name(CKR_PIN_INCORRECT), "CKR_PIN_INCORRECT");
  assert_string_equal(p11s_rv_name(CKR_VENDOR_DEFINED | 1), "CKR 0x80000001");
  assert_string_equal(p11s_rv_name(CKR_FUNCTION_REJECTED), "CKR_FUNCTION_REJECTED");
}

static void lost_is_known(void **state)
{
  (void)state;
  assert_true(p11s_rv_is_lost(CKR_DEVICE_REMOVED));
  assert_true(p11s_rv_is_lost(CKR_SESSION_HANDLE_INVALID));
  assert_true(p11s_rv_is_lost(CKR_USER_NOT_LOGGED_IN));
  assert_true(p11s_rv_is_lost(CKR_OPERATION_ACTIVE));
  assert_false(p11s_rv_is_lost(CKR_OK));
  assert_false(p11s_rv_is_lost(CKR_PIN_INCORRECT));
  assert_false(p11s_rv_is_lost(CKR_MECHANISM_INVALID));
  assert_false(p11s_rv_is_lost(CKR_VENDOR_DEFINED));
}

static void assert_padded(const char *expected, const char *from, size_t len, size_t size)
{
  char to[64];

  assert_true(size <= sizeof to);
  memset(to, 'x', sizeof to);
  p11s_padded_copy(to, size, (const CK_UTF8CHAR *)from, len);
  assert_string_equal(to, expected);
}

static void padded_strings(void **state)
{
  (void)state;
  assert_padded("label", "label   ", 8, 33);
  assert_padded("a b", "a b  ", 5, 33);
  assert_padded(" a", " a ", 3, 33);
  assert_padded("", "     ", 5, 33);
  assert_padded("", "", 0, 33);
  assert_padded("no end", "no end", 6, 33);
  assert_padded("nul", "nul\0 rest", 9, 33);
  assert_padded("nul", "nul  \0", 6, 33);
  assert_padded("cut", "cut short", 9, 4);
  assert_padded("a?b?", "a\nb\x1b ", 5, 33);
  assert_padded("\xc3\xa4", "\xc3\xa4  ", 4, 33);
  assert_padded("a?", "a\xc3", 2, 33);
}

#define PROBED(test) cmocka_unit_test_setup_teardown(test, probed_setup, probed_teardown)

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(many_threads_get_one_module),
      cmocka_unit_test(unknown_module_names_the_known),
      cmocka_unit_test(module_that_does_not_load),
      cmocka_unit_test(module_that_does_not_initialize),
      cmocka_unit_test(unmanaged_module),
      cmocka_unit_test(each_lists_what_works),
      cmocka_unit_test(another_user_of_p11_kit),
      cmocka_unit_test(shutdown_and_again),
      cmocka_unit_test(child_starts_anew),
      cmocka_unit_test(fork_while_busy),
      PROBED(crashing_module_is_left_out),
      PROBED(crashing_module_is_tried_again),
      PROBED(critical_module_that_does_not_load),
      PROBED(modules_for_this_program_only),
      PROBED(module_that_powerdns_loaded_already),
      cmocka_unit_test(library_that_was_finalized),
      cmocka_unit_test(library_that_was_finalized_and_does_not_start),
      cmocka_unit_test(library_that_is_finalized_here),
      cmocka_unit_test(a_library_that_has_nothing_to_lose_is_started_anew),
      cmocka_unit_test(only_opensc_is_made_to_look_again),
      cmocka_unit_test(return_values_have_names),
      cmocka_unit_test(lost_is_known),
      cmocka_unit_test(padded_strings),
  };

  return cmocka_run_group_tests_name("module", tests, setup, teardown);
}
