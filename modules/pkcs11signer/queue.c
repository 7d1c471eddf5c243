/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "queue.h"

#include "job.h"

#include <stdlib.h>
#include <string.h>

#define BUCKETS 256
#define TYPE_SOA 6
#define TYPE_DNSKEY 48
#define SIGNER_OFFSET 18 /* behind type, algorithm, labels, TTL, expiration, inception, tag */

/* The waiting jobs of one zone. It exists only while there are any. */
struct lane {
  uint64_t id;
  struct lane *in_bucket;
  struct lane *behind; /* whose turn is next, in the ring's order */
  struct p11s_job *first;
  struct p11s_job *last;
};

/* Lanes take turns: the front one gives a job and goes to the back. */
struct ring {
  struct lane *bucket[BUCKETS];
  struct lane *front;
  struct lane *back;
};

struct p11s_queue {
  struct ring urgent;
  struct ring normal;
  size_t length;
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
  return queue->length;
}

static struct lane **find(struct ring *ring, uint64_t id)
{
  struct lane **at = &ring->bucket[id % BUCKETS];

  while (*at != NULL && (*at)->id != id)
    at = &(*at)->in_bucket;
  return at;
}

static void to_back(struct ring *ring, struct lane *lane)
{
  lane->behind = NULL;
  if (ring->back != NULL)
    ring->back->behind = lane;
  else
    ring->front = lane;
  ring->back = lane;
}

static struct lane *get_lane(struct ring *ring, uint64_t id)
{
  struct lane **at = find(ring, id);

  if (*at != NULL)
    return *at;
  *at = calloc(1, sizeof **at);
  if (*at != NULL) {
    (*at)->id = id;
    to_back(ring, *at);
  }
  return *at;
}

bool p11s_queue_push(struct p11s_queue *queue, struct p11s_job *job)
{
  struct lane *lane = get_lane(job->urgent ? &queue->urgent : &queue->normal, job->lane);

  if (lane == NULL)
    return false;
  job->next = NULL;
  if (lane->last != NULL)
    lane->last->next = job;
  else
    lane->first = job;
  lane->last = job;
  queue->length++;
  return true;
}

static void drop_lane(struct ring *ring, struct lane *lane)
{
  *find(ring, lane->id) = lane->in_bucket;
  free(lane);
}

static struct p11s_job *pop_from(struct ring *ring)
{
  struct lane *lane = ring->front;
  struct p11s_job *job;

  if (lane == NULL)
    return NULL;
  ring->front = lane->behind;
  if (ring->front == NULL)
    ring->back = NULL;
  job = lane->first;
  lane->first = job->next;
  job->next = NULL;
  if (lane->first == NULL) {
    drop_lane(ring, lane);
  } else {
    to_back(ring, lane);
  }
  return job;
}

struct p11s_job *p11s_queue_pop(struct p11s_queue *queue)
{
  struct p11s_job *job = pop_from(&queue->urgent);

  if (job == NULL)
    job = pop_from(&queue->normal);
  if (job != NULL)
    queue->length--;
  return job;
}

/* FNV-1a over the wire form of the name. Two zones of one hash share a lane, which costs only
 * fairness. */
static uint64_t hash_name(const unsigned char *name, size_t len)
{
  uint64_t hash = 0xcbf29ce484222325U;
  size_t end = 0;

  while (end < len && name[end] != 0)
    end += (size_t)name[end] + 1;
  if (end > len)
    end = len;
  for (size_t i = 0; i < end; i++)
    hash = (hash ^ name[i]) * 0x100000001b3U;
  return hash;
}

void p11s_queue_classify(const unsigned char *message, size_t len, uint64_t *ret_lane,
                         bool *ret_urgent)
{
  unsigned type;

  *ret_lane = 0;
  *ret_urgent = false;
  if (len <= SIGNER_OFFSET)
    return;
  type = (unsigned)message[0] << 8 | message[1];
  *ret_urgent = type == TYPE_SOA || type == TYPE_DNSKEY;
  *ret_lane = hash_name(message + SIGNER_OFFSET, len - SIGNER_OFFSET);
}
