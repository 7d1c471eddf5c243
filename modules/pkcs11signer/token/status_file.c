/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "token/status_file.h"

#include "base/crypto.h"
#include "base/lock.h"
#include "base/log.h"
#include "base/paste.h"
#include "token/status_internal.h"
#include "base/counters.h"
#include "base/service.h"
#include "token/token.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <p11-kit/pkcs11.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#define LOOK_EVERY_MS 1000
#define RATES_EVERY_MS 10000

struct p11s_status {
  struct p11s_tokens *tokens; /* borrowed, as are the next two */
  const char *state_dir;
  const char *host_settings;
  char *path;
  char *temporary;
  struct p11s_service thread;

  /* the thread's own */
  char *states; /* as they were written last, and */
  char *all;
  uint64_t written_ms;
  int fd; /* of the file, locked for as long as it counts; -1: none */
  bool complained;
};

/* -- writing */

static const char *pin_state(unsigned long flags)
{
  if ((flags & CKF_USER_PIN_LOCKED) != 0)
    return "locked";
  if ((flags & CKF_USER_PIN_FINAL_TRY) != 0)
    return "last";
  if ((flags & CKF_PROTECTED_AUTHENTICATION_PATH) != 0)
    return "keypad";
  return (flags & CKF_USER_PIN_COUNT_LOW) != 0 ? "low" : "ok";
}

/* Names and messages hold no control characters but what a row of the table may have held. */
static void add_field(struct p11s_buf *out, const char *text)
{
  for (; *text != '\0'; text++)
    p11s_buf_addf(out, "%c", *text == '\t' || *text == '\n' ? ' ' : *text);
  p11s_buf_addstr(out, "\t");
}

