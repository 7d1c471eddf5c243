/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pkcs11signer-probe: the program behind pkcs11/trial.h.
 *
 *   pkcs11signer-probe                              for people: one line a module
 *   pkcs11signer-probe PROGRAM MILLISECONDS [MODULE]
 *   pkcs11signer-probe --copy-store FROM TO                   see probe/copy_store.h
 *
 * Lets p11-kit read its configuration for a program called pkcs11signer, with this program
 * itself in the place of every module's file, so that nothing of others is loaded. Then a child
 * for each module loads and initializes the real one. Writes name, path, flags,
 * x-init-reserved and reason of each to stdout, each with a NUL, and "end"; before them, as soon as
 * it has waited for a while, which modules it waits for (P11S_TRIAL_LATE). PROGRAM is who asks:
 * flag e says that p11-kit's enable-in and disable-in let it have the module.
 */
#include "pkcs11/trial.h"
#include "probe/copy_store.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <p11-kit/p11-kit.h>
#include <p11-kit/pkcs11.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))
#define REASON_MAX 512
/* Who asks for modules as far as p11-kit is concerned. */
#define PROGRAM "pkcs11signer"
#define USUAL_MS 10000

/* A child's last words: how far it came, and what is wrong. */
#define LOADING 'l'
#define INITIALIZING 'i'
#define REFUSED 'r'
#define GOOD 'g'

struct subject {
  char *name;
  char *path;
  char *reserved;
  bool unmanaged;
  bool critical;
  bool enabled;
  pid_t pid; /* 0: not under way */
  int report;
  bool hung;
  int status;
  char verdict; /* flag letter; 0: good */
  char reason[REASON_MAX];
};

/* What to try and for whom. */
struct task {
  const char *program;
  const char *only; /* NULL: all */
  unsigned deadline_ms;
  bool tells; /* which modules are late */
  void (*show)(const struct subject *s);
};

static bool only_names = true;

/* p11-kit's dlopen() comes here. */
EXPORT void *dlopen(const char *file, int mode)
{
  static void *(*real)(const char *, int);

  if (real == NULL)
    *(void **)&real = dlsym(RTLD_NEXT, "dlopen");
  return real(only_names ? NULL : file, mode);
}

/* So does its look for the module's entry. A list of its own for each: p11-kit takes those with the
   same one for the same module. */
EXPORT CK_RV C_GetFunctionList(CK_FUNCTION_LIST_PTR_PTR list)
{
  *list = calloc(1, sizeof **list);
  return *list != NULL ? CKR_OK : CKR_HOST_MEMORY;
}

