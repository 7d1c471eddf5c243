/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is made of the program's output, and how it is run. What the real program finds out is
   tested end to end. */
#include "pkcs11/trial.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char script[] = "/tmp/p11s-probe-XXXXXX";

static int setup(void **state)
{
  int fd = mkstemp(script);

  (void)state;
  assert_true(fd >= 0);
  assert_int_equal(close(fd), 0);
  return setenv("PKCS11SIGNER_PROBE", script, 1);
}

static int teardown(void **state)
{
  (void)state;
  return unlink(script);
}

/* The program is this shell script from now on. */
static void program_is(const char *text)
{
  FILE *file = fopen(script, "w");

  assert_non_null(file);
  assert_true(fprintf(file, "#!/bin/sh\n%s\n", text) > 0);
  assert_int_equal(fclose(file), 0);
  assert_int_equal(chmod(script, 0700), 0);
}

static void assert_nothing_known(const char *text)
{
  struct p11s_trial probe = {NULL, 0};

  if (text != NULL)
    program_is(text);
  assert_false(p11s_trial_run(NULL, 100, &probe));
  assert_null(probe.modules);
}

static void every_field(void **state)
{
  const struct p11s_trial_module *m;
  struct p11s_trial probe;

  (void)state;
  program_is("printf 'one\\0/a.so\\0-e\\0\\0\\0two\\0\\0-ucrD\\0with=this\\0crashed\\0three\\0/c.so"
             "\\0-rU\\0\\0is no library\\0\\0end\\0'");
  assert_true(p11s_trial_run(NULL, 60000, &probe));
  assert_int_equal(probe.count, 3);
  m = p11s_trial_find(&probe, "one");
  assert_string_equal(m->path, "/a.so");
  assert_true(m->enabled && !m->unmanaged && !m->critical);
  assert_null(m->reserved);
  assert_int_equal(m->verdict, P11S_TRIAL_GOOD);
  m = p11s_trial_find(&probe, "two");
  assert_string_equal(m->path, "");
  assert_true(!m->enabled && m->unmanaged && m->critical);
  assert_string_equal(m->reserved, "with=this");
  assert_string_equal(m->reason, "crashed");
  assert_int_equal(m->verdict, P11S_TRIAL_DANGEROUS);
  m = p11s_trial_find(&probe, "three");
  assert_string_equal(m->reserved, "");
  assert_int_equal(m->verdict, P11S_TRIAL_UNLOADABLE);
  assert_null(p11s_trial_find(&probe, "four"));
  p11s_trial_clear(&probe);
  assert_int_equal(probe.count, 0);
}

static void *run_in_thread(void *ret_good)
{
  struct p11s_trial probe = {NULL, 0};

  *(bool *)ret_good = p11s_trial_run(NULL, 60000, &probe) && probe.count == 1;
  p11s_trial_clear(&probe);
  return NULL;
}

static void late_modules_are_named_as_long_as_they_are_waited_for(void **state)
{
  char names[64], fifo[sizeof script + 3];
  bool good = false;
  pthread_t thread;
  FILE *go;

  (void)state;
  (void)snprintf(fifo, sizeof fifo, "%s.go", script);
  assert_int_equal(mkfifo(fifo, 0600), 0);
  program_is("printf '\\001%s\\0' \"'one', 'two'\"; cat \"$0.go\" >/dev/null\n"
             "printf 'one\\0/a.so\\0-e\\0\\0\\0\\0end\\0'");
  assert_false(p11s_trial_waits_for(names, sizeof names));
  assert_int_equal(pthread_create(&thread, NULL, run_in_thread, &good), 0);
  while (!p11s_trial_waits_for(names, sizeof names))
    (void)usleep(1000);
  assert_string_equal(names, "'one', 'two'");
  go = fopen(fifo, "w");
  assert_non_null(go);
  assert_int_equal(fclose(go), 0);
  assert_int_equal(pthread_join(thread, NULL), 0);
  assert_true(good);
  assert_false(p11s_trial_waits_for(names, sizeof names));
  assert_int_equal(unlink(fifo), 0);
}

static void no_modules_at_all(void **state)
{
  struct p11s_trial probe;

  (void)state;
  program_is("printf '\\0end\\0'");
  assert_true(p11s_trial_run(NULL, 60000, &probe));
  assert_int_equal(probe.count, 0);
  p11s_trial_clear(&probe);
}

