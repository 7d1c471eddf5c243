/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "token/queue.h"

#include "token/job.h"
#include "format/message.h"

#include <stdlib.h>
#include <sys/queue.h>

#define BUCKETS 256

/* The waiting jobs of one zone and kind. It exists only while there are any. */
struct p11s_lane {
  uint64_t id;
  struct ring *ring;
  LIST_ENTRY(p11s_lane) in_bucket;
  TAILQ_ENTRY(p11s_lane) in_turns;
  struct p11s_job_list jobs;
  size_t length;
};

/* Lanes take turns: the first one gives a job and becomes the last. */
struct ring {
  LIST_HEAD(lane_bucket, p11s_lane) bucket[BUCKETS];
  TAILQ_HEAD(turns, p11s_lane) turns;
  size_t length; /* jobs */
};

/* In the order in which they are emptied. */
enum kind { URGENT, WAITED_FOR, LEFT_URGENT, LEFT, BACKGROUND, KINDS };

struct p11s_queue {
  struct ring ring[KINDS];
};

struct p11s_queue *p11s_queue_new(void)
{
  struct p11s_queue *queue = calloc(1, sizeof *queue);

  for (unsigned i = 0; queue != NULL && i < KINDS; i++)
    TAILQ_INIT(&queue->ring[i].turns);
  return queue;
}

void p11s_queue_free(struct p11s_queue *queue)
{
  free(queue);
}

size_t p11s_queue_length(const struct p11s_queue *queue)
{
  size_t length = 0;

  for (unsigned i = 0; i < KINDS; i++)
    length += queue->ring[i].length;
  return length;
}

static enum kind kind_of(const struct p11s_job *job)
{
  if (job->background)
    return BACKGROUND;
  if (job->waiters > 0)
    return job->urgent ? URGENT : WAITED_FOR;
  return job->urgent ? LEFT_URGENT : LEFT;
}

static struct p11s_lane *get_lane(struct ring *ring, uint64_t id)
{
  struct lane_bucket *bucket = &ring->bucket[id % BUCKETS];
  struct p11s_lane *lane;

  LIST_FOREACH(lane, bucket, in_bucket)
  if (lane->id == id)
    return lane;
  lane = calloc(1, sizeof *lane);
  if (lane == NULL)
    return NULL;
  lane->id = id;
  lane->ring = ring;
  TAILQ_INIT(&lane->jobs);
  LIST_INSERT_HEAD(bucket, lane, in_bucket);
  TAILQ_INSERT_TAIL(&ring->turns, lane, in_turns);
  return lane;
}

static void append(struct p11s_lane *lane, struct p11s_job *job)
{
  job->in = lane;
  TAILQ_INSERT_TAIL(&lane->jobs, job, in_list);
  lane->length++;
  lane->ring->length++;
}

/* A lane without jobs goes too. */
static void take(struct p11s_job *job)
{
  struct p11s_lane *lane = job->in;

  TAILQ_REMOVE(&lane->jobs, job, in_list);
  job->in = NULL;
  lane->ring->length--;
  if (--lane->length > 0)
    return;
  TAILQ_REMOVE(&lane->ring->turns, lane, in_turns);
  LIST_REMOVE(lane, in_bucket);
  free(lane);
}

bool p11s_queue_push(struct p11s_queue *queue, struct p11s_job *job)
{
  struct p11s_lane *lane = get_lane(&queue->ring[kind_of(job)], job->lane);

  if (lane != NULL)
    append(lane, job);
  return lane != NULL;
}

struct p11s_job *p11s_queue_pop(struct p11s_queue *queue)
{
  struct p11s_lane *lane = NULL;
  struct p11s_job *job;

  for (unsigned i = 0; i < KINDS && lane == NULL; i++)
    lane = TAILQ_FIRST(&queue->ring[i].turns);
  if (lane == NULL)
    return NULL;
  TAILQ_REMOVE(&lane->ring->turns, lane, in_turns);
  TAILQ_INSERT_TAIL(&lane->ring->turns, lane, in_turns);
  job = TAILQ_FIRST(&lane->jobs);
  take(job);
  return job;
}

void p11s_queue_move(struct p11s_queue *queue, struct p11s_job *job)
{
  struct ring *ring = &queue->ring[kind_of(job)];
  struct p11s_lane *lane;

  if (job->in == NULL || job->in->ring == ring)
    return;
  lane = get_lane(ring, job->lane);
  if (lane == NULL)
    return;
  take(job);
  append(lane, job);
}

static struct p11s_lane *longest(const struct ring *ring)
{
  struct p11s_lane *found = TAILQ_FIRST(&ring->turns), *lane;

  TAILQ_FOREACH(lane, &ring->turns, in_turns)
  if (lane->length > found->length)
    found = lane;
  return found;
}

struct p11s_job *p11s_queue_take_excess(struct p11s_queue *queue, const struct p11s_job *job)
{
  struct ring *ring = &queue->ring[LEFT];
  struct p11s_job *out;

  if (job->in == NULL || job->in->ring != ring)
    return NULL;
  if (job->in->length > P11S_QUEUE_LEFT_ZONE)
    out = TAILQ_FIRST(&job->in->jobs);
  else if (ring->length > P11S_QUEUE_LEFT)
    out = TAILQ_FIRST(&longest(ring)->jobs);
  else
    return NULL;
  take(out);
  return out;
}

/* FNV-1a over the wire form of the name. Two zones of one hash share a lane, which costs only
 * fairness. */
static uint64_t hash_name(const unsigned char *name, size_t len)
{
  uint64_t hash = 0xcbf29ce484222325U;

  for (size_t i = 0; i < len; i++)
    hash = (hash ^ name[i]) * 0x100000001b3U;
  return hash;
}

void p11s_queue_classify(const unsigned char *message, size_t len, uint64_t *ret_lane,
                         bool *ret_urgent)
{
  struct p11s_message m;

  *ret_lane = 0;
  *ret_urgent = false;
  if (!p11s_message_parse(message, len, &m))
    return;
  *ret_urgent = m.type == P11S_TYPE_SOA || m.type == P11S_TYPE_DNSKEY;
  *ret_lane = hash_name(m.signer, m.signer_len);
}
