/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "base/counters.h"
#include "base/err.h"
#include "sign/key_table.h"
#include "format/keyref.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The one object of a process that the shim and commands hold: it makes tokens, keys, store and the
 * thread that signs ahead from the settings, ends them, and sums up what they say.
 *
 * signer->lock guards what is stopped, and is held for no call.
 */
struct p11s_signer;
struct p11s_flights;
struct p11s_pin_guard;
struct p11s_store;
struct p11s_fleet_config;
struct p11s_host_source;

struct p11s_config {
  const char *pin_source;       /* "" or NULL: none */
  unsigned sessions;            /* per token, 1…64 */
  unsigned timeout_ms;          /* longest wait of a query */
  unsigned transfer_timeout_ms; /* of anything else */
  bool verify;                  /* every fresh signature */
  bool store_pins;              /* literal PINs may stand in the table */
  const char *state_dir;        /* what outlives the process; "" or NULL: nothing does */
  bool report;                  /* to write the tokens' states there (token/status_file.h) */
  bool store;                   /* to keep signatures there (store/store.h), */
  unsigned store_mib;           /* up to so many MiB of them, */
  const struct p11s_fleet_config
      *fleet;                 /* and in this database too (store/fleet/fleet.h), copied; or NULL */
  unsigned query_threads;     /* PowerDNS threads that answer UDP queries; 0: not known, */
  bool query_dealt;           /* and are dealt them in turn (token/admission.h) */
  const char *threads_advice; /* what they cost, a line; borrowed for ever; NULL, "": nothing */
  bool ahead;                 /* a server: to sign ahead for, */
  unsigned ahead_weeks;       /* so many weeks, 0…8, and say until when the store suffices */
  unsigned ahead_rate;        /* signatures a second; 0: as the token allows (ahead/pace.h) */
  uint32_t expiry_extension;  /* seconds; PowerDNS's rrsig-expiry-extend (format/message.h) */
  const char *host_settings;  /* PowerDNS's that decide what is signed: NAME=VALUE, tabs between
                                 them; copied; NULL: none */
  bool prepare;               /* a server: to log in and find keys when it starts (prepare.h) */
  const struct p11s_host_source *hosts; /* for these two to ask what PowerDNS serves now (zones.h);
                                           borrowed for ever; NULL: they do not ask */
};

/* Copies the configuration. Starts no thread and makes no PKCS#11 call. */
enum p11s_err p11s_signer_new(const struct p11s_config *config, struct p11s_signer **ret_signer,
                              struct p11s_error *e);
/* Waits for the workers until deadline_ms, and for the store at least P11S_STORE_STOP_MS.
   Afterwards every call answers P11S_ERR_STOPPED. Safe in an exit handler. true: all threads are
   back, and libraries may be finalized. */
bool p11s_signer_stop(struct p11s_signer *signer, uint64_t deadline_ms);
/* For tests: stops and frees everything. No key may be held any more. */
void p11s_signer_free(struct p11s_signer *signer);

const struct p11s_config *p11s_signer_config(const struct p11s_signer *signer);

/* The process's keys. Borrowed. */
struct p11s_key_table *p11s_signer_keys(struct p11s_signer *signer);
/* p11s_key_table_get() and p11s_key_table_find() of the process's keys. */
enum p11s_err p11s_signer_key(struct p11s_signer *signer, const struct p11s_keyref *ref,
                              struct p11s_key **ret_key, struct p11s_error *e);
struct p11s_key *p11s_signer_find_key(struct p11s_signer *signer, const unsigned char *identity);

/* Where p11s_sign() keeps what is under way. Borrowed. */
struct p11s_flights *p11s_signer_flights(struct p11s_signer *signer);

/* What is known of PINs (pin/guard.h). Borrowed. */
struct p11s_pin_guard *p11s_signer_pin_guard(struct p11s_signer *signer);

/* Where signatures are kept beyond the process's life, opened by the first who asks (meanwhile, and
   when that fails, there is none: NULL; the log has why). Borrowed; no lock once it is open. */
struct p11s_store *p11s_signer_store(struct p11s_signer *signer);
/* For a server: opens it in a thread of its own, connects to the fleet's database, and returns when
   that is done, or at the deadline: a store that has to be copied may take minutes. */
void p11s_signer_open_store(struct p11s_signer *signer, uint64_t deadline_ms);

/* For a server whose database can be asked: the first call begins the report (token/status_file.h),
   has the keys prepared (ahead/prepare.h), and returns when each token has been logged in to once,
   or at the deadline. */
void p11s_signer_prepare(struct p11s_signer *signer, uint64_t deadline_ms);

/* Deadlines from now, by setting. */
uint64_t p11s_signer_query_deadline(const struct p11s_signer *signer);
uint64_t p11s_signer_admin_deadline(const struct p11s_signer *signer);

/* base/counters.h says what they are. */
#define P11S_GAUGE_MEMBER(member, name, explanation) size_t member;
struct p11s_signer_stats {
  P11S_GAUGES(P11S_GAUGE_MEMBER)
};
void p11s_signer_get_stats(struct p11s_signer *signer, struct p11s_signer_stats *ret);
