/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "command/progress.h"

#include "base/lock.h"
#include "base/text.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define DRAW_EVERY_MS 250
#define COLUMNS_LEAST 40
#define COLUMNS_MOST 160
#define BAR_MOST 40
#define BAR_LEAST 8
/* No estimate from the first moments. */
#define ESTIMATE_FROM_MS 1000

static const int caught[] = {SIGINT, SIGTERM, SIGHUP};
static volatile sig_atomic_t interrupted;

static void note(int number)
{
  interrupted = number;
}

bool p11s_progress_interrupted(void)
{
  return interrupted != 0;
}

static unsigned terminal_columns(void)
{
  struct winsize size;

  if (isatty(STDERR_FILENO) != 1)
    return 0;
  if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col < COLUMNS_LEAST)
    return 80;
  return size.ws_col < COLUMNS_MOST ? size.ws_col : COLUMNS_MOST;
}

void p11s_progress_begin(struct p11s_progress *p, const char *what, uint64_t total)
{
  struct sigaction action = {.sa_handler = note};

  *p = (struct p11s_progress){.what = what, .total = total, .begun_ms = p11s_now_ms()};
  p->columns = terminal_columns();
  interrupted = 0;
  sigemptyset(&action.sa_mask);
  for (size_t i = 0; i < sizeof caught / sizeof caught[0]; i++)
    (void)sigaction(caught[i], &action, &p->before[i]);
}

void p11s_progress_show(struct p11s_progress *p, uint64_t done)
{
  uint64_t now = p11s_now_ms();
  char text[COLUMNS_MOST + 80];

  if (p->columns == 0 || (p->drawn && now - p->drawn_ms < DRAW_EVERY_MS))
    return;
  p->drawn = true;
  p->drawn_ms = now;
  p11s_progress_format(p, done, now - p->begun_ms, text, sizeof text);
  (void)fprintf(stderr, "\r\033[K%s", text);
  (void)fflush(stderr);
}

void p11s_progress_hide(struct p11s_progress *p)
{
  if (!p->drawn)
    return;
  (void)fputs("\r\033[K", stderr);
  (void)fflush(stderr);
  p->drawn = false;
}

void p11s_progress_end(struct p11s_progress *p)
{
  p11s_progress_hide(p);
  for (size_t i = 0; i < sizeof caught / sizeof caught[0]; i++)
    (void)sigaction(caught[i], &p->before[i], NULL);
}

static void estimate(const struct p11s_progress *p, uint64_t done, uint64_t elapsed_ms, char *text,
                     size_t size)
{
  double rate = (double)done * 1000 / (double)(elapsed_ms > 0 ? elapsed_ms : 1);
  char left[32];

  text[0] = '\0';
  if (elapsed_ms < ESTIMATE_FROM_MS || done == 0)
    return;
  p11s_duration(left, sizeof left,
                (uint64_t)((double)(p->total > done ? p->total - done : 0) / rate + 0.5));
  (void)snprintf(text, size, ", %.*f/s, %s left", rate < 10 ? 1 : 0, rate, left);
}

void p11s_progress_format(const struct p11s_progress *p, uint64_t done, uint64_t elapsed_ms,
                          char *text, size_t size)
{
  char words[96], bar[BAR_MOST + 1] = "", more[64];
  size_t taken, width, full;
  int len;

  estimate(p, done, elapsed_ms, more, sizeof more);
  len = snprintf(words, sizeof words, "%" PRIu64 " of %" PRIu64 "%s", done, p->total, more);
  taken = strlen(p->what) + (size_t)len + 6; /* ": [] ", and the last column stays free */
  width = p->columns > taken ? p->columns - taken : 0;
  if (width > BAR_MOST)
    width = BAR_MOST;
  if (width < BAR_LEAST) {
    (void)snprintf(text, size, "%s: %s", p->what, words);
    return;
  }
  full = done < p->total ? (size_t)((double)width * (double)done / (double)p->total) : width;
  memset(bar, '#', full);
  memset(bar + full, '.', width - full);
  bar[width] = '\0';
  (void)snprintf(text, size, "%s: [%s] %s", p->what, bar, words);
}
