/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "store/fleet/trim.h"

#include "base/lock.h"
#include "base/log.h"
#include "base/counters.h"
#include "store/fleet/scan.h"
#include "store/record.h"
#include "store/share.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define COUNT_EVERY_MS 600000
#define ROW_BYTES 150 /* beside message and signature */
#define DAY 86400

enum phase { WAIT, LOOK, WEIGH, CHOOSE };

struct p11s_fleet_trim {
  struct p11s_fleet *fleet;
  uint64_t count_ms; /* when to count next */
  enum phase phase;
  struct p11s_fleet_scan scan; /* one of all rows in each phase */
  uint64_t rows;               /* at first */
  uint64_t deleted;
  struct p11s_worth *worth;
  struct p11s_share *share;
  bool failed;       /* no memory */
  bool nothing_left; /* that may go, and more has to */
};

struct p11s_fleet_trim *p11s_fleet_trim_new(struct p11s_fleet *fleet)
{
  struct p11s_fleet_trim *t = calloc(1, sizeof *t);

  if (t != NULL)
    t->fleet = fleet;
  return t;
}

static void stop(struct p11s_fleet_trim *t)
{
  p11s_share_free(t->share);
  p11s_worth_free(t->worth);
  t->share = NULL;
  t->worth = NULL;
  t->phase = WAIT;
  t->count_ms = p11s_now_ms() + COUNT_EVERY_MS;
}

void p11s_fleet_trim_free(struct p11s_fleet_trim *t)
{
  if (t == NULL)
    return;
  stop(t);
  free(t);
}

/* As the file would have it: the table does not know on how many days a row was used. */
static struct p11s_store_record record_of(const struct p11s_fleet_row *row)
{
  uint32_t now = p11s_record_now(), week;
  struct p11s_message m;
  bool ahead = p11s_message_parse(row->message, row->message_len, &m) &&
               p11s_message_week(&m, &week, NULL) && p11s_time_diff(week, now) > 0;

  return (struct p11s_store_record){row->key_id,    row->message,       row->message_len,
                                    row->signature, row->signature_len, now - row->idle_days * DAY,
                                    !ahead};
}

static bool see(const struct p11s_fleet_row *row, void *arg)
{
  struct p11s_store_record record;
  struct p11s_fleet_trim *t = arg;
  unsigned worth;
  size_t bytes;

  if (row == NULL || row->signature_len == 0)
    return false;
  record = record_of(row);
  bytes = ROW_BYTES + record.message_len + record.signature_len;
  if (t->phase == LOOK)
    (void)p11s_worth_look(&record, t->worth);
  else if (t->phase == WEIGH)
    t->failed = !p11s_share_add(t->share, &record, bytes) || t->failed;
  return t->phase == CHOOSE && !p11s_share_is_done(t->share) &&
         p11s_share_takes(t->share, &record, bytes, &worth);
}

static void begin(struct p11s_fleet_trim *t, enum phase phase)
{
  t->phase = phase;
  t->scan = (struct p11s_fleet_scan){.choose = see, .arg = t, .tries = 1};
}

/* Counts, and begins when there are too many and no other server is at it. */
static enum p11s_fleet_result count_rows(struct p11s_fleet_trim *t, struct p11s_connection *conn)
{
  struct p11s_buf sql = P11S_BUF_INIT;
  enum p11s_fleet_result result;
  uint64_t locked = 0;

  t->count_ms = p11s_now_ms() + COUNT_EVERY_MS;
  p11s_buf_addstr(&sql, P11S_FLEET_SQL_COUNT);
  result = p11s_connection_run(conn, &sql, p11s_fleet_take_number, &t->rows, NULL, NULL);
  if (result == P11S_FLEET_DONE && t->rows <= t->fleet->config->most_rows)
    atomic_store(&t->fleet->full, false);
  if (result != P11S_FLEET_DONE || t->rows <= t->fleet->config->most_rows ||
      t->fleet->config->most_rows == 0)
    return result;
  p11s_fleet_sql_lock(&sql, true);
  result = p11s_connection_run(conn, &sql, p11s_fleet_take_number, &locked, NULL, NULL);
  /* A cluster may know no such locks: then two servers may be at it, which does no harm. */
  if (result == P11S_FLEET_LOST || (result == P11S_FLEET_DONE && locked != 1))
    return result;
  result = P11S_FLEET_DONE;
  t->deleted = 0;
  t->worth = p11s_worth_new(t->rows);
  t->failed = t->worth == NULL;
  begin(t, LOOK);
  return result;
}

static void decide(struct p11s_fleet_trim *t)
{
  uint64_t most = t->fleet->config->most_rows - t->fleet->config->most_rows / 10;

  t->nothing_left =
      !p11s_share_decide(t->share, (uint64_t)((double)p11s_share_all(t->share) *
                                              (double)(t->rows - most) / (double)t->rows));
}

/* All rows have been seen once more. */
static void next_phase(struct p11s_fleet_trim *t)
{
  bool full = t->nothing_left && t->rows - t->deleted > t->fleet->config->most_rows;

  if (t->phase == LOOK) {
    p11s_worth_decide(t->worth, p11s_record_now());
    t->share = p11s_share_new(t->worth);
    t->failed = t->share == NULL;
    begin(t, WEIGH);
  } else if (t->phase == WEIGH) {
    decide(t);
    begin(t, CHOOSE);
  } else {
    p11s_counter_add(P11S_STAT_STORE_EVICTED, t->deleted);
    p11s_log_event(
        P11S_LOG_NOTICE,
        "fleet store %s: had %" PRIu64 " signatures, more than "
        "pkcs11signer-mysql-signatures allows; %" PRIu64 " of least use have been deleted%s",
        t->fleet->where, t->rows, t->deleted,
        full ? ", the others are of DNSKEY and stay: new ones are not stored there until "
               "there is room"
             : "");
    atomic_store(&t->fleet->full, full);
    stop(t);
  }
}

enum p11s_fleet_result p11s_fleet_trim_step(struct p11s_fleet_trim *t, struct p11s_connection *conn,
                                            bool *ret_more)
{
  struct p11s_buf sql = P11S_BUF_INIT;
  enum p11s_fleet_result result = P11S_FLEET_DONE;

  if (t->phase == WAIT && p11s_now_ms() >= t->count_ms)
    result = count_rows(t, conn);
  else if (t->phase != WAIT)
    result = p11s_fleet_scan_step(&t->scan, conn, &t->deleted, NULL);
  if (t->phase != WAIT && t->scan.at_end && result == P11S_FLEET_DONE)
    next_phase(t);
  if (t->phase != WAIT && (t->failed || result != P11S_FLEET_DONE))
    stop(t);
  *ret_more = t->phase != WAIT;
  if (!*ret_more && t->rows > 0 && result == P11S_FLEET_DONE) {
    t->rows = 0;
    p11s_fleet_sql_lock(&sql, false);
    result = p11s_connection_run(conn, &sql, NULL, NULL, NULL, NULL);
  }
  return result;
}

bool p11s_fleet_trim_refuses(const struct p11s_fleet *fleet, const struct p11s_store_record *record)
{
  struct p11s_message m;

  return atomic_load(&fleet->full) &&
         (record->days_used == 0 ||
          p11s_worth_of_new(record, p11s_record_now(), &m) != P11S_WORTH_KEYS);
}
