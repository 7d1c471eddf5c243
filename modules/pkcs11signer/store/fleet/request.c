/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "store/fleet/request.h"

#include <stdlib.h>

void p11s_fleet_request_free(struct p11s_fleet_request *r)
{
  pthread_cond_destroy(&r->answered);
  free(r);
}

void p11s_fleet_request_unlist_locked(struct p11s_fleet *my, struct p11s_fleet_request *r)
{
  struct p11s_fleet_request **at = &my->requests;

  while (*at != NULL && *at != r)
    at = &(*at)->next;
  if (*at == r)
    *at = r->next;
}

void p11s_fleet_request_release_locked(struct p11s_fleet *my, struct p11s_fleet_request *r)
{
  if (--r->refs > 0)
    return;
  p11s_fleet_request_unlist_locked(my, r);
  p11s_fleet_request_free(r);
}

void p11s_fleet_wake_all_locked(struct p11s_fleet *my)
{
  for (struct p11s_fleet_request *r = my->requests; r != NULL; r = r->next)
    pthread_cond_broadcast(&r->answered);
  pthread_cond_broadcast(&my->find.wake);
  pthread_cond_broadcast(&my->write.wake);
  pthread_cond_broadcast(&my->done);
}
