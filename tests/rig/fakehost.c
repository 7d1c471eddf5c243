/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "rig/fakehost.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct fakehost_row fakehost_rows[FAKEHOST_ROWS];
unsigned fakehost_row_count;
void (*fakehost_demands)(const char *zone, unsigned weeks, const struct p11s_demand_sink *sink);

struct p11s_zone_state fakehost_state;
unsigned fakehost_questions;
void (*fakehost_rrset)(const char *zone, const char *owner, unsigned type, struct p11s_served *ret);
static const char *const zones[] = {"example.net.", "example.org."};
static const char *hidden; /* the zone that is not there now */
static bool refuse_adding, refuse_listing;
static bool listing; /* a row function is being called: it may not call back */

static void must(bool holds, const char *what)
{
  if (!holds) {
    fprintf(stderr, "fakehost: %s\n", what);
    abort();
  }
}

void fakehost_reset(void)
{
  while (fakehost_row_count > 0)
    free(fakehost_rows[--fakehost_row_count].content);
  refuse_adding = refuse_listing = false;
  fakehost_demands = NULL;
  hidden = NULL;
  fakehost_rrset = NULL;
  fakehost_questions = 0;
  fakehost_state = (struct p11s_zone_state){.exists = true};
}

static unsigned put(const char *zone, unsigned flags, bool active, bool published,
                    const char *content, size_t len)
{
  struct fakehost_row *row = &fakehost_rows[fakehost_row_count];

  must(fakehost_row_count < FAKEHOST_ROWS, "too many rows");
  (void)snprintf(row->zone, sizeof row->zone, "%s", zone);
  row->id = ++fakehost_row_count;
  row->flags = flags;
  row->active = active;
  row->published = published;
  row->content = malloc(len + 1);
  must(row->content != NULL, "no memory");
  memcpy(row->content, content, len);
  row->content[len] = '\0';
  row->content_len = len;
  return row->id;
}

void fakehost_put(const char *zone, unsigned flags, const char *content, size_t content_len)
{
  (void)put(zone, flags, true, true, content, content_len);
}

void fakehost_put_ref(const char *zone, unsigned flags, struct p11s_keyref *ref)
{
  struct p11s_buf content = P11S_BUF_INIT;

  p11s_keyref_format(ref, true, &content);
  must(!content.failed, "no memory");
  fakehost_put(zone, flags, p11s_buf_text(&content), content.len);
  p11s_buf_wipe(&content);
  p11s_keyref_free(ref);
}

void fakehost_refuse_adding(bool refuse)
{
  refuse_adding = refuse;
}

void fakehost_refuse_listing(bool refuse)
{
  refuse_listing = refuse;
}

void fakehost_hide(const char *zone)
{
  hidden = zone;
}

static enum p11s_err zone_check(void *ctx, const char *zone, struct p11s_error *e)
{
  (void)ctx;
  must(!listing, "called back");
  for (size_t i = 0; i < sizeof zones / sizeof zones[0]; i++)
    if (strcmp(zones[i], zone) == 0 && (hidden == NULL || strcmp(hidden, zone) != 0))
      return P11S_OK;
  return p11s_error_set(e, P11S_ERR_HOST, "there is no zone '%s'", zone);
}

static enum p11s_err each_zone(void *ctx, p11s_zone_fn fn, void *arg, struct p11s_error *e)
{
  (void)ctx;
  (void)e;
  must(!listing, "called back");
  for (size_t i = 0; i < sizeof zones / sizeof zones[0]; i++)
    if ((hidden == NULL || strcmp(hidden, zones[i]) != 0) && !fn(zones[i], arg))
      break;
  return P11S_OK;
}

static enum p11s_err each_row(void *ctx, const char *zone, p11s_row_fn fn, void *arg,
                              struct p11s_error *e)
{
  (void)ctx;
  must(!listing, "called back");
  if (refuse_listing)
    return p11s_error_set(e, P11S_ERR_HOST, "the database does not answer");
  listing = true;
  for (unsigned i = 0; i < fakehost_row_count; i++) {
    const struct fakehost_row *r = &fakehost_rows[i];
    struct p11s_row row = {r->zone,      r->id,      r->flags,      r->active,
                           r->published, r->content, r->content_len};

    if (strcmp(r->zone, zone) == 0 && !fn(&row, arg))
      break;
  }
  listing = false;
  return P11S_OK;
}

static enum p11s_err zone_state(void *ctx, const char *zone, struct p11s_zone_state *ret,
                                struct p11s_error *e)
{
  must(!listing, "called back");
  fakehost_questions++;
  if (refuse_listing)
    return p11s_error_set(e, P11S_ERR_HOST, "the database does not answer");
  *ret = fakehost_state;
  ret->exists = zone_check(ctx, zone, NULL) == P11S_OK;
  return P11S_OK;
}

static enum p11s_err rrset(void *ctx, const char *zone, const char *owner, unsigned type,
                           struct p11s_served *ret, struct p11s_error *e)
{
  (void)ctx;
  fakehost_questions++;
  if (refuse_listing)
    return p11s_error_set(e, P11S_ERR_HOST, "the database does not answer");
  if (fakehost_rrset != NULL)
    fakehost_rrset(zone, owner, type, ret);
  return P11S_OK;
}

static enum p11s_err add_row(void *ctx, const struct p11s_row *row, int64_t *ret_id,
                             struct p11s_error *e)
{
  (void)ctx;
  must(!listing, "called back");
  if (refuse_adding)
    return p11s_error_set(e, P11S_ERR_HOST, "the database is read-only");
  *ret_id = put(row->zone, row->flags, row->active, row->published, row->content, row->content_len);
  return P11S_OK;
}

static enum p11s_err each_demand(void *ctx, const char *zone, unsigned weeks,
                                 const struct p11s_demand_sink *sink, struct p11s_error *e)
{
  (void)ctx;
  must(!listing, "called back");
  if (refuse_listing)
    return p11s_error_set(e, P11S_ERR_HOST, "the database does not answer");
  if (fakehost_demands != NULL)
    fakehost_demands(zone, weeks, sink);
  return P11S_OK;
}

static void running_version(void *ctx, struct p11s_buf *out)
{
  (void)ctx;
  p11s_buf_addstr(out, "pdnsutil 4.7.3");
}

const struct p11s_host fakehost = {NULL,  zone_check, each_zone,   each_row,        zone_state,
                                   rrset, add_row,    each_demand, running_version, NULL};

static enum p11s_err open_host(struct p11s_host *ret, struct p11s_error *e)
{
  if (refuse_listing)
    return p11s_error_set(e, P11S_ERR_HOST, "the database does not answer");
  *ret = fakehost;
  return P11S_OK;
}

static void close_host(struct p11s_host *host)
{
  *host = (struct p11s_host){NULL};
}

const struct p11s_host_source fakehost_source = {open_host, close_host};
