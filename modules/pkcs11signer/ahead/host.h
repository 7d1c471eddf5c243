/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "format/keyref.h"
#include "format/soaedit.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * What the core needs from PowerDNS: the zones and the rows of its cryptokeys
 * table. The shim implements it over the sibling backends, so everything
 * happens on their connection and inside their transaction.
 *
 * Zone names are absolute, in presentation form with the final dot, lower
 * case on the way out, any case on the way in. Calls may block on the
 * database: never made from a worker or under a lock. Errors: P11S_ERR_HOST.
 */
struct p11s_row {
  const char *zone;
  unsigned id;
  unsigned flags; /* 257: KSK, 256: ZSK */
  bool active;
  bool published;
  const char *content; /* NUL behind content_len; may hold a PIN */
  size_t content_len;
};

/* Strings in the row are borrowed for the call. Returning false ends the iteration. */
typedef bool (*p11s_row_fn)(const struct p11s_row *row, void *arg);
typedef bool (*p11s_zone_fn)(const char *zone, void *arg);

/* A zone as the database has it now, past PowerDNS's caches. */
struct p11s_zone_state {
  bool exists;
  bool variants;  /* other zones of the same name may be served in its place (PowerDNS 5 views) */
  bool presigned; /* its signatures are in the database: keys sign nothing */
  bool has_soa;
  struct p11s_soa_edit soa_edit; /* if has_soa: its own, or by default-soa-edit and -signed; EPOCH
                                    also where PowerDNS has serials that soaedit.h does not explain
                                  */
};

/* What PowerDNS serves at a name now. */
enum p11s_served_kind {
  P11S_SERVED_UNSURE,  /* made when it is asked for, or from keys that are not known, or a backend
                          may answer each asker differently */
  P11S_SERVED_NOTHING, /* no such RRset */
  P11S_SERVED_THIS,
};
struct p11s_served {
  enum p11s_served_kind kind;
  struct p11s_buf message; /* THIS: as message.h has it, but algorithm, key tag and times are 0 */
};

/*
 * A message that PowerDNS would have signed for some query of a zone (sign/sign.h), with this
 * week's times. Borrowed for the call, the key too.
 */
struct p11s_key;
#define P11S_EVERY_WEEK (-1)
struct p11s_demand {
  struct p11s_key *key;
  const unsigned char *message;
  size_t len;
  int week; /* asked for in this week (0) or so many weeks later only, or in every one */
};

struct p11s_demand_sink {
  /* Returning false ends it. May take its time, but not call the host. */
  bool (*demand)(const struct p11s_demand *demand, void *arg);
  /* What cannot be signed in advance, and why: a clause ("LUA records at 3 names: …"). */
  void (*left_out)(const char *what, void *arg);
  void *arg;
};

struct p11s_host {
  void *ctx;
  /* P11S_ERR_HOST when the zone does not exist, its name is malformed, or no database stores keys:
     then each_zone fails too. */
  enum p11s_err (*zone_check)(void *ctx, const char *zone, struct p11s_error *e);
  /* Each zone once. */
  enum p11s_err (*each_zone)(void *ctx, p11s_zone_fn fn, void *arg, struct p11s_error *e);
  /* All rows of one zone, in the database's order, software keys too. fn may not call the host. */
  enum p11s_err (*each_row)(void *ctx, const char *zone, p11s_row_fn fn, void *arg,
                            struct p11s_error *e);
  /* A zone that does not exist is no error. */
  enum p11s_err (*zone_state)(void *ctx, const char *zone, struct p11s_zone_state *ret,
                              struct p11s_error *e);
  /* The RRset of that owner, which may be a wildcard, as the zone has it; an SOA record with its
     stored serial. ret: begins as zeros and P11S_BUF_INIT, to be cleared by the caller. */
  enum p11s_err (*rrset)(void *ctx, const char *zone, const char *owner, unsigned type,
                         struct p11s_served *ret, struct p11s_error *e);
  /* Stores a row as it is given, and reads it back; row->id is ignored. P11S_ERR_HOST: the zone's
     database does not keep it so, and has no such row. */
  enum p11s_err (*add_row)(void *ctx, const struct p11s_row *row, int64_t *ret_id,
                           struct p11s_error *e);
  /* All that PowerDNS signs of a zone with keys on tokens, this week and in the weeks ahead: DNSKEY
     first, each message once. Weeks ahead differ in their times only, or are said apart. Reads the
     whole zone; asks tokens for public keys that are not known. */
  enum p11s_err (*each_demand)(void *ctx, const char *zone, unsigned weeks,
                               const struct p11s_demand_sink *sink, struct p11s_error *e);
  /* Appends what the program that this is says of its version ("pdnsutil 4.7.3"); nothing, if it
     does not. May start that program once more. */
  void (*running_version)(void *ctx, struct p11s_buf *out);
  void *own; /* what the host came with, if p11s_host_source made it */
};

/* Hosts over connections of their own, each for one thread that PowerDNS knows nothing of. */
struct p11s_host_source {
  /* May block on the database. P11S_ERR_HOST: it cannot be reached. */
  enum p11s_err (*open)(struct p11s_host *ret, struct p11s_error *e);
  void (*close)(struct p11s_host *host);
};

/* Appends all zones' names, each with a NUL behind it: while one question to the host runs, no
   other may be asked. Errors: those of each_zone, P11S_ERR_NOMEM. */
enum p11s_err p11s_host_zones(const struct p11s_host *host, struct p11s_buf *zones,
                              struct p11s_error *e);

/* The row's reference to a key on a token, to be freed. NULL: its key is in software, or the row
   cannot be read, which is for `check` to complain about. */
struct p11s_keyref *p11s_row_ref(const struct p11s_row *row);

/* The number of its algorithm, of a key in software too; 0: it names none. */
unsigned p11s_row_algorithm(const struct p11s_row *row);

/* Row and reference are borrowed for the call. Returning false ends the iteration. */
typedef bool (*p11s_ref_fn)(const struct p11s_row *row, const struct p11s_keyref *ref, void *arg);
/* Each row of the zone (NULL: of all zones) that has a reference. fn may not call the host. */
enum p11s_err p11s_host_each_ref(const struct p11s_host *host, const char *zone, p11s_ref_fn fn,
                                 void *arg, struct p11s_error *e);
