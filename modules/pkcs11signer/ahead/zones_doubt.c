/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What stands at a name now, where several contents were used lately or one is missing
 * (ahead/zones.h).
 */
#include "base/array.h"
#include "base/lock.h"
#include "format/message.h"
#include "ahead/zones_internal.h"

#include <stdlib.h>
#include <string.h>

#define ANSWERS_MOST 100000
#define ANSWER_MS 30000

static void forget_all(struct p11s_zones *zones)
{
  p11s_id_table_clear(&zones->answer_of);
  zones->answer_count = 0;
}

void p11s_zones_free_doubts(struct p11s_zones *zones)
{
  forget_all(zones);
  free(zones->answers);
}

/* Where the answer of that id is; asked_ms is 0 when there was none. NULL: no memory. Until the
   next call. */
static struct p11s_zones_answer *answer_of(struct p11s_zones *zones, uint64_t id)
{
  uint32_t at = p11s_id_table_find(&zones->answer_of, id), *place;
  struct p11s_zones_answer *answer;

  if (at != P11S_ID_TABLE_NONE)
    return &zones->answers[at];
  if (zones->answer_count >= ANSWERS_MOST)
    forget_all(zones);
  answer = P11S_ARRAY_ADD(zones->answers, zones->answer_count);
  place = answer != NULL ? p11s_id_table_at(&zones->answer_of, id) : NULL;
  if (place == NULL)
    return NULL;
  *place = (uint32_t)zones->answer_count - 1;
  return answer;
}

/* -- the question: owner and type of a stored message */

struct question {
  unsigned type;
  unsigned char owner[P11S_DNSNAME_MAX];
  bool good;
};

static bool take_question(const struct p11s_store_record *record, void *arg)
{
  struct question *q = arg;
  struct p11s_message m;

  q->good = p11s_message_parse(record->message, record->message_len, &m) && m.owner != NULL;
  if (q->good) {
    q->type = m.type;
    memcpy(q->owner, m.owner, m.owner_len);
  }
  return true;
}

/* -- the answer */

static bool ask(struct p11s_zones *zones, const struct p11s_plan *plan, const unsigned char *zone,
                const struct question *q, struct p11s_zones_answer *ret)
{
  const struct p11s_host *host = p11s_zones_host(zones);
  struct p11s_served served = {P11S_SERVED_UNSURE, P11S_BUF_INIT};
  struct p11s_buf name = P11S_BUF_INIT, owner = P11S_BUF_INIT;
  struct p11s_error error;
  bool good;

  if (host == NULL)
    return false;
  p11s_dnsname_format(zone, &name);
  p11s_dnsname_format(q->owner, &owner);
  good = host->rrset(host->ctx, p11s_buf_text(&name), p11s_buf_text(&owner), q->type, &served,
                     &error) == P11S_OK;
  if (!good)
    p11s_zones_note_failure(zones, &error);
  ret->kind = served.kind;
  if (good && served.kind == P11S_SERVED_THIS &&
      !p11s_plan_identify(plan, (const unsigned char *)served.message.data, served.message.len,
                          &ret->content))
    ret->kind = P11S_SERVED_UNSURE;
  ret->asked_ms = p11s_now_ms();
  p11s_buf_clear(&name);
  p11s_buf_clear(&owner);
  p11s_buf_clear(&served.message);
  return good;
}

void p11s_zones_settle(struct p11s_zones *zones, struct p11s_plan *plan, struct p11s_store *store,
                       uint64_t until_us)
{
  struct p11s_plan_doubt doubt;
  size_t cursor = 0;

  p11s_plan_seek_missing(plan);
  while (p11s_plan_next_doubt(plan, &cursor, &doubt)) {
    struct p11s_zones_answer *known = answer_of(zones, doubt.id), fresh = {0};
    struct question q = {.good = false};

    if (known == NULL)
      return;
    if ((known->asked_ms == 0 || p11s_now_ms() - known->asked_ms > ANSWER_MS) &&
        p11s_now_us() < until_us &&
        p11s_store_read(store, p11s_plan_key_id(plan, doubt.key), doubt.message_id, take_question,
                        &q) &&
        q.good && ask(zones, plan, p11s_plan_zone_name(plan, doubt.zone), &q, &fresh))
      *known = fresh;
    if (known->asked_ms != 0)
      p11s_plan_settle(plan, &doubt, known->kind, known->content);
  }
}
