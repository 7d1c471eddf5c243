/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "store/record.h"

#include <sys/queue.h>

/*
 * One write, and the bounded queue in which writes wait for a thread: that of the file
 * (store/store.c), or that of the fleet's table (store/fleet/write.c).
 *
 * A write belongs to its queue, or to the caller who has taken it out. The caller holds the lock
 * that guards the queue.
 */
enum p11s_op_kind {
  P11S_OP_PUT,
  P11S_OP_PUT_PUBLIC, /* in the file only */
  P11S_OP_USED,
  P11S_OP_FORGET,
  P11S_OP_ABANDON, /* a claim; in the fleet's table only */
};
struct p11s_op {
  STAILQ_ENTRY(p11s_op) link;
  enum p11s_op_kind kind;
  unsigned char key[P11S_RECORD_KEY_LEN]; /* of a public key, the first P11S_STORE_ID_LEN bytes */
  unsigned char id[P11S_STORE_ID_LEN];    /* of the row; set by store/fleet/write.c */
  size_t size;                            /* the bytes that it counts for in its queue */
  size_t len;
  unsigned char value[]; /* as it stands in the file */
};
STAILQ_HEAD(p11s_ops, p11s_op);

/* value: len bytes, copied. NULL: no memory. */
struct p11s_op *p11s_op_new(enum p11s_op_kind kind, const unsigned char *key, size_t key_len,
                            const unsigned char *value, size_t len);
/* A P11S_OP_PUT of that record. NULL: no memory. */
struct p11s_op *p11s_op_new_put(const unsigned char *key, const struct p11s_store_record *record);
/* The list is empty then. */
void p11s_ops_free(struct p11s_ops *ops);

struct p11s_op_queue {
  struct p11s_ops ops;
  size_t count;
  size_t bytes;
  uint64_t in;  /* how many were ever added */
  uint64_t out; /* how many of those are done or dropped; counted by the caller */
};

void p11s_op_queue_init(struct p11s_op_queue *queue);
/* Adds op, which counts for size bytes. false: the queue is full. */
bool p11s_op_queue_add(struct p11s_op_queue *queue, struct p11s_op *op, size_t size);
/* Moves the first ones to the end of ops, and returns how many: at most `most`; no more than
   most_bytes, but at least one. with one_kind: all of the kind of the first. */
size_t p11s_op_queue_take(struct p11s_op_queue *queue, struct p11s_ops *ops, size_t most,
                          size_t most_bytes, bool one_kind);
