/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Signatures that outlive the process: DIRECTORY/signatures.lmdb, shared by all
 * processes of the machine that name the same directory.
 *
 * Nothing in it is trusted. A signature that is found belongs to the very message
 * asked for, and has to be verified by the caller before it is used; one that does
 * not verify is to be forgotten.
 *
 * Look-ups are for threads that answer queries: they read mapped memory, write nothing, and take no
 * lock that anybody holds while the disk is at work. Writes are copied into a bounded queue. A
 * thread of the store's own writes them in batches: within a second, or when there are 500. A write
 * that finds the queue full is dropped and counted (base/counters.h).
 *
 * Killing the process at any moment leaves a good file; a power failure may cost the last seconds.
 * store/recover.h says how a file is opened that another process, or another program, has left
 * behind. Later trouble is said in the log; it costs the store, never an answer. One danger
 * remains: a program that overwrites or cuts off the file *while* it is open. A file that has
 * become shorter is noticed at the next look-up, and the store goes off. One that becomes shorter
 * during a look-up ends the process, as with any mapped file.
 *
 * One store per process. After fork() the child's calls find nothing, and it may open one of its
 * own.
 *
 * store/store.c has the queue and its thread; store/lmdb.h is where they write to and read from.
 * Behind the file there may be a database that several servers share (store/fleet/fleet.h): it is
 * asked for what is not found there, and gets what is put. Public keys stay on the machine: whoever
 * can write to the database must not be able to choose a zone's key.
 *
 * Locks: store->lock, for the queue, held for no call but free(). All functions may be called by
 * any thread, and with NULL for the store: nothing is found, and nothing kept.
 */
struct p11s_store;
struct p11s_fleet_config;

#define P11S_STORE_ID_LEN 32 /* of a key, or of a reference */
#define P11S_STORE_MAX_MESSAGE 131072
#define P11S_STORE_MAX_SIGNATURE 1024
#define P11S_STORE_MAX_PUBLIC 4096
#define P11S_RECORD_KEY_LEN (P11S_STORE_ID_LEN + 32) /* id of a key, SHA-256 of a message */

struct p11s_store_config {
  const char *directory;
  size_t size_mib;                       /* the file gets no larger; at least 1 */
  const struct p11s_fleet_config *fleet; /* NULL: none */
  bool patient; /* waits for another process that prepares the file, however long that takes */
};

/* P11S_ERR_HOST: the file cannot be opened or made; P11S_ERR_EXISTS: this process has a store
   already; P11S_ERR_NOMEM. Does not connect to the fleet's database: the first use does, or
   p11s_store_connect(). Reads the whole file when it was not left as it has to be
   (store/recover.h): two seconds or three for a million signatures, more on a slow disk. */
enum p11s_err p11s_store_open(const struct p11s_store_config *config, struct p11s_store **ret,
                              struct p11s_error *e);

/* Writes what is queued as far as the deadline (p11s_now_ms()'s clock) allows, and joins the
   thread. From then on nothing is found and nothing queued. For an exit handler: other threads may
   go on calling. false when the deadline came first. */
bool p11s_store_stop(struct p11s_store *store, uint64_t deadline_ms);

/* Stops it and frees everything; nobody may use it any more. What does not come back in time is
   leaked. */
void p11s_store_close(struct p11s_store *store, uint64_t deadline_ms);

/* Has it connect to the fleet's database, if there is one. */
void p11s_store_connect(struct p11s_store *store);

/* Waits until all that was queued before is written to the file, or has failed, and then for the
   fleet's database as far as it is connected. false: not until the deadline. */
bool p11s_store_flush(struct p11s_store *store, uint64_t deadline_ms);

/* -- signatures */

/* Which key signs which message. The message is borrowed. */
struct p11s_question {
  unsigned char key[P11S_RECORD_KEY_LEN];
  const unsigned char *message;
  size_t len;
};
/* key_id: SHA-256 of public key and algorithm. Hashes the message. false: no memory. */
bool p11s_question_init(struct p11s_question *q, const unsigned char *key_id,
                        const unsigned char *message, size_t len);

/* In the file. *signature_len: the size of signature, then the signature's length. */
bool p11s_store_find_here(struct p11s_store *store, const struct p11s_question *q,
                          unsigned char *signature, size_t *signature_len);
/* ahead: for a week to come. It does not count as used until it is looked up. When the file is full
   it goes before anything that is used, or is not stored (store/bar.h). */
void p11s_store_put(struct p11s_store *store, const struct p11s_question *q,
                    const unsigned char *signature, size_t signature_len, bool ahead);

bool p11s_store_has_fleet(struct p11s_store *store);
/* In the fleet's database, for which this waits no longer than its timeout. What is found there is
   kept in the file too. */
