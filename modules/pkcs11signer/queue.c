/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "queue.h"

#include "job.h"
#include "week.h"

#include <stdlib.h>
#include <string.h>

#define BUCKETS 256

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
  struct p11s_job *background; /* by their next; few, as nobody waits for them */
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

static bool push_background(struct p11s_queue *queue, struct p11s_job *job)
{
  struct p11s_job **last = &queue->background;

  while (*last != NULL)
    last = &(*last)->next;
  job->next = NULL;
  *last = job;
  queue->length++;
  return true;
}

bool p11s_queue_push(struct p11s_queue *queue, struct p11s_job *job)
{
  struct lane *lane;

  if (job->background)
    return push_background(queue, job);
  lane = get_lane(job->urgent ? &queue->urgent : &queue->normal, job->lane);
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

static struct p11s_job *pop_background(struct p11s_queue *queue)
{
  struct p11s_job *job = queue->background;

  if (job != NULL) {
    queue->background = job->next;
    job->next = NULL;
  }
  return job;
}

struct p11s_job *p11s_queue_pop(struct p11s_queue *queue)
{
  struct p11s_job *job = pop_from(&queue->urgent);

  if (job == NULL)
    job = pop_from(&queue->normal);
  if (job == NULL)
    job = pop_background(queue);
  if (job != NULL)
    queue->length--;
  return job;
}

bool p11s_queue_promote(struct p11s_queue *queue, struct p11s_job *job)
{
  struct p11s_job **at = &queue->background, *next;

  while (*at != NULL && *at != job)
    at = &(*at)->next;
  if (*at == NULL)
    return true;
  next = job->next;
  job->background = false;
  if (!p11s_queue_push(queue, job)) {
    job->background = true;
    return false;
  }
  *at = next;
  queue->length--; /* pushed once more */
  return true;
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
