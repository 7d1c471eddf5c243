/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "store/fleet/trim.h"

#include "base/lock.h"
#include "base/log.h"
#include "base/counters.h"
#include "store/record.h"
#include "store/share.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define COUNT_EVERY_MS 600000
#define STEP 200
#define ROW_BYTES 150 /* beside message and signature */
#define DAY 86400

enum phase { WAIT, LOOK, WEIGH, CHOOSE };

struct p11s_fleet_trim {
  struct p11s_fleet *my;
  uint64_t count_ms; /* when to count next */
  enum phase phase;
  uint64_t rows; /* at first */
  uint64_t deleted;
  struct p11s_worth *worth;
  struct p11s_share *share;
  bool failed;       /* no memory */
  bool nothing_left; /* that may go, and more has to */
  bool begun;
  unsigned seen;                         /* in this step */
  unsigned char last[P11S_STORE_ID_LEN]; /* of them */
  unsigned char chosen[STEP * P11S_STORE_ID_LEN];
  size_t count;
};

struct p11s_fleet_trim *p11s_fleet_trim_new(struct p11s_fleet *my)
{
  struct p11s_fleet_trim *t = calloc(1, sizeof *t);

  if (t != NULL)
    t->my = my;
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

static enum p11s_fleet_result run(struct p11s_connection *conn, struct p11s_buf *sql,
                                  p11s_fleet_row_fn fn, void *arg, uint64_t *ret_affected)
{
  enum p11s_fleet_result result = P11S_FLEET_REFUSED;

  if (!sql->failed)
    result = p11s_connection_run(conn, sql->data, sql->len, fn, arg, ret_affected, NULL);
  p11s_buf_clear(sql);
  return result;
}

static void take_number(const struct p11s_fleet_field *fields, unsigned count, void *arg)
{
  if (count == 1)
    *(uint64_t *)arg = p11s_fleet_number(&fields[0]);
}

static void begin(struct p11s_fleet_trim *t, enum phase phase)
{
  t->phase = phase;
  t->begun = false;
}

/* Counts, and begins when there are too many and no other server is at it. */
static enum p11s_fleet_result count_rows(struct p11s_fleet_trim *t, struct p11s_connection *conn)
{
  struct p11s_buf sql = P11S_BUF_INIT;
  enum p11s_fleet_result result;
  uint64_t locked = 0;

  t->count_ms = p11s_now_ms() + COUNT_EVERY_MS;
  p11s_fleet_sql_count(&sql);
  result = run(conn, &sql, take_number, &t->rows, NULL);
  if (result == P11S_FLEET_DONE && t->rows <= t->my->config->most_rows)
    atomic_store(&t->my->full, false);
  if (result != P11S_FLEET_DONE || t->rows <= t->my->config->most_rows ||
      t->my->config->most_rows == 0)
    return result;
  p11s_fleet_sql_lock(&sql, true);
  result = run(conn, &sql, take_number, &locked, NULL);
  /* A cluster may know no such locks: then two servers may be at it, which does no harm. */
  if (result == P11S_FLEET_LOST || (result == P11S_FLEET_DONE && locked != 1))
    return result;
  result = P11S_FLEET_DONE;
  t->deleted = 0;
  t->failed = false;
  t->worth = p11s_worth_new(t->rows);
  begin(t, LOOK);
  return result;
}

/* As the file would have it: the table does not know on how many days a row was used. */
static bool read_row(const struct p11s_fleet_field *fields, unsigned count,
                     struct p11s_store_record *ret)
{
  uint32_t now = p11s_record_now(), week;
  struct p11s_fleet_row row;
  struct p11s_message m;

