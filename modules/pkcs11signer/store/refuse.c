/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "store/refuse.h"

#include "base/log.h"
#include "base/counters.h"
#include "store/worth.h"

#include <stdlib.h>
#include <string.h>

#define LOSSES 500 /* noted of one batch; it has no more writes */

struct refusal {
  struct p11s_eviction *ev;
  uint32_t now;
  uint64_t used;  /* bytes of pages, before the batch */
  uint64_t taken; /* bytes of the batch so far */
  bool full;      /* something is refused because nothing may go for it */
  struct p11s_lmdb_loss loss[LOSSES];
  size_t losses;
};

/* Whether last week's is there: then it was not made up for one question. */
static bool recurs(struct p11s_lmdb *db, const struct p11s_store_record *record)
{
  unsigned char *message = malloc(record->message_len);
  struct p11s_question q;
  bool good = message != NULL;

  if (good) {
    memcpy(message, record->message, record->message_len);
    p11s_message_advance(message, -1);
    good = p11s_question_init(&q, record->key_id, message, record->message_len) &&
           p11s_lmdb_read(db, q.key, NULL, NULL);
  }
  free(message);
  return good;
}

static bool finds_room(const struct refusal *r, const struct p11s_store_record *record,
                       unsigned worth, uint64_t bytes)
{
  if (worth == P11S_WORTH_KEYS && record->days_used > 0)
    return r->used <= p11s_evict_brim(r->ev->limit_bytes);
  return p11s_evict_has_room(r->ev, r->used, r->taken + bytes);
}

static bool is_kept_out(const struct refusal *r, const struct p11s_store_record *record,
                        const struct p11s_message *m, unsigned worth)
{
  return p11s_bar_keeps_out(&r->ev->bar, m, worth) &&
         !(worth == P11S_WORTH_ONCE && recurs(r->ev->db, record));
}

static bool is_refused(struct refusal *r, const struct p11s_op *op)
{
  uint64_t bytes = p11s_evict_size(op);
  struct p11s_store_record record;
  struct p11s_message m;
  unsigned worth;
  bool full;

  if (bytes == 0 || !p11s_record_parse(op->key, sizeof op->key, op->value, op->len, &record))
    return false;
  worth = p11s_worth_of_new(&record, r->now, &m);
  full = p11s_evict_is_full(r->ev) && !finds_room(r, &record, worth, bytes);
  if (!full && !is_kept_out(r, &record, &m, worth)) {
    r->taken += bytes;
    return false;
  }
  r->full = r->full || full;
  if (worth < P11S_WORTH_LAST && m.signer_len > 0 && r->losses < LOSSES)
    r->loss[r->losses++] = (struct p11s_lmdb_loss){m.signer, m.signer_len, 1};
  return true;
}

static void say_full(struct p11s_eviction *ev)
{
  if (!ev->said_full)
    p11s_log_event(P11S_LOG_WARNING,
                   "signature store: full of DNSKEY signatures, which are kept: new signatures are "
                   "not stored until there is room: set pkcs11signer-store-size to more than %zu",
                   (size_t)(ev->limit_bytes >> 20));
  ev->said_full = true;
}

/* Moves what is refused out of the batch. */
static void sort_out(struct refusal *r, struct p11s_ops *batch, struct p11s_ops *refused)
{
  struct p11s_ops taken = STAILQ_HEAD_INITIALIZER(taken);
  struct p11s_op *op;

  while ((op = STAILQ_FIRST(batch)) != NULL) {
    bool is = is_refused(r, op);

    STAILQ_REMOVE_HEAD(batch, link);
    STAILQ_INSERT_TAIL(is ? refused : &taken, op, link);
    if (is)
      p11s_counter_count(P11S_STAT_STORE_REFUSED);
  }
  STAILQ_CONCAT(batch, &taken);
}

void p11s_refuse(struct p11s_eviction *ev, struct p11s_ops *batch)
{
  struct p11s_ops refused = STAILQ_HEAD_INITIALIZER(refused);
  struct refusal *r;
  int days;

  ev->said_full = ev->said_full && ev->full;
  if ((!ev->bar.raised && !ev->full) || (r = calloc(1, sizeof *r)) == NULL)
    return;
  r->ev = ev;
  r->now = p11s_census_now(&ev->census, p11s_record_now(), &days);
  r->used = p11s_lmdb_stats(ev->db).used_bytes;
  sort_out(r, batch, &refused);
  if (r->full)
    say_full(ev);
  p11s_evict_note_losses(ev, r->loss, r->losses);
  p11s_ops_free(&refused);
  free(r);
}