enum p11s_store_found {
  P11S_STORE_ABSENT,
  P11S_STORE_FOUND,
  P11S_STORE_CLAIMED,   /* only with claim: others wait for us now; put it, or abandon it */
  P11S_STORE_ELSEWHERE, /* another server is making it, and has not done so by the deadline */
};
struct p11s_store_ask {
  uint64_t deadline_ms; /* a signature that another server is making is waited for until then */
  bool claim;           /* is to be signed next if it is not there */
  bool patient;         /* no query: half a second for an answer of the database */
  bool ahead;           /* for a week to come: what is found is kept as with p11s_store_put() */
};
enum p11s_store_found p11s_store_find_in_fleet(struct p11s_store *store,
                                               const struct p11s_question *q,
                                               const struct p11s_store_ask *ask,
                                               unsigned char *signature, size_t *signature_len);
void p11s_store_abandon(struct p11s_store *store, const struct p11s_question *q);
/* For one that did not verify. Until that is written it may be found again. */
void p11s_store_forget(struct p11s_store *store, const struct p11s_question *q);

/* -- public keys of resolved references. ref_id: a hash of the reference, P11S_STORE_ID_LEN bytes;
   what is kept is the caller's own format, up to P11S_STORE_MAX_PUBLIC bytes */

bool p11s_store_find_public(struct p11s_store *store, const unsigned char *ref_id,
                            unsigned char *data, size_t *data_len);
void p11s_store_put_public(struct p11s_store *store, const unsigned char *ref_id,
                           const unsigned char *data, size_t data_len);

/* -- for those who have time: these read much, or write; not on a query's path */

struct p11s_store_record {
  const unsigned char *key_id;
  const unsigned char *message;
  size_t message_len;
  const unsigned char *signature;
  size_t signature_len;
  uint32_t last_used; /* seconds since 1970, a day's resolution; when it was stored, at first */
  uint32_t days_used; /* on how many days it was looked up or stored; 0: ahead, never used */
};
/* The record is valid during the call. */
typedef bool (*p11s_store_fn)(const struct p11s_store_record *record, void *arg);

/* Whether it is in the file. Not a use. */
bool p11s_store_has(struct p11s_store *store, const struct p11s_question *q);
/* Calls fn with a copy of the record whose message has that SHA-256. Not a use. false: there is
   none, or fn returned false. */
bool p11s_store_read(struct p11s_store *store, const unsigned char *key_id,
                     const unsigned char *message_id, p11s_store_fn fn, void *arg);

/* All records in the order of their keys, until fn returns false. They are copied in small batches,
   so fn may take its time and may call any function of the store. What is stored or deleted
   meanwhile may be seen or not. false: reading failed before the end. */
bool p11s_store_each(struct p11s_store *store, p11s_store_fn fn, void *arg);

/* The same with some records of each key, one at least. */
bool p11s_store_each_key(struct p11s_store *store, p11s_store_fn fn, void *arg);

/* Deletes all signatures for which fn returns true; with NULL everything, public keys too. What is
   queued is written first. Waits for other processes' writes. */
enum p11s_err p11s_store_purge(struct p11s_store *store, p11s_store_fn fn, void *arg,
                               uint64_t *ret_deleted, struct p11s_error *e);

/* Both of these for the fleet's database, on a connection of its own. Whatever goes wrong is said
   in e. P11S_ERR_HOST also when there is none. */
enum p11s_err p11s_store_each_fleet(struct p11s_store *store, p11s_store_fn fn, void *arg,
                                    struct p11s_error *e);
enum p11s_err p11s_store_purge_fleet(struct p11s_store *store, p11s_store_fn fn, void *arg,
                                     uint64_t *ret_deleted, struct p11s_error *e);

/* Zones that have lost signatures of use for want of room in the last three weeks. More was served
   of them than is stored. */
#define P11S_STORE_LOSS_S (21 * 86400)
struct p11s_store_loss {
  uint64_t lost;
  uint32_t since; /* seconds since 1970 */
};
/* name: in wire format. fn is to be quick, and must not call the store. */
typedef void (*p11s_store_loss_fn)(const unsigned char *name, size_t len,
                                   const struct p11s_store_loss *loss, void *arg);
/* false: reading failed. */
bool p11s_store_each_loss(struct p11s_store *store, p11s_store_loss_fn fn, void *arg);

struct p11s_store_stats {
  uint64_t records;     /* signatures in the file */
  uint64_t public_keys; /* in the file */
  uint64_t used_bytes;  /* of pages in use */
  uint64_t limit_bytes; /* at most */
  uint64_t file_bytes;
  uint64_t queued; /* by this process, to be written */
  bool off;        /* given up, until the next start */
  bool crowded;    /* signatures of this week or later had to go, until a fifth is free */
  bool full;       /* crowded, and all that is left is of DNSKEY, CDS and CDNSKEY */
  bool fleet;      /* there is one */
  bool connected;  /* the fleet's database answers */
  uint64_t fleet_queued;
};
void p11s_store_get_stats(struct p11s_store *store, struct p11s_store_stats *ret);
