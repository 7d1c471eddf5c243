/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/secret_source.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

#define MAX_PIN ((size_t)1024)
#define SOON_MS 1000

/* A terminal with its echo off, and the signals that would leave it so held back. */
struct quiet_tty {
  int fd;
  int signals; /* signalfd: readable when one of them is waiting */
  struct termios before;
  sigset_t mask_before;
};

static bool tty_open(struct quiet_tty *t)
{
  struct termios quiet;
  sigset_t mask;

  t->fd = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
  if (t->fd < 0)
    return false;
  (void)sigemptyset(&mask);
  (void)sigaddset(&mask, SIGINT);
  (void)sigaddset(&mask, SIGQUIT);
  (void)sigaddset(&mask, SIGTERM);
  (void)sigaddset(&mask, SIGHUP);
  (void)sigaddset(&mask, SIGTSTP);
  t->signals = signalfd(-1, &mask, SFD_CLOEXEC);
  if (t->signals < 0)
    goto close_fd;
  (void)pthread_sigmask(SIG_BLOCK, &mask, &t->mask_before);
  if (tcgetattr(t->fd, &t->before) != 0)
    goto unmask;
  quiet = t->before;
  quiet.c_lflag &= ~(tcflag_t)(ECHO | ECHONL);
  quiet.c_lflag |= ICANON | ISIG;
  if (tcsetattr(t->fd, TCSAFLUSH, &quiet) == 0)
    return true;
  (void)tcsetattr(t->fd, TCSANOW, &t->before);
unmask:
  (void)pthread_sigmask(SIG_SETMASK, &t->mask_before, NULL);
  (void)close(t->signals);
close_fd:
  (void)close(t->fd);
  return false;
}

/* Echo comes back before a signal that waits is let through. */
static void tty_close(struct quiet_tty *t)
{
  (void)tcsetattr(t->fd, TCSAFLUSH, &t->before);
  (void)close(t->signals);
  (void)close(t->fd);
  (void)pthread_sigmask(SIG_SETMASK, &t->mask_before, NULL);
}

/* Waits for input; false when a signal came first. */
static bool tty_wait(const struct quiet_tty *t)
{
  struct pollfd fds[2] = {
      {.fd = t->signals, .events = POLLIN},
      {.fd = t->fd, .events = POLLIN},
  };

  while (poll(fds, 2, -1) < 0)
    if (errno != EINTR)
      return false;
  return fds[0].revents == 0;
}

/*
 * Reads one line byte by byte, so that what follows on a pipe stays there. Returns its length
 * without the newline; size when it is longer than the buffer; -1 on failure.
 */
static ssize_t read_line(int fd, const struct quiet_tty *t, char *to, size_t size)
{
  size_t len = 0;

  while (len < size) {
    ssize_t n;
    if (t != NULL && !tty_wait(t))
      return -1;
    n = read(fd, to + len, 1);
    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0)
      return -1;
    if (n == 0 || to[len] == '\n')
      break;
    len++;
  }
  return (ssize_t)len;
}

static enum p11s_err make_pin(const char *text, ssize_t len, struct p11s_secret **ret_pin,
                              struct p11s_error *e)
{
  struct p11s_secret *pin;

  if (len < 0)
    return p11s_error_set(e, P11S_ERR_NO_PIN, "no PIN could be read");
  if ((size_t)len > MAX_PIN)
    return p11s_error_set(e, P11S_ERR_NO_PIN, "the PIN is longer than %zu bytes", MAX_PIN);
  len -= len > 0 && text[len - 1] == '\r';
  if (len == 0)
    return p11s_error_set(e, P11S_ERR_NO_PIN, "the PIN is empty");
  if (memchr(text, '\0', (size_t)len) != NULL)
    return p11s_error_set(e, P11S_ERR_NO_PIN, "the PIN has a NUL byte in it");
  pin = p11s_secret_new(text, (size_t)len);
  if (pin == NULL)
    return p11s_error_no_memory(e);
  *ret_pin = pin;
  return P11S_OK;
}

static void put(int fd, const char *text)
{
  size_t len = strlen(text);

  while (len > 0) {
    ssize_t n = write(fd, text, len);
    if (n < 0 && errno == EINTR)
      continue;
    /* a prompt that cannot be shown is no reason to give up */
    if (n <= 0)
      return;
    text += n;
    len -= (size_t)n;
  }
}

/* Who waits for a prompt has to know that there is none. */
static void say_where_it_comes_from(const char *prompt)
{
  struct pollfd fd = {.fd = STDIN_FILENO, .events = POLLIN};

  if (poll(&fd, 1, SOON_MS) != 0)
    return;
  put(STDERR_FILENO, prompt);
  put(STDERR_FILENO, "is read from standard input, which is no terminal\n");
}

enum p11s_err p11s_pin_ask(const char *prompt, struct p11s_secret **ret_pin, struct p11s_error *e)
{
  char text[MAX_PIN + 1];
  struct quiet_tty tty;
  enum p11s_err err;
  ssize_t len;

  if (isatty(STDIN_FILENO) != 1) {
    say_where_it_comes_from(prompt);
    len = read_line(STDIN_FILENO, NULL, text, sizeof text);
    if (len <= 0)
      return p11s_error_set(e, P11S_ERR_NO_PIN,
                            "cannot ask for the PIN: standard input is no terminal, and no PIN "
                            "came from it. Run the command in a terminal, or give a PIN source "
                            "such as file:/PATH");
  } else {
    if (!tty_open(&tty))
      return p11s_error_set(e, P11S_ERR_NO_PIN, "cannot ask for the PIN: no usable terminal (%m)");
    put(tty.fd, prompt);
    len = read_line(tty.fd, &tty, text, sizeof text);
    put(tty.fd, "\n");
    tty_close(&tty);
  }
  err = make_pin(text, len, ret_pin, e);
  p11s_wipe(text, sizeof text);
  return err;
}
