/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What administrators ask of the fleet's store (store/fleet/fleet.h). */
#include "store/fleet/internal.h"
#include "store/fleet/scan.h"

#include <stdlib.h>

#define ANSWER_S 30
#define TRIES 10

struct walk {
  struct p11s_fleet_scan scan;
  p11s_store_fn fn;
  void *arg;
  bool deletes;
  bool enough;
};

/* Claims are passed by; when everything is wanted, they go too. */
static bool see(const struct p11s_fleet_row *row, void *arg)
{
  struct walk *w = arg;
  bool answer;

  if (w->fn == NULL)
    return true;
  if (w->enough || row == NULL || row->signature_len == 0)
    return false;
  answer = w->fn(&(struct p11s_store_record){row->key_id, row->message, row->message_len,
                                             row->signature, row->signature_len, 0, 1},
                 w->arg);
  w->enough = !w->deletes && !answer;
  return w->deletes && answer;
}

enum p11s_err p11s_fleet_walk(struct p11s_fleet *fleet, p11s_store_fn fn, void *arg,
                              uint64_t *ret_deleted, struct p11s_error *e)
{
  struct p11s_connection *conn = NULL;
  enum p11s_err result;
  uint64_t deleted = 0;
  struct walk *w;

  if (fleet == NULL)
    return p11s_error_set(e, P11S_ERR_HOST, "there is no fleet store");
  w = calloc(1, sizeof *w);
  if (w == NULL)
    return p11s_error_no_memory(e);
  *w =
      (struct walk){{.choose = see, .arg = w, .tries = TRIES}, fn, arg, ret_deleted != NULL, false};
  result = p11s_connection_open(fleet->config, ANSWER_S, &conn, e);
  while (result == P11S_OK && !w->enough && !w->scan.at_end)
    if (p11s_fleet_scan_step(&w->scan, conn, &deleted, e) != P11S_FLEET_DONE)
      result = P11S_ERR_HOST;
  if (result != P11S_OK)
    p11s_error_prefix(e, "fleet store %s", fleet->where);
  if (ret_deleted != NULL)
    *ret_deleted = deleted;
  p11s_connection_close(conn);
  free(w);
  return result;
}
