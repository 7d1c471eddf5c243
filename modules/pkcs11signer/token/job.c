/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "token/job.h"

#include "base/lock.h"

#include <string.h>

void p11s_job_init(struct p11s_job *job, const struct p11s_job_ops *ops, struct p11s_secret *pin)
{
  memset(job, 0, sizeof *job);
  job->ops = ops;
  job->pin = p11s_secret_acquire(pin);
  job->urgent = true; /* administration, and finding keys that others wait for */
  atomic_init(&job->refs, 1);
  p11s_mutex_init(&job->lock, P11S_RANK_JOB);
  p11s_cond_init(&job->changed);
}

void p11s_job_fini(struct p11s_job *job)
{
  p11s_secret_release(job->pin);
  pthread_cond_destroy(&job->changed);
  p11s_mutex_destroy(&job->lock);
}

struct p11s_job *p11s_job_acquire(struct p11s_job *job)
{
  atomic_fetch_add_explicit(&job->refs, 1, memory_order_relaxed);
  return job;
}

void p11s_job_release(struct p11s_job *job)
{
  if (job == NULL)
    return;
  if (atomic_fetch_sub_explicit(&job->refs, 1, memory_order_acq_rel) == 1)
    job->ops->destroy(job);
}

void p11s_job_finish(struct p11s_job *job, const struct p11s_error *result)
{
  p11s_lock(&job->lock);
  job->error = *result;
  job->done = true;
  p11s_unlock(&job->lock);
  /* Behind the unlock, so that who wakes up does not have to wait for it. The caller holds a
     reference. */
  pthread_cond_broadcast(&job->changed);
  if (job->ops->finished != NULL)
    job->ops->finished(job);
}

bool p11s_job_is_done(struct p11s_job *job)
{
  bool done;

  p11s_lock(&job->lock);
  done = job->done;
  p11s_unlock(&job->lock);
  return done;
}

enum p11s_err p11s_job_wait(struct p11s_job *job, uint64_t deadline_ms, struct p11s_error *e)
{
  enum p11s_err result;

  p11s_lock(&job->lock);
  while (!job->done && p11s_cond_wait_until(&job->changed, &job->lock, deadline_ms))
    ;
  result = job->done ? job->error.code
                     : p11s_error_set(e, P11S_ERR_TIMEOUT, "the token did not answer in time");
  if (job->done && result != P11S_OK && e != NULL)
    *e = job->error;
  p11s_unlock(&job->lock);
  return result;
}
