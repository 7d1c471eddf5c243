/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/secret_source.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Stands for the PIN; it may be neither echoed nor in a message. */
#define PIN "Geheim"

/* What a child that asks reports through a pipe. */
struct report {
  enum p11s_err err;
  size_t len;
  char pin[2048];
  char said[1024];
};

/* Runs in a child, reports and ends it. */
static void ask_and_report(int to)
{
  struct report r;
  struct p11s_secret *pin = NULL;
  struct p11s_error e = {0};

  memset(&r, 0, sizeof r);
  r.err = p11s_pin_ask("PIN of x: ", &pin, &e);
  r.len = p11s_secret_len(pin);
  memcpy(r.pin, p11s_secret_data(pin), r.len);
  memcpy(r.said, e.text, sizeof r.said);
  p11s_secret_release(pin);
  _exit(write(to, &r, sizeof r) == (ssize_t)sizeof r ? 0 : 1);
}

/* --- standard input that is no terminal ------------------------------------- */

/* Asks with `input` on a pipe; *ret_rest is what is left there. */
static void ask_pipe(const char *input, size_t len, struct report *ret, char *ret_rest, size_t size)
{
  int in[2];
  int out[2];
  ssize_t rest;
  int status;
  pid_t child;

  assert_int_equal(pipe(in), 0);
  assert_int_equal(pipe(out), 0);
  assert_int_equal(write(in[1], input, len), len);
  close(in[1]);
  child = fork();
  assert_true(child >= 0);
  if (child == 0) {
    (void)dup2(in[0], STDIN_FILENO);
    ask_and_report(out[1]);
  }
  close(out[1]);
  assert_int_equal(read(out[0], ret, sizeof *ret), sizeof *ret);
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_int_equal(status, 0);
  rest = read(in[0], ret_rest, size - 1);
  assert_true(rest >= 0);
  ret_rest[rest] = '\0';
  close(in[0]);
  close(out[0]);
  assert_null(strstr(ret->said, PIN));
}

static void assert_pipe_gives(const char *input, const char *expected, const char *left)
{
  struct report r;
  char rest[4096];

  ask_pipe(input, strlen(input), &r, rest, sizeof rest);
  assert_int_equal(r.err, P11S_OK);
  assert_string_equal(r.pin, expected);
  assert_string_equal(rest, left);
}

static void assert_pipe_refused(const char *input, size_t len, const char *said)
{
  struct report r;
  char rest[4096];

  ask_pipe(input, len, &r, rest, sizeof rest);
  assert_int_equal(r.err, P11S_ERR_NO_PIN);
  assert_int_equal(r.len, 0);
  assert_non_null(strstr(r.said, said));
}

static void test_pipe(void **state)
{
  (void)state;
  assert_pipe_gives(PIN "\n", PIN, "");
  assert_pipe_gives(PIN "\r\n", PIN, "");
  assert_pipe_gives(PIN, PIN, "");
  assert_pipe_gives(" 1 2 \nnext line\n", " 1 2 ", "next line\n");
}

static void test_pipe_refused(void **state)
{
  (void)state;
  assert_pipe_refused("", 0, "standard input is no terminal");
  assert_pipe_refused("\n", 1, "standard input is no terminal");
  assert_pipe_refused("\r\n", 2, "empty");
  assert_pipe_refused(PIN "\0x\n", strlen(PIN) + 3, "NUL");
}

static void test_pipe_size(void **state)
{
  char text[2000];
  char expected[1025];

  (void)state;
  memset(text, '5', sizeof text);
  memset(expected, '5', 1024);
  expected[1024] = '\0';
  text[1024] = '\n';
  text[1025] = '\0';
  assert_pipe_gives(text, expected, "");
  text[1024] = '5';
  assert_pipe_refused(text, 1025, "longer than 1024");
  assert_pipe_refused(text, 1026, "longer than 1024");
}

/* --- a terminal --------------------------------------------------------------- */

struct terminal {
  int master;
  int slave;
  int reports;
  pid_t child;
  char seen[8192]; /* what the terminal showed */
  size_t seen_len;
};

static bool echoes(const struct terminal *t)
{
  struct termios now;

  assert_int_equal(tcgetattr(t->slave, &now), 0);
  return (now.c_lflag & ECHO) != 0;
}