static void output_that_is_not_complete(void **state)
{
  (void)state;
  assert_nothing_known("exit 0");
  assert_nothing_known("exit 1");
  assert_nothing_known("kill -SEGV $$");
  assert_nothing_known("printf 'one\\0/a.so\\0-e\\0\\0\\0'");
  assert_nothing_known("printf 'one\\0/a.so\\0-e\\0\\0\\0\\0end'");
  assert_nothing_known("printf 'one\\0/a.so\\0-e\\0\\0end\\0'");
  assert_nothing_known("printf 'a field too few\\0/a.so\\0-e\\0\\0end\\0\\0end\\0x'");
  assert_nothing_known("printf 'one\\0/a.so\\0-e\\0\\0\\0more\\0\\0end\\0'");
}

static void program_that_cannot_be_run(void **state)
{
  (void)state;
  program_is("printf '\\0end\\0'");
  assert_int_equal(chmod(script, 0), 0);
  assert_nothing_known(NULL);
  assert_int_equal(setenv("PKCS11SIGNER_PROBE", "/nonexistent/probe", 1), 0);
  assert_nothing_known(NULL);
  assert_int_equal(setenv("PKCS11SIGNER_PROBE", script, 1), 0);
}

/* Two seconds and what was asked for; all that it started is ended with it. */
static void program_that_does_not_end(void **state)
{
  struct pollfd fd = {-1, POLLIN, 0};
  char path[64], line[32];
  FILE *file;

  (void)state;
  (void)snprintf(path, sizeof path, "%s.pid", script);
  program_is("sleep 60 & echo $! > $0.pid; wait");
  (void)alarm(20);
  assert_nothing_known(NULL);
  (void)alarm(0);
  file = fopen(path, "r");
  assert_non_null(file);
  assert_non_null(fgets(line, sizeof line, file));
  assert_int_equal(fclose(file), 0);
  assert_int_equal(unlink(path), 0);
  fd.fd = pidfd_open((pid_t)strtol(line, NULL, 10), 0);
  if (fd.fd == -1) {
    assert_int_equal(errno, ESRCH);
    return;
  }
  assert_int_equal(poll(&fd, 1, 10000), 1);
  assert_int_equal(close(fd.fd), 0);
}

/* What it said counts. */
static void program_that_closes_its_output_and_does_not_end(void **state)
{
  struct p11s_trial probe;

  (void)state;
  program_is("printf '\\0end\\0'; exec sleep 60 >&-");
  (void)alarm(20);
  assert_true(p11s_trial_run(NULL, 100, &probe));
  (void)alarm(0);
  assert_int_equal(probe.count, 0);
  p11s_trial_clear(&probe);
  assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
  assert_int_equal(errno, ECHILD);
}

/* Its parent may block and ignore signals, which a program inherits. */
static void arguments_and_signals(void **state)
{
  struct p11s_trial probe;
  sigset_t all, before;

  (void)state;
  /* 32 and 33 are the C library's own. By the shell itself, which blocks signals while it starts a
     program. */
  program_is("while read -r name value; do case $name in SigBlk:) blk=$value;; "
             "SigIgn:) ign=${value#?????????};; esac; done </proc/$$/status\n"
             "printf '%s\\0%s\\0-\\0\\0\\0\\0end\\0' \"$2/$3\" $blk$ign");
  assert_true(signal(SIGPIPE, SIG_IGN) != SIG_ERR && signal(SIGCHLD, SIG_IGN) != SIG_ERR);
  (void)sigfillset(&all);
  assert_int_equal(pthread_sigmask(SIG_SETMASK, &all, &before), 0);
  assert_true(p11s_trial_run("that one", 1234, &probe));
  assert_int_equal(pthread_sigmask(SIG_SETMASK, &before, NULL), 0);
  assert_true(signal(SIGPIPE, SIG_DFL) != SIG_ERR && signal(SIGCHLD, SIG_DFL) != SIG_ERR);
  assert_int_equal(probe.count, 1);
  assert_string_equal(probe.modules[0].name, "1234/that one");
  assert_int_equal(strspn(probe.modules[0].path, "0"), 23);
  p11s_trial_clear(&probe);
  /* Nothing is left to wait for. */
  assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
  assert_int_equal(errno, ECHILD);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_field),
      cmocka_unit_test(late_modules_are_named_as_long_as_they_are_waited_for),
      cmocka_unit_test(no_modules_at_all),
      cmocka_unit_test(output_that_is_not_complete),
      cmocka_unit_test(program_that_cannot_be_run),
      cmocka_unit_test(program_that_does_not_end),
      cmocka_unit_test(program_that_closes_its_output_and_does_not_end),
      cmocka_unit_test(arguments_and_signals),
  };

  return cmocka_run_group_tests_name("modprobe", tests, setup, teardown);
}
