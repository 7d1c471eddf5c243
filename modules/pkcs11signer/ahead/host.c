/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ahead/host.h"

#include <stdlib.h>
#include <string.h>

static bool keep_zone(const char *zone, void *arg)
{
  struct p11s_buf *zones = arg;

  p11s_buf_add_text(zones, zone);
  return !zones->failed;
}

enum p11s_err p11s_host_zones(const struct p11s_host *host, struct p11s_buf *zones,
                              struct p11s_error *e)
{
  enum p11s_err result = host->each_zone(host->ctx, keep_zone, zones, e);

  if (result == P11S_OK && zones->failed)
    return p11s_error_no_memory(e);
  return result;
}

struct p11s_keyref *p11s_row_ref(const struct p11s_row *row)
{
  struct p11s_keyref *ref = NULL;

  if (p11s_keyref_is_ours(row->content, row->content_len))
    (void)p11s_keyref_parse(row->content, row->content_len, &ref, NULL);
  return ref;
}

unsigned p11s_row_algorithm(const struct p11s_row *row)
{
  static const char field[] = "\nAlgorithm:";
  const char *at = strstr(row->content, field);

  return at != NULL ? (unsigned)strtoul(at + sizeof field - 1, NULL, 10) : 0;
}

struct reading {
  p11s_ref_fn fn;
  void *arg;
  bool goes_on;
};

static bool read_row(const struct p11s_row *row, void *arg)
{
  struct reading *reading = arg;
  struct p11s_keyref *ref = p11s_row_ref(row);

  if (ref != NULL)
    reading->goes_on = reading->fn(row, ref, reading->arg);
  p11s_keyref_free(ref);
  return reading->goes_on;
}

enum p11s_err p11s_host_each_ref(const struct p11s_host *host, const char *zone, p11s_ref_fn fn,
                                 void *arg, struct p11s_error *e)
{
  struct reading reading = {fn, arg, true};
  struct p11s_buf zones = P11S_BUF_INIT;
  enum p11s_err result;

  if (zone != NULL)
    return host->each_row(host->ctx, zone, read_row, &reading, e);
  result = p11s_host_zones(host, &zones, e);
  for (const char *name = NULL;
       result == P11S_OK && reading.goes_on && (name = p11s_buf_next_text(&zones, name)) != NULL;)
    result = host->each_row(host->ctx, name, read_row, &reading, e);
  p11s_buf_clear(&zones);
  return result;
}