/* Starts a child on a terminal of its own that asks. */
static int terminal_setup(void **state)
{
  static struct terminal the_terminal;
  struct terminal *t = &the_terminal;
  int out[2];

  memset(t, 0, sizeof *t);
  if (pipe(out) != 0)
    return -1;
  t->master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (t->master < 0 || grantpt(t->master) != 0 || unlockpt(t->master) != 0)
    return -1;
  t->slave = open(ptsname(t->master), O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (t->slave < 0)
    return -1;
  t->child = fork();
  if (t->child == 0) {
    (void)alarm(30);
    (void)setsid();
    (void)ioctl(t->slave, TIOCSCTTY, 0);
    (void)dup2(t->slave, STDIN_FILENO);
    ask_and_report(out[1]);
  }
  close(out[1]);
  t->reports = out[0];
  (void)alarm(30);
  *state = t;
  return t->child > 0 ? 0 : -1;
}

static int terminal_teardown(void **state)
{
  struct terminal *t = *state;

  (void)alarm(0);
  close(t->master);
  close(t->slave);
  close(t->reports);
  return 0;
}

/* Collects what the terminal shows for as long as there is some. */
static void look(struct terminal *t, int timeout_ms)
{
  struct pollfd fd = {.fd = t->master, .events = POLLIN};

  while (poll(&fd, 1, timeout_ms) == 1) {
    ssize_t n = read(t->master, t->seen + t->seen_len, sizeof t->seen - 1 - t->seen_len);
    if (n <= 0)
      break;
    t->seen_len += (size_t)n;
    timeout_ms = 0;
  }
}

static void wait_for_prompt(struct terminal *t)
{
  while (strstr(t->seen, "PIN of x: ") == NULL)
    look(t, -1);
}

static void type(const struct terminal *t, const char *text)
{
  assert_int_equal(write(t->master, text, strlen(text)), strlen(text));
}

/* Waits for the child; its exit status. */
static int finish(struct terminal *t)
{
  int status = 0;

  assert_int_equal(waitpid(t->child, &status, 0), t->child);
  look(t, 0);
  return status;
}

static void test_terminal(void **state)
{
  struct terminal *t = *state;
  struct report r;

  wait_for_prompt(t);
  assert_false(echoes(t));
  type(t, PIN "\n");
  assert_int_equal(finish(t), 0);
  assert_int_equal(read(t->reports, &r, sizeof r), sizeof r);
  assert_int_equal(r.err, P11S_OK);
  assert_string_equal(r.pin, PIN);
  assert_true(echoes(t));
  assert_null(strstr(t->seen, PIN));
}

static void test_terminal_empty(void **state)
{
  struct terminal *t = *state;
  struct report r;

  wait_for_prompt(t);
  type(t, "\n");
  assert_int_equal(finish(t), 0);
  assert_int_equal(read(t->reports, &r, sizeof r), sizeof r);
  assert_int_equal(r.err, P11S_ERR_NO_PIN);
  assert_true(echoes(t));
}

static void test_terminal_end_of_file(void **state)
{
  struct terminal *t = *state;
  struct report r;

  wait_for_prompt(t);
  type(t, "\x04");
  assert_int_equal(finish(t), 0);
  assert_int_equal(read(t->reports, &r, sizeof r), sizeof r);
  assert_int_equal(r.err, P11S_ERR_NO_PIN);
  assert_true(echoes(t));
}

static void test_terminal_too_long(void **state)
{
  struct terminal *t = *state;
  struct report r;
  char text[1500];
  int waiting = -1;

  memset(text, '5', sizeof text);
  memcpy(text + sizeof text - 2, "\n", 2);
  wait_for_prompt(t);
  type(t, text);
  assert_int_equal(finish(t), 0);
  assert_int_equal(read(t->reports, &r, sizeof r), sizeof r);
  assert_int_equal(r.err, P11S_ERR_NO_PIN);
  assert_non_null(strstr(r.said, "longer than 1024"));
  assert_true(echoes(t));
  /* the rest of the line does not reach the shell */
  assert_int_equal(ioctl(t->slave, TIOCINQ, &waiting), 0);
  assert_int_equal(waiting, 0);
  assert_null(strstr(t->seen, "5555"));
}

/* Ctrl-C ends the program as ever, but with the echo on again. */
static void test_terminal_interrupt(void **state)
{
  struct terminal *t = *state;
  int status;

  wait_for_prompt(t);
  type(t, "123\x03");
  status = finish(t);
  assert_true(WIFSIGNALED(status));
  assert_int_equal(WTERMSIG(status), SIGINT);
  assert_true(echoes(t));
  assert_null(strstr(t->seen, "123"));
}

static void test_terminal_killed(void **state)
{
  struct terminal *t = *state;
  int status;

  wait_for_prompt(t);
  assert_int_equal(kill(t->child, SIGTERM), 0);
  status = finish(t);
  assert_true(WIFSIGNALED(status));
  assert_int_equal(WTERMSIG(status), SIGTERM);
  assert_true(echoes(t));
}

#define ON_TERMINAL(test) cmocka_unit_test_setup_teardown(test, terminal_setup, terminal_teardown)

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_pipe),         cmocka_unit_test(test_pipe_refused),
      cmocka_unit_test(test_pipe_size),    ON_TERMINAL(test_terminal),
      ON_TERMINAL(test_terminal_empty),    ON_TERMINAL(test_terminal_end_of_file),
      ON_TERMINAL(test_terminal_too_long), ON_TERMINAL(test_terminal_interrupt),
      ON_TERMINAL(test_terminal_killed),
  };

  return cmocka_run_group_tests(tests, NULL, NULL);
}
