/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef P11S_QUEUE_H
#define P11S_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The order of waiting work: urgent jobs (DNSKEY and SOA, without which a zone
 * is gone for resolvers) before all others, and within each kind one job of
 * each zone in turn, so that one zone's flood of new names does not keep the
 * others' signatures waiting. Jobs of one zone keep their order. Behind all of these come those of
 * the background, in their order.
 *
 * No lock of its own: guarded by its owner's. Jobs are not owned.
 */
struct p11s_job;
struct p11s_queue;

struct p11s_queue *p11s_queue_new(void);
/* The queue must be empty. NULL is allowed. */
void p11s_queue_free(struct p11s_queue *queue);

/* By job->lane, job->urgent and job->background. false when there is no memory. */
bool p11s_queue_push(struct p11s_queue *queue, struct p11s_job *job);
/* The one whose turn it is, or NULL. */
struct p11s_job *p11s_queue_pop(struct p11s_queue *queue);
/* A job of the background that waits in it is one of the others from now on; any other is left as
   it is. false: no memory, it stays in the background. */
bool p11s_queue_promote(struct p11s_queue *queue, struct p11s_job *job);
size_t p11s_queue_length(const struct p11s_queue *queue);

/* Where a message to be signed belongs, by the type that it covers and the signer's name (week.h).
   What is no such message goes to lane 0. */
void p11s_queue_classify(const unsigned char *message, size_t len, uint64_t *ret_lane,
                         bool *ret_urgent);

#endif
