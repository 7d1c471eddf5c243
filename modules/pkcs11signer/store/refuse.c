/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "store/refuse.h"

#include "base/crypto.h"
#include "base/log.h"
#include "base/counters.h"
#include "store/worth.h"

#include <stdlib.h>
#include <string.h>

#define ZONES 500 /* whose losses are noted of one batch */

struct refusal {
  struct p11s_lmdb *db;
  struct p11s_room *room;
  uint32_t now;
  uint64_t used;        /* bytes of pages, before the batch */
  uint64_t taken;       /* bytes, of the batch */
  struct p11s_op *list; /* of what is refused, */
  bool full;            /* some of it as nothing may go for it */
  struct p11s_lmdb_loss loss[ZONES];
  size_t zones;
};

static bool is_there(const unsigned char *key, const unsigned char *value, size_t len, void *arg)
{
  (void)key;
  (void)value;
  (void)len;
  (void)arg;
  return true;
}

/* Whether last week's is there: then it was not made up for one question. */
static bool recurs(struct p11s_lmdb *db, const struct p11s_store_record *record)
{
  unsigned char key[P11S_RECORD_KEY_LEN], *message = malloc(record->message_len);
  bool good = message != NULL;

  if (good) {
    memcpy(message, record->message, record->message_len);
    p11s_message_advance(message, -1);
    memcpy(key, record->key_id, P11S_STORE_ID_LEN);
    good = p11s_sha256(message, record->message_len, key + P11S_STORE_ID_LEN) &&
           p11s_lmdb_get(db, P11S_SIGNATURES, key, is_there, NULL);
  }
  free(message);
  return good;
}

static bool finds_room(const struct refusal *r, const struct p11s_store_record *record,
                       unsigned worth, uint64_t bytes)
{
  if (worth == P11S_WORTH_KEYS && record->days_used > 0)
    return r->used <= p11s_room_brim(r->room->limit_bytes);
  return p11s_room_is_there(r->room, r->used, r->taken + bytes);
}

static bool is_kept_out(const struct refusal *r, const struct p11s_store_record *record,
                        const struct p11s_message *m, unsigned worth)
{
  return p11s_bar_keeps_out(&r->room->bar, m, worth) &&
         !(worth == P11S_WORTH_ONCE && recurs(r->db, record));
}

static void add_loss(struct refusal *r, const unsigned char *zone, size_t len)
{
  size_t i = 0;

  while (i < r->zones && (r->loss[i].len != len || memcmp(r->loss[i].name, zone, len) != 0))
    i++;
  if (len == 0 || i == ZONES)
    return;
  if (i == r->zones)
    r->loss[r->zones++] = (struct p11s_lmdb_loss){zone, len, 0};
  r->loss[i].lost++;
}

static bool is_refused(struct refusal *r, const struct p11s_op *op)
{
  uint64_t bytes = p11s_room_size(op);
  struct p11s_store_record record;
  struct p11s_message m;
  unsigned worth;
  bool full;

  if (bytes == 0 || !p11s_record_parse(op->key, sizeof op->key, op->value, op->len, &record))
    return false;
  worth = p11s_worth_of_new(&record, r->now, &m);
  full = p11s_room_is_full(r->room) && !finds_room(r, &record, worth, bytes);
  if (!full && !is_kept_out(r, &record, &m, worth)) {
    r->taken += bytes;
    return false;
  }
  r->full = r->full || full;
  if (worth < P11S_WORTH_LAST)
    add_loss(r, m.signer, m.signer_len);
  return true;
}

static void say_full(struct p11s_room *room)
{
  if (!room->said_full)
    p11s_log_event(P11S_LOG_WARNING,
                   "signature store: full of DNSKEY signatures, which are kept: new signatures are "
                   "not stored until there is room: set pkcs11signer-store-size to more than %zu",
                   room->limit_bytes >> 20);
  room->said_full = true;
}

static void free_refused(struct p11s_op *op)
{
  struct p11s_op *next;

  for (; op != NULL; op = next) {
    next = op->next;
    free(op);
    p11s_counter_count(P11S_STAT_STORE_REFUSED);
  }
}

/* From the batch to the list. */
static void sort_out(struct refusal *r, struct p11s_op **at)
{
  struct p11s_op *op;

  while ((op = *at) != NULL) {
    if (is_refused(r, op)) {
      *at = op->next;
      op->next = r->list;
      r->list = op;
    } else {
      at = &op->next;
    }
  }
}

void p11s_refuse(struct p11s_lmdb *db, struct p11s_room *room, struct p11s_op **batch)
{
  struct p11s_store_stats stats = {0};
  struct refusal *r;
  int days;

  room->said_full = room->said_full && room->full;
  if ((!room->bar.raised && !room->full) || (r = calloc(1, sizeof *r)) == NULL)
    return;
  p11s_lmdb_get_stats(db, &stats);
  r->db = db;
  r->room = room;
  r->now = p11s_census_now(&room->census, p11s_record_now(), &days);
  r->used = stats.used_bytes;
  sort_out(r, batch);
  if (r->full)
    say_full(room);
  p11s_room_note(db, r->loss, r->zones);
  free_refused(r->list);
  free(r);
}
