/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What administrators ask of the fleet's store (store/fleet/fleet.h). */
#include "store/fleet/internal.h"

#include <stdlib.h>
#include <string.h>

#define STEP 200
#define ANSWER_S 30
#define TRIES 10

struct walk {
  struct p11s_connection *conn;
  p11s_store_fn fn;
  void *arg;
  bool deletes;
  bool enough;
  size_t rows;                           /* of this step */
  unsigned char last[P11S_STORE_ID_LEN]; /* of them */
  unsigned char chosen[STEP * P11S_STORE_ID_LEN];
  size_t count;
};

/* Claims are passed by; when everything is wanted, they go too. */
static void see(const struct p11s_fleet_field *fields, unsigned count, void *arg)
{
  struct p11s_store_record record;
  struct p11s_fleet_row row;
  struct walk *w = arg;
  bool answer;

  if (count == 0 || fields[0].len != P11S_STORE_ID_LEN)
    return;
  w->rows++;
  memcpy(w->last, fields[0].data, sizeof w->last);
  if (w->enough)
    return;
  if (w->fn == NULL) {
    answer = true;
  } else if (p11s_fleet_row_parse(fields, count, &row) && row.signature_len > 0) {
    record = (struct p11s_store_record){
        row.key_id, row.message, row.message_len, row.signature, row.signature_len, 0, 1};
    answer = w->fn(&record, w->arg);
  } else {
    return;
  }
  if (!w->deletes)
    w->enough = !answer;
  else if (answer)
    memcpy(w->chosen + w->count++ * P11S_STORE_ID_LEN, fields[0].data, P11S_STORE_ID_LEN);
}

static enum p11s_err run(struct walk *w, struct p11s_buf *sql, p11s_fleet_row_fn fn,
                         uint64_t *ret_affected, struct p11s_error *e)
{
  enum p11s_fleet_result result = P11S_FLEET_AGAIN;

  if (sql->failed)
    return p11s_error_set(e, P11S_ERR_NOMEM, "out of memory");
  for (unsigned i = 0; i < TRIES && result == P11S_FLEET_AGAIN; i++)
    result = p11s_connection_run(w->conn, sql->data, sql->len, fn, w, ret_affected, e);
  return result == P11S_FLEET_DONE ? P11S_OK : P11S_ERR_HOST;
}

static enum p11s_err walk_step(struct walk *w, bool first, uint64_t *deleted, struct p11s_error *e)
{
  struct p11s_buf sql = P11S_BUF_INIT;
  enum p11s_err result;
  uint64_t gone = 0;

  w->rows = 0;
  w->count = 0;
  p11s_fleet_sql_walk(&sql, first ? NULL : w->last, STEP);
  result = run(w, &sql, see, NULL, e);
  p11s_buf_clear(&sql);
  if (result != P11S_OK || w->count == 0)
    return result;
  p11s_fleet_sql_delete(&sql, w->chosen, w->count);
  result = run(w, &sql, NULL, &gone, e);
  p11s_buf_clear(&sql);
  *deleted += result == P11S_OK ? gone : 0;
  return result;
}

enum p11s_err p11s_fleet_walk(struct p11s_fleet *my, p11s_store_fn fn, void *arg,
                              uint64_t *ret_deleted, struct p11s_error *e)
{
  struct walk *w = calloc(1, sizeof *w);
  enum p11s_err result;
  uint64_t deleted = 0;
  bool first = true;

  if (w == NULL)
    return p11s_error_set(e, P11S_ERR_NOMEM, "out of memory");
  w->fn = fn;
  w->arg = arg;
  w->deletes = ret_deleted != NULL;
  result = p11s_connection_open(my->config, ANSWER_S, &w->conn, e);
  while (result == P11S_OK && !w->enough && (first || w->rows == STEP)) {
    result = walk_step(w, first, &deleted, e);
    first = false;
  }
  if (result != P11S_OK)
    p11s_error_prefix(e, "fleet store %s", my->where);
  if (ret_deleted != NULL)
    *ret_deleted = deleted;
  p11s_connection_close(w->conn);
  free(w);
  return result;
}
