/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "rig/store_rig.h"

#include "rig/rig.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdatomic.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static char directory[64];
static struct p11s_store *opened; /* by store_rig_open(), and not closed */
static uint32_t later;

static atomic_long clock_ahead, up_longer;

void store_rig_set_clock(long seconds)
{
  atomic_store(&clock_ahead, seconds);
}

void store_rig_set_uptime(long seconds)
{
  atomic_store(&up_longer, seconds);
}

/* Instead of libc's. */
int clock_gettime(clockid_t clock, struct timespec *ret)
{
  int result = (int)syscall(SYS_clock_gettime, clock, ret);

  if (result == 0 && clock == CLOCK_BOOTTIME)
    ret->tv_sec += atomic_load(&up_longer);
  return result;
}

time_t time(time_t *ret)
{
  struct timespec now = {0, 0};

  (void)syscall(SYS_clock_gettime, CLOCK_REALTIME, &now);
  now.tv_sec += atomic_load(&clock_ahead);
  if (ret != NULL)
    *ret = now.tv_sec;
  return now.tv_sec;
}

/* Beside the tests' build. */
static void find_probe(void)
{
  char path[512], probe[1024];
  ssize_t len = readlink("/proc/self/exe", path, sizeof path - 1);

  assert_true(len > 0);
  path[len] = '\0';
  *strstr(path, "/tests/") = '\0';
  (void)snprintf(probe, sizeof probe, "%s/modules/pkcs11signer/pkcs11signer-probe", path);
  assert_int_equal(access(probe, X_OK), 0);
  assert_int_equal(setenv("PKCS11SIGNER_PROBE", probe, 1), 0);
}

int store_rig_setup(void **state)
{
  (void)state;
  rig_watchdog();
  find_probe();
  later = (uint32_t)time(NULL) + 14 * 86400;
  (void)snprintf(directory, sizeof directory, "/tmp/p11s-store-XXXXXX");
  assert_non_null(mkdtemp(directory));
  return 0;
}

/* What a test that failed has left open is not the next one's trouble. */
int store_rig_empty(void **state)
{
  DIR *open_directory = opendir(directory);
  const struct dirent *entry;

  (void)state;
  store_rig_set_clock(0);
  store_rig_set_uptime(0);
  p11s_store_close(opened, rig_later());
  opened = NULL;
  assert_non_null(open_directory);
  while ((entry = readdir(open_directory)) != NULL)
    if (entry->d_name[0] != '.')
      assert_int_equal(unlink(store_rig_path(entry->d_name)), 0);
  closedir(open_directory);
  return 0;
}

int store_rig_teardown(void **state)
{
  (void)store_rig_empty(state);
  assert_int_equal(rmdir(directory), 0);
  return 0;
}

const char *store_rig_directory(void)
{
  return directory;
}

const char *store_rig_path(const char *name)
{
  static char path[512];

  (void)snprintf(path, sizeof path, "%s/%s", directory, name);
  return path;
}

bool store_rig_exists(const char *name)
{
  return access(store_rig_path(name), F_OK) == 0;
}

struct p11s_store *store_rig_open(size_t mib)
{
  struct p11s_store_config config = {directory, mib, NULL, false};
  struct p11s_store *store = NULL;
  struct p11s_error e;

  if (p11s_store_open(&config, &store, &e) != P11S_OK)
    fail_msg("%s", e.text);
  opened = store;
  return store;
}

void store_rig_close(struct p11s_store *store)
{
  if (!p11s_store_stop(store, rig_later()))
    fail_msg("the store's thread does not come back");
  p11s_store_close(store, rig_later());
  opened = NULL;
}

void store_rig_flush(struct p11s_store *store)
{
  if (!p11s_store_flush(store, rig_later()))
    fail_msg("the store does not write");
}

const unsigned char *store_rig_key(unsigned number)
{
  static unsigned char id[P11S_STORE_ID_LEN];

  memset(id, (int)number, sizeof id);
  return id;
}

const struct p11s_question *store_rig_question(const unsigned char *key_id,
                                               const unsigned char *message, size_t len)
{
  static struct p11s_question question;

  assert_true(p11s_question_init(&question, key_id, message, len));
  return &question;
}

uint32_t store_rig_later(void)
{
  return later;
}

size_t store_rig_message(unsigned char *message, unsigned number, uint32_t expiration)
{
  memset(message, 0, STORE_RIG_MESSAGE);
  message[1] = 1;
  message[2] = 13;
  for (unsigned i = 0; i < 4; i++) {
    message[8 + i] = (unsigned char)(expiration >> (24 - 8 * i));
    message[30 + i] = (unsigned char)(number >> (24 - 8 * i));
  }
  return 100 + number % 100;
}

static void make_signature(unsigned char *signature, unsigned key, unsigned number)
{
  for (unsigned i = 0; i < STORE_RIG_SIGNATURE; i++)
    signature[i] = (unsigned char)(key + number * i);
}

void store_rig_put(struct p11s_store *store, unsigned key, unsigned number, uint32_t expiration)
{
  unsigned char message[STORE_RIG_MESSAGE], signature[STORE_RIG_SIGNATURE];
  size_t len = store_rig_message(message, number, expiration);

  make_signature(signature, key, number);
  p11s_store_put(store, store_rig_question(store_rig_key(key), message, len), signature,
                 sizeof signature, false);
}

bool store_rig_has(struct p11s_store *store, unsigned key, unsigned number, uint32_t expiration)
{
  unsigned char message[STORE_RIG_MESSAGE], expected[STORE_RIG_SIGNATURE],
      found[P11S_STORE_MAX_SIGNATURE];
  size_t len = store_rig_message(message, number, expiration), found_len = sizeof found;

  if (!p11s_store_find_here(store, store_rig_question(store_rig_key(key), message, len), found,
                            &found_len))
    return false;
  make_signature(expected, key, number);
  return found_len == sizeof expected && memcmp(found, expected, sizeof expected) == 0;
}
