/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "token/queue.h"

#include "token/job.h"
#include "format/message.h"

#include <stdlib.h>
#include <string.h>

#define BUCKETS 256

/* The waiting jobs of one zone and kind. It exists only while there are any. */
struct p11s_lane {
  uint64_t id;
  struct ring *ring;
  struct p11s_lane *in_bucket;
  struct p11s_lane *before; /* whose turns are sooner and later, */
  struct p11s_lane *behind; /* in the ring's order */
  struct p11s_job *first;
  struct p11s_job *last;
  size_t length;
};

/* Lanes take turns: the front one gives a job and goes to the back. */
struct ring {
  struct p11s_lane *bucket[BUCKETS];
  struct p11s_lane *front;
  struct p11s_lane *back;
  size_t length; /* jobs */
};

/* In the order in which they are emptied. */
enum kind { URGENT, WAITED_FOR, LEFT_URGENT, LEFT, BACKGROUND, KINDS };

struct p11s_queue {
  struct ring ring[KINDS];
};

struct p11s_queue *p11s_queue_new(void)
{
  return calloc(1, sizeof(struct p11s_queue));
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

/* -- lanes */

static struct p11s_lane **find(struct ring *ring, uint64_t id)
{
  struct p11s_lane **at = &ring->bucket[id % BUCKETS];

  while (*at != NULL && (*at)->id != id)
    at = &(*at)->in_bucket;
  return at;
}

static void to_back(struct ring *ring, struct p11s_lane *lane)
{
  lane->before = ring->back;
  lane->behind = NULL;
  if (ring->back != NULL)
    ring->back->behind = lane;
  else
    ring->front = lane;
  ring->back = lane;
}

static void take_out(struct ring *ring, struct p11s_lane *lane)
{
  if (lane->before != NULL)
    lane->before->behind = lane->behind;
  else
    ring->front = lane->behind;
  if (lane->behind != NULL)
    lane->behind->before = lane->before;
  else
    ring->back = lane->before;
}

static struct p11s_lane *get_lane(struct ring *ring, uint64_t id)
{
  struct p11s_lane **at = find(ring, id);

  if (*at != NULL)
    return *at;
  *at = calloc(1, sizeof **at);
  if (*at != NULL) {
    (*at)->id = id;
    (*at)->ring = ring;
    to_back(ring, *at);
  }
  return *at;
}

/* -- jobs */

static void append(struct p11s_lane *lane, struct p11s_job *job)
{
  job->in = lane;
  job->before = lane->last;
  job->next = NULL;
  if (lane->last != NULL)
    lane->last->next = job;
  else
    lane->first = job;
  lane->last = job;
  lane->length++;
  lane->ring->length++;
}

/* A lane without jobs goes too. */
static void take(struct p11s_job *job)
{
  struct p11s_lane *lane = job->in;

  if (job->before != NULL)
    job->before->next = job->next;
  else
    lane->first = job->next;
  if (job->next != NULL)
    job->next->before = job->before;
  else
    lane->last = job->before;
  job->in = NULL;
  job->before = job->next = NULL;
  lane->length--;
  lane->ring->length--;
  if (lane->length == 0) {
    take_out(lane->ring, lane);
    *find(lane->ring, lane->id) = lane->in_bucket;
    free(lane);
  }
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
    lane = queue->ring[i].front;
  if (lane == NULL)
    return NULL;
  take_out(lane->ring, lane);
  to_back(lane->ring, lane);
  job = lane->first;
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
  struct p11s_lane *found = ring->front;

  for (struct p11s_lane *lane = found; lane != NULL; lane = lane->behind)
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
    out = job->in->first;
  else if (ring->length > P11S_QUEUE_LEFT)
    out = longest(ring)->first;
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
