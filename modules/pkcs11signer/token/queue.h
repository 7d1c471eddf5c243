/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The order of waiting work: what somebody waits for, then what nobody waits for any more, then the
 * background. Each kind has its urgent jobs (DNSKEY and SOA, without which a zone is gone for
 * resolvers) before all others, and of these one job of each zone in turn, so that one zone's flood
 * of new names does not keep the others' signatures waiting. Jobs of one zone keep their order.
 *
 * Each job that is waited for has a thread that waits, so their number needs no limit here. What
 * nobody waits for is kept for whoever asks again: P11S_QUEUE_LEFT_ZONE jobs of a zone, and
 * P11S_QUEUE_LEFT of all zones; urgent ones, a few for each zone, do not count.
 *
 * No lock of its own: guarded by its owner's. Jobs are not owned.
 */
struct p11s_job;
struct p11s_queue;

#define P11S_QUEUE_LEFT_ZONE 100
#define P11S_QUEUE_LEFT 1000

struct p11s_queue *p11s_queue_new(void);
/* The queue must be empty. NULL is allowed. */
void p11s_queue_free(struct p11s_queue *queue);

/* By job->waiters, background, urgent and lane. false when there is no memory. */
bool p11s_queue_push(struct p11s_queue *queue, struct p11s_job *job);
/* The one whose turn it is, or NULL. */
struct p11s_job *p11s_queue_pop(struct p11s_queue *queue);
/* job->waiters or background has changed: it goes to the end of where it belongs now. Without
   memory it stays where it is; one that is not in the queue is left alone. */
void p11s_queue_move(struct p11s_queue *queue, struct p11s_job *job);
/* Behind a push or a move of job: takes out the one that is too many, if there is, which is the
   oldest of the job's zone, or of the zone that has most. */
struct p11s_job *p11s_queue_take_excess(struct p11s_queue *queue, const struct p11s_job *job);
size_t p11s_queue_length(const struct p11s_queue *queue);

/* Where a message to be signed belongs, by the type that it covers and the signer's name
   (format/message.h). What is no such message goes to lane 0. */
void p11s_queue_classify(const unsigned char *message, size_t len, uint64_t *ret_lane,
                         bool *ret_urgent);
