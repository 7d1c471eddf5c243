/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Looks signatures up in a store of many.
 *
 *   storebench DIRECTORY RECORDS LOOKUPS
 *
 * Prints, a line each with its name: the median, the 99th percentile and the longest look-up in
 * microseconds, seconds to fill the store, its size in MiB, and seconds to open it after a clean
 * end and after a kill. Linked with the core. The directory is to be empty.
 */
#include "base/lock.h"
#include "store/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define KEYS 100
#define MESSAGE_LEN 150
#define SIGNATURE_LEN 64
#define SIZE_MIB 4096
#define MANY 5000
#define DEADLINE_MS 600000

static uint64_t now_ns(void)
{
  struct timespec t;

  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static struct p11s_store *open_store(const char *directory, double *ret_seconds)
{
  struct p11s_store_config config = {directory, SIZE_MIB, NULL};
  uint64_t before = now_ns();
  struct p11s_store *store = NULL;
  struct p11s_error e;

  if (p11s_store_open(&config, &store, &e) != P11S_OK) {
    fprintf(stderr, "storebench: %s\n", e.text);
    exit(1);
  }
  *ret_seconds = (double)(now_ns() - before) / 1e9;
  return store;
}

static void close_store(struct p11s_store *store)
{
  p11s_store_close(store, p11s_now_ms() + DEADLINE_MS);
}

/* An RRSIG's RDATA that does not expire soon, and something that differs. */
static void make(unsigned long number, unsigned char *key, unsigned char *message)
{
  memset(key, (int)(number % KEYS), P11S_STORE_ID_LEN);
  memset(message, 0, MESSAGE_LEN);
  memset(message + 8, 0x7f, 4);
  memcpy(message + 40, &number, sizeof number);
}

static void fill(struct p11s_store *store, unsigned long records)
{
  unsigned char key[P11S_STORE_ID_LEN], message[MESSAGE_LEN], signature[SIGNATURE_LEN] = {1};
  struct p11s_question q;

  for (unsigned long i = 0; i < records; i++) {
    make(i, key, message);
    if (p11s_question_init(&q, key, message, sizeof message))
      p11s_store_put(store, &q, signature, sizeof signature, false);
    if (i % MANY == MANY - 1)
      p11s_store_flush(store, p11s_now_ms() + DEADLINE_MS);
  }
  p11s_store_flush(store, p11s_now_ms() + DEADLINE_MS);
}

static int by_size(const void *a, const void *b)
{
  const unsigned *x = a, *y = b;

  return *x < *y ? -1 : *x > *y;
}

static void look_up(struct p11s_store *store, unsigned long records, unsigned long count)
{
  unsigned char key[P11S_STORE_ID_LEN], message[MESSAGE_LEN], signature[P11S_STORE_MAX_SIGNATURE];
  unsigned *took = calloc(count, sizeof *took);
  unsigned long found = 0;
  unsigned seed = 1;

  for (unsigned long i = 0; took != NULL && i < count; i++) {
    unsigned long number =
        ((unsigned long)rand_r(&seed) << 15 ^ (unsigned long)rand_r(&seed)) % records;
    size_t len = sizeof signature;
    struct p11s_question q;
    uint64_t before;

    make(number, key, message);
    before = now_ns();
    found += p11s_question_init(&q, key, message, sizeof message) &&
             p11s_store_find_here(store, &q, signature, &len);
    took[i] = (unsigned)(now_ns() - before);
  }
  if (took == NULL || found != count) {
    fprintf(stderr, "storebench: found %lu of %lu\n", found, count);
    exit(1);
  }
  qsort(took, count, sizeof *took, by_size);
  printf("median %.2f\np99 %.2f\nlongest %.2f\n", took[count / 2] / 1e3,
         took[count / 100 * 99] / 1e3, took[count - 1] / 1e3);
  free(took);
}

int main(int argc, char **argv)
{
  struct p11s_store_stats stats;
  struct p11s_store *store;
  unsigned long records;
  double seconds;
  uint64_t before;
  char guard[512];

  if (argc != 4 || (records = strtoul(argv[2], NULL, 10)) == 0) {
    fprintf(stderr, "usage: storebench DIRECTORY RECORDS LOOKUPS\n");
    return 2;
  }
  store = open_store(argv[1], &seconds);
  before = now_ns();
  fill(store, records);
  printf("fill %.2f\n", (double)(now_ns() - before) / 1e9);
  close_store(store);
  store = open_store(argv[1], &seconds);
  printf("open %.3f\n", seconds);
  look_up(store, records, strtoul(argv[3], NULL, 10));
  p11s_store_get_stats(store, &stats);
  printf("mib %.0f\n", (double)stats.used_bytes / 1048576);
  close_store(store);
  (void)snprintf(guard, sizeof guard, "%s/signatures.guard", argv[1]);
  (void)truncate(guard, 0);
  close_store(open_store(argv[1], &seconds));
  printf("recover %.2f\n", seconds);
  return 0;
}
