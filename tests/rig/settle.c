/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Before main() of every test: what its caller ignores, has closed or prefers does not count. */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* The linker is told to look for it: tests/Makefile.am. */
void p11s_test_settle(void);

__attribute__((constructor)) void p11s_test_settle(void)
{
  sigset_t none;
  int fd;

  for (int s = 1; s < NSIG; s++) {
    struct sigaction now;

    if (sigaction(s, NULL, &now) == 0 && now.sa_handler == SIG_IGN)
      (void)signal(s, SIG_DFL);
  }
  (void)sigemptyset(&none);
  (void)sigprocmask(SIG_SETMASK, &none, NULL);
  do
    fd = open("/dev/null", O_RDWR);
  while (fd >= 0 && fd <= STDERR_FILENO);
  if (fd >= 0)
    (void)close(fd);
  (void)umask(S_IWGRP | S_IWOTH);
  if (setenv("LC_ALL", "C.UTF-8", 1) != 0 || setenv("TZ", "UTC", 1) != 0)
    abort();
  tzset();
}