static int64_t wall_ms(void)
{
  struct timespec now;

  (void)clock_gettime(CLOCK_REALTIME, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* When something happened on p11s_now_ms()'s clock, in seconds since 1970; 0: never. */
static int64_t wall_of(uint64_t ms)
{
  return ms == 0 ? 0 : (wall_ms() - (int64_t)(p11s_now_ms() - ms)) / 1000;
}

/* states: the same without what changes with each signature. */
struct text {
  struct p11s_buf all;
  struct p11s_buf states;
};

static void add_states(const struct p11s_token *token, const struct p11s_token_stats *stats,
                       struct p11s_buf *out)
{
  add_field(out, p11s_token_engine(token));
  add_field(out, p11s_token_slot(token));
  p11s_buf_addf(out, "%s\t%" PRId64 "\t%" PRIu64 "\t%" PRIu64 "\t%s\t",
                p11s_token_state_name(stats->state), wall_of(stats->since_ms), stats->reconnects,
                p11s_counter_get(P11S_STAT_LOGINS_REFUSED), pin_state(stats->found.flags));
  add_field(out, stats->trouble);
}

/* What the token says of itself. */
static void add_found(const struct p11s_slot_info *found, struct p11s_buf *out)
{
  p11s_buf_addf(out, "%lu\t", found->id);
  add_field(out, found->serial);
  add_field(out, found->label);
  add_field(out, found->manufacturer);
  add_field(out, found->model);
}

static void add_token(const struct p11s_token *token, const struct p11s_token_stats *stats,
                      void *arg)
{
  struct text *text = arg;

  if (stats->retired)
    return;
  add_states(token, stats, &text->states);
  add_states(token, stats, &text->all);
  p11s_speed_format(&stats->rate, &text->all);
  p11s_buf_addf(&text->all, "\t%u\t%" PRId64 "\t", stats->room, wall_of(stats->seen_ms));
  add_found(&stats->found, &text->all);
  p11s_buf_addstr(&text->all, "\n");
}

/* What stands under the name is locked from its first moment there. */
static bool put(struct p11s_status *r, const char *text, size_t len)
{
  int fd = open(r->temporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
  bool good = fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0 &&
              write(fd, text, len) == (ssize_t)len && rename(r->temporary, r->path) == 0;
  int before = good ? r->fd : fd, error = errno;

  if (good)
    r->fd = fd;
  else if (fd >= 0)
    (void)unlink(r->temporary);
  if (before >= 0)
    (void)close(before);
  errno = error;
  return good;
}

static void write_file(struct p11s_status *r, struct text *text)
{
  struct p11s_buf command = P11S_BUF_INIT;
  int why;

  free(r->states);
  free(r->all);
  r->states = strdup(p11s_buf_text(&text->states));
  r->all = strdup(p11s_buf_text(&text->all));
  r->written_ms = p11s_now_ms();
  /* Who tidies up may have taken the first one for a leftover before it was locked. */
  if (put(r, p11s_buf_text(&text->all), text->all.len) ||
      put(r, p11s_buf_text(&text->all), text->all.len) || r->complained)
    return;
  why = errno;
  r->complained = true;
  p11s_paste(&command, "pkcs11signer", "status", NULL);
  p11s_log_event(P11S_LOG_WARNING,
                 "%s cannot be written (%s): `%s` will not show this server; everything else goes "
                 "on",
                 r->path, strerror(why), p11s_buf_text(&command));
  p11s_buf_clear(&command);
}

static void write_if_new(struct p11s_status *r)
{
  struct text text = {P11S_BUF_INIT, P11S_BUF_INIT};
  bool due = p11s_now_ms() - r->written_ms >= RATES_EVERY_MS;

  p11s_buf_addf(&text.all, P11S_STATUS_HEAD "\t%ld\n\t%s\n", (long)getpid(), r->host_settings);
  p11s_tokens_each(r->tokens, add_token, &text);
  if (!text.all.failed && !text.states.failed &&
      (r->states == NULL || strcmp(p11s_buf_text(&text.states), r->states) != 0 ||
       (due && (r->all == NULL || strcmp(p11s_buf_text(&text.all), r->all) != 0))))
    write_file(r, &text);
  p11s_buf_clear(&text.all);
  p11s_buf_clear(&text.states);
}

static void run(void *arg)
{
  struct p11s_status *r = arg;
  unsigned servers;

  /* For what it removes. */
  (void)p11s_status_read(r->state_dir, NULL, NULL, &servers, NULL);
  do {
    write_if_new(r);
    p11s_lock(&r->thread.lock);
    if (!atomic_load(&r->thread.stop))
      (void)p11s_cond_wait_until(&r->thread.changed, &r->thread.lock,
                                 p11s_now_ms() + LOOK_EVERY_MS);
    p11s_unlock(&r->thread.lock);
  } while (!atomic_load(&r->thread.stop));
  if (r->fd >= 0) {
    (void)unlink(r->path);
    (void)close(r->fd);
  }
}

static void report_free(struct p11s_status *r)
{
  p11s_service_destroy(&r->thread);
  free(r->path);
  free(r->temporary);
  free(r->states);
  free(r->all);
  free(r);
}

static char *name_file(const char *directory, const char *dot, uint32_t random)
{
  char *path;

  return asprintf(&path, "%s/%s" P11S_STATUS_PREFIX "%ld.%08" PRIx32, directory, dot,
                  (long)getpid(), random) < 0
             ? NULL
             : path;
}

struct p11s_status *p11s_status_start(struct p11s_tokens *tokens, const char *directory,
                                      const char *host_settings)
{
  struct p11s_status *r;
  uint32_t random;

  if (directory == NULL || directory[0] == '\0' || (r = calloc(1, sizeof *r)) == NULL)
    return NULL;
  r->tokens = tokens;
  r->state_dir = directory;
  r->host_settings = host_settings;
  r->fd = -1;
  p11s_service_init(&r->thread);
  /* Two processes may have the same number, each in a namespace of its own. */
  if (p11s_random(&random, sizeof random) && (r->path = name_file(directory, "", random)) != NULL &&
      (r->temporary = name_file(directory, ".", random)) != NULL &&
      p11s_service_start(&r->thread, "p11s/report", run, r))
    return r;
  report_free(r);
  return NULL;
}

void p11s_status_stop(struct p11s_status *r, uint64_t deadline_ms)
{
  /* What waits for a disk is left behind. */
  if (r != NULL && p11s_service_stop(&r->thread, deadline_ms))
    report_free(r);
}
