/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/secret.h"

#include <openssl/crypto.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Lies at the start of its own mapping, or in ordinary memory. */
struct p11s_secret {
  atomic_size_t references;
  size_t mapped; /* 0: ordinary memory */
  size_t len;
  unsigned char data[];
};

static struct p11s_secret *fill(struct p11s_secret *s, size_t mapped, const void *data, size_t len)
{
  atomic_init(&s->references, 1);
  s->mapped = mapped;
  s->len = len;
  if (len > 0)
    memcpy(s->data, data, len);
  s->data[len] = '\0';
  return s;
}

struct p11s_secret *p11s_secret_new_open(const void *data, size_t len)
{
  struct p11s_secret *s = len < SIZE_MAX / 2 ? malloc(sizeof *s + len + 1) : NULL;

  return s != NULL ? fill(s, 0, data, len) : NULL;
}

struct p11s_secret *p11s_secret_new(const void *data, size_t len)
{
  size_t page = (size_t)sysconf(_SC_PAGESIZE);
  size_t need = sizeof(struct p11s_secret) + 1;
  size_t size;
  void *at;

  if (len > SIZE_MAX / 2 - need - page)
    return NULL;
  size = (need + len + page - 1) / page * page;
  at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (at == MAP_FAILED)
    return NULL;
  /* both before the bytes arrive; where they are not allowed, a secret still works */
  (void)madvise(at, size, MADV_DONTDUMP);
  (void)mlock(at, size);
  return fill(at, size, data, len);
}

struct p11s_secret *p11s_secret_acquire(struct p11s_secret *s)
{
  if (s != NULL)
    atomic_fetch_add_explicit(&s->references, 1, memory_order_relaxed);
  return s;
}

void p11s_secret_release(struct p11s_secret *s)
{
  size_t mapped;

  if (s == NULL)
    return;
  /* the last one must see all that the others did before they let go */
  if (atomic_fetch_sub_explicit(&s->references, 1, memory_order_acq_rel) != 1)
    return;
  mapped = s->mapped;
  if (mapped == 0) {
    free(s);
    return;
  }
  p11s_wipe(s, mapped);
  (void)munmap(s, mapped);
}

const unsigned char *p11s_secret_data(const struct p11s_secret *s)
{
  return s == NULL ? (const unsigned char *)"" : s->data;
}

size_t p11s_secret_len(const struct p11s_secret *s)
{
  return s == NULL ? 0 : s->len;
}

void p11s_wipe(void *data, size_t len)
{
  OPENSSL_cleanse(data, len);
}