static uint64_t now_ms(void)
{
  struct timespec t;

  (void)clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void prepare(unsigned deadline_ms, bool for_people)
{
  const struct rlimit none = {0, 0};
  sigset_t child;

  (void)close_range(STDERR_FILENO + 1, ~0U, 0);
  (void)setrlimit(RLIMIT_CORE, &none);
  (void)sigemptyset(&child);
  (void)sigaddset(&child, SIGCHLD);
  (void)sigprocmask(SIG_BLOCK, &child, NULL);
  /* Whatever happens here, this program ends. */
  if (deadline_ms > 0)
    (void)alarm(deadline_ms / 1000 + 5);
  if (!for_people)
    p11_kit_be_quiet();
}

static bool is_option(CK_FUNCTION_LIST *module, const char *option, const char *expected)
{
  char *value = p11_kit_config_option(module, option);
  bool is = value != NULL && strcmp(value, expected) == 0;

  free(value);
  return is;
}

/* As p11-kit decides: enable-in goes first. */
static bool is_enabled(CK_FUNCTION_LIST *module, const char *program)
{
  char *only = p11_kit_config_option(module, "enable-in");
  char *list = only != NULL ? only : p11_kit_config_option(module, "disable-in");
  char *rest = list, *word;
  bool named = false;

  while (!named && (word = strsep(&rest, ", \t")) != NULL)
    named = strcmp(word, program) == 0;
  free(list);
  return only != NULL ? named : !named;
}

static void describe(struct subject *s, CK_FUNCTION_LIST *module, const char *program)
{
  char *all = p11_kit_config_option(NULL, "managed");

  s->name = p11_kit_module_get_name(module);
  s->path = p11_kit_module_get_filename(module);
  s->reserved = p11_kit_config_option(module, "x-init-reserved");
  s->unmanaged = is_option(all != NULL ? NULL : module, "managed", "no");
  s->critical = is_option(module, "critical", "yes");
  s->enabled = is_enabled(module, program);
  free(all);
}

static void report(int to, char what, const char *text)
{
  if (dprintf(to, "%c%.*s", what, REASON_MAX - 2, text) < 0)
    _exit(1);
}

/* As pkcs11/module.c does it. */
static _Noreturn void try_module(const struct subject *s, int to)
{
  CK_C_INITIALIZE_ARGS args;
  CK_FUNCTION_LIST *module;
  const char *said;
  sigset_t none;
  CK_RV rv;

  (void)sigemptyset(&none);
  (void)sigprocmask(SIG_SETMASK, &none, NULL);
  (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
  p11_kit_be_quiet();
  /* Nothing of the module's gets between the results. */
  (void)dup2(STDERR_FILENO, STDOUT_FILENO);
  report(to, LOADING, "");
  module = p11_kit_module_load(s->path, s->unmanaged ? P11_KIT_MODULE_UNMANAGED : 0);
  if (module == NULL) {
    said = p11_kit_message();
    report(to, REFUSED, said != NULL ? said : "p11-kit does not say why");
    _exit(0);
  }
  report(to, INITIALIZING, "");
  memset(&args, 0, sizeof args);
  args.flags = CKF_OS_LOCKING_OK;
  args.pReserved = s->reserved;
  rv = module->C_Initialize(&args);
  report(to, GOOD, "");
  if (rv == CKR_OK)
    (void)module->C_Finalize(NULL);
  _exit(0);
}

/* Without a child the module counts as good: this program could not tell. */
static void start(struct subject *s)
{
  int fds[2];

  if (s->path == NULL || pipe2(fds, O_CLOEXEC | O_NONBLOCK) != 0)
    return;
  s->pid = fork();
  if (s->pid == 0)
    try_module(s, fds[1]);
  (void)close(fds[1]);
  s->report = fds[0];
  if (s->pid < 0) {
    s->pid = 0;
    (void)close(fds[0]);
  }
}

static void judge(struct subject *s, unsigned deadline_ms)
{
  char said[REASON_MAX], stage = LOADING;
  ssize_t n = read(s->report, said, sizeof said - 1);
  const char *doing;

  (void)close(s->report);
  said[n > 0 ? n : 0] = 0;
  for (const char *p = said; *p != 0 && stage != REFUSED && stage != GOOD; p++) {
    stage = *p;
    if (stage == REFUSED)
      (void)snprintf(s->reason, sizeof s->reason, "does not load: %s", p + 1);
  }
  s->verdict = stage == GOOD ? 0 : stage == REFUSED ? 'U' : 'D';
  if (s->verdict != 'D')
    return;
  doing = stage == INITIALIZING ? "initialized" : "loaded";
  if (s->hung)
    (void)snprintf(s->reason, sizeof s->reason, "does not come back from being %s (waited %u ms)",
                   doing, deadline_ms);
  else if (WIFSIGNALED(s->status))
    (void)snprintf(s->reason, sizeof s->reason, "crashed when it was %s (signal %d)", doing,
                   WTERMSIG(s->status));
  else
    (void)snprintf(s->reason, sizeof s->reason, "ended the process when it was %s (exit code %d)",
                   doing, WEXITSTATUS(s->status));
}

static size_t collect(struct subject *subjects, size_t count, unsigned deadline_ms)
{
  size_t left = 0;

  for (size_t i = 0; i < count; i++) {
    struct subject *s = &subjects[i];

    if (s->pid == 0)
      continue;
    if (s->hung)
      (void)kill(s->pid, SIGKILL);
    if (waitpid(s->pid, &s->status, s->hung ? 0 : WNOHANG) == 0) {
      left++;
      continue;
    }
    judge(s, deadline_ms);
    s->pid = 0;
  }
  return left;
}

static void put_late(const struct subject *subjects, size_t count)
{
  const char *between = "";

  (void)putchar(P11S_TRIAL_LATE);
  for (size_t i = 0; i < count; i++)
    if (subjects[i].pid != 0) {
      (void)printf("%s'%s'", between, subjects[i].name);
      between = ", ";
    }
  (void)putchar(0);
  (void)fflush(stdout);
}

static void wait_for_all(struct subject *subjects, size_t count, const struct task *task)
{
  uint64_t begin = now_ms(), deadline = begin + task->deadline_ms;
  uint64_t late = task->tells ? begin + P11S_TRIAL_LATE_MS : deadline;
  sigset_t child;

  (void)sigemptyset(&child);
  (void)sigaddset(&child, SIGCHLD);
  while (collect(subjects, count, task->deadline_ms) > 0) {
    uint64_t now = now_ms(), until = late < deadline ? late : deadline;
    struct timespec rest;

    if (now >= deadline) {
      for (size_t i = 0; i < count; i++)
        subjects[i].hung = true;
      continue;
    }
    if (now >= late) {
      put_late(subjects, count);
      late = deadline;
      continue;
    }
    rest.tv_sec = (time_t)((until - now) / 1000);
    rest.tv_nsec = (long)((until - now) % 1000) * 1000000;
    (void)sigtimedwait(&child, NULL, &rest);
  }
}

static void put(const char *text)
{
  (void)fwrite(text != NULL ? text : "", 1, text != NULL ? strlen(text) + 1 : 1, stdout);
}

static void put_subject(const struct subject *s)
{
  char flags[8];

  (void)snprintf(flags, sizeof flags, "-%s%s%s%s%.1s", s->enabled ? "e" : "",
                 s->unmanaged ? "u" : "", s->critical ? "c" : "", s->reserved != NULL ? "r" : "",
                 &s->verdict);
  put(s->name);
  put(s->path);
  put(flags);
  put(s->reserved);
  put(s->reason);
}

static void print_subject(const struct subject *s)
{
  printf("%s (%s): %s\n", s->name, s->path != NULL ? s->path : "a process of its own",
         s->verdict == 0 ? "good" : s->reason);
}

static void forget(struct subject *s)
{
  free(s->name);
  free(s->path);
  free(s->reserved);
  s->name = s->path = s->reserved = NULL;
}

static bool probe(CK_FUNCTION_LIST **modules, const struct task *task)
{
  struct subject *subjects;
  size_t count = 0, found = 0;

  while (modules[count] != NULL)
    count++;
  subjects = calloc(count + 1, sizeof *subjects);
  if (subjects == NULL)
    return false;
  for (size_t i = 0; i < count; i++) {
    struct subject *s = &subjects[found];

    describe(s, modules[i], task->program);
    if (s->name != NULL && (task->only == NULL || strcmp(s->name, task->only) == 0))
      found++;
    else
      forget(s);
  }
  for (size_t i = 0; i < found; i++)
    start(&subjects[i]);
  wait_for_all(subjects, found, task);
  for (size_t i = 0; i < found; i++)
    task->show(&subjects[i]);
  for (size_t i = 0; i < found; i++)
    forget(&subjects[i]);
  free(subjects);
  return true;
}

int main(int argc, char **argv)
{
  struct task task = {PROGRAM, NULL, USUAL_MS, false, print_subject};
  CK_FUNCTION_LIST **modules;

  if (argc == 4 && strcmp(argv[1], "--copy-store") == 0) {
    prepare(0, false);
    return p11s_probe_copy_store(argv[2], argv[3]);
  }
  if (argc == 2 || argc > 4) {
    (void)fprintf(stderr, "usage: pkcs11signer-probe\n"
                          "  Says of each of p11-kit's modules whether it can be loaded.\n");
    return 2;
  }
  if (argc > 2) {
    task.program = argv[1];
    task.deadline_ms = (unsigned)strtoul(argv[2], NULL, 10);
    task.only = argv[3];
    task.tells = true;
    task.show = put_subject;
  }
  prepare(task.deadline_ms, argc == 1);
  /* Where p11-kit looks for it. */
  program_invocation_name = program_invocation_short_name = (char *)PROGRAM;
  modules = p11_kit_modules_load(NULL, 0);
  only_names = false;
  /* A configuration that cannot be read is the caller's to find out. */
  if (modules != NULL ? !probe(modules, &task) : argc == 1)
    return 1;
  if (argc > 2) {
    put("");
    put("end");
  }
  return fflush(stdout) == 0 ? 0 : 1;
}