  if (!p11s_fleet_row_parse(fields, count, &row) || row.signature_len == 0)
    return false;
  *ret = (struct p11s_store_record){row.key_id,
                                    row.message,
                                    row.message_len,
                                    row.signature,
                                    row.signature_len,
                                    now - row.idle_days * DAY,
                                    1};
  if (p11s_message_parse(row.message, row.message_len, &m) && p11s_message_week(&m, &week, NULL) &&
      p11s_time_diff(week, now) > 0)
    ret->days_used = 0;
  return true;
}

static void see(const struct p11s_fleet_field *fields, unsigned count, void *arg)
{
  struct p11s_store_record record;
  struct p11s_fleet_trim *t = arg;
  unsigned worth;
  size_t bytes;

  if (count == 0 || fields[0].len != P11S_STORE_ID_LEN)
    return;
  t->seen++;
  memcpy(t->last, fields[0].data, sizeof t->last);
  if (!read_row(fields, count, &record))
    return;
  bytes = ROW_BYTES + record.message_len + record.signature_len;
  if (t->phase == LOOK)
    (void)p11s_worth_look(&record, t->worth);
  else if (t->phase == WEIGH)
    t->failed = !p11s_share_add(t->share, &record, bytes) || t->failed;
  else if (!p11s_share_is_done(t->share) && t->count < STEP &&
           p11s_share_takes(t->share, &record, bytes, &worth))
    memcpy(t->chosen + t->count++ * P11S_STORE_ID_LEN, t->last, sizeof t->last);
}

static enum p11s_fleet_result look_at_some(struct p11s_fleet_trim *t, struct p11s_connection *conn)
{
  struct p11s_buf sql = P11S_BUF_INIT;
  enum p11s_fleet_result result;
  uint64_t gone = 0;

  t->seen = 0;
  t->count = 0;
  p11s_fleet_sql_walk(&sql, t->begun ? t->last : NULL, STEP);
  result = run(conn, &sql, see, t, NULL);
  t->begun = true;
  if (result != P11S_FLEET_DONE || t->count == 0)
    return result;
  p11s_fleet_sql_delete(&sql, t->chosen, t->count);
  result = run(conn, &sql, NULL, NULL, &gone);
  t->deleted += result == P11S_FLEET_DONE ? gone : 0;
  return result;
}

static void decide(struct p11s_fleet_trim *t)
{
  uint64_t most = t->my->config->most_rows - t->my->config->most_rows / 10;

  t->nothing_left =
      !p11s_share_decide(t->share, (uint64_t)((double)p11s_share_all(t->share) *
                                              (double)(t->rows - most) / (double)t->rows));
}

/* All rows have been seen once more. */
static void next_phase(struct p11s_fleet_trim *t)
{
  bool full = t->nothing_left && t->rows - t->deleted > t->my->config->most_rows;

  if (t->phase == LOOK) {
    p11s_worth_decide(t->worth, p11s_record_now());
    t->share = p11s_share_new(t->worth);
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
        t->my->where, t->rows, t->deleted,
        full ? ", the others are of DNSKEY and stay: new ones are not stored there until "
               "there is room"
             : "");
    atomic_store(&t->my->full, full);
    stop(t);
  }
}

static bool is_short_of_memory(const struct p11s_fleet_trim *t)
{
  return t->failed || t->worth == NULL || (t->phase > LOOK && t->share == NULL);
}

enum p11s_fleet_result p11s_fleet_trim_step(struct p11s_fleet_trim *t, struct p11s_connection *conn,
                                            bool *ret_more)
{
  struct p11s_buf sql = P11S_BUF_INIT;
  enum p11s_fleet_result result = P11S_FLEET_DONE;

  if (t->phase == WAIT && p11s_now_ms() >= t->count_ms)
    result = count_rows(t, conn);
  else if (t->phase != WAIT)
    result = look_at_some(t, conn);
  if (t->phase != WAIT && t->begun && result == P11S_FLEET_DONE && t->seen < STEP)
    next_phase(t);
  if (t->phase != WAIT && (is_short_of_memory(t) || result != P11S_FLEET_DONE))
    stop(t);
  *ret_more = t->phase != WAIT;
  if (!*ret_more && t->rows > 0 && result == P11S_FLEET_DONE) {
    t->rows = 0;
    p11s_fleet_sql_lock(&sql, false);
    result = run(conn, &sql, NULL, NULL, NULL);
  }
  return result;
}

bool p11s_fleet_trim_refuses(const struct p11s_fleet *my, const struct p11s_store_record *record)
{
  struct p11s_message m;

  return atomic_load(&my->full) &&
         (record->days_used == 0 ||
          p11s_worth_of_new(record, p11s_record_now(), &m) != P11S_WORTH_KEYS);
}
