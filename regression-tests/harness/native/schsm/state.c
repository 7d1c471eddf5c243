/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "state.h"

#include <errno.h>
#include <limits.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A name, three numbers and a file's content. */
#define LINE_MAX_LEN (2 * BYTES_MAX + 128)

bool state_exists(const char *path)
{
  return access(path, F_OK) == 0;
}

/* -- writing */

static void put(FILE *out, const char *name, unsigned a, unsigned b, unsigned c,
                const struct bytes *data)
{
  fprintf(out, "%s %x %x %x ", name, a, b, c);
  for (size_t i = 0; i < data->len; i++)
    fprintf(out, "%02x", data->data[i]);
  fputc('\n', out);
}

static void put_pin(FILE *out, const char *name, const struct pin *p)
{
  struct bytes hash = {0};

  bytes_add(&hash, p->hash, sizeof(p->hash));
  put(out, name, (unsigned)p->len, p->tries, p->left, &hash);
}

static void put_key(FILE *out, const char *name, unsigned id, EVP_PKEY *key)
{
  struct bytes der = {0};
  uint8_t *at = der.data;
  int len = i2d_PrivateKey(key, NULL);

  if (len > 0 && len <= BYTES_MAX)
    der.len = (size_t)i2d_PrivateKey(key, &at);
  put(out, name, id, 0, 0, &der);
}

static void put_all(FILE *out, const struct memory *m)
{
  struct bytes serial = {0};

  bytes_add(&serial, m->serial, strlen(m->serial));
  put(out, "card", m->options, 0, 0, &serial);
  put_key(out, "device", 0, m->device_key);
  put_pin(out, "user", &m->user);
  put_pin(out, "officer", &m->officer);
  for (size_t i = 0; i < m->files.number; i++)
    put(out, "file", m->files.list[i]->id, 0, 0, &m->files.list[i]->content);
  for (unsigned i = 0; i < KEYS_MAX; i++) {
    if (m->keys.list[i] != NULL)
      put_key(out, "key", i, m->keys.list[i]);
  }
}

bool state_save(const struct memory *m, const char *path)
{
  char temporary[PATH_MAX];
  FILE *out;
  bool good;

  snprintf(temporary, sizeof(temporary), "%s.new", path);
  out = fopen(temporary, "we");
  if (out == NULL) {
    fprintf(stderr, "schsm: %s: %s\n", temporary, strerror(errno));
    return false;
  }
  put_all(out, m);
  good = !ferror(out);
  good = fclose(out) == 0 && good && rename(temporary, path) == 0;
  if (!good)
    fprintf(stderr, "schsm: %s: %s\n", path, strerror(errno));
  return good;
}

/* -- reading */

struct line {
  char name[16];
  unsigned number[3];
  struct bytes data;
};

static bool parse_line(struct line *l, char *text)
{
  char *rest = NULL;
  char *word = strtok_r(text, " \n", &rest);

  if (word == NULL)
    return false;
  snprintf(l->name, sizeof(l->name), "%s", word);
  for (size_t i = 0; i < 3; i++) {
    word = strtok_r(NULL, " \n", &rest);
    if (word == NULL)
      return false;
    l->number[i] = (unsigned)strtoul(word, NULL, 16);
  }
  word = strtok_r(NULL, " \n", &rest);
  return bytes_parse(&l->data, word != NULL ? word : "");
}

static bool take_pin(struct pin *p, const struct line *l)
{
  if (l->data.len != sizeof(p->hash))
    return false;
  p->len = l->number[0];
  p->tries = l->number[1];
  p->left = l->number[2];
  memcpy(p->hash, l->data.data, sizeof(p->hash));
  return true;
}

static bool take_file(struct files *f, const struct line *l)
{
  struct file *file = files_create(f, (uint16_t)l->number[0]);

  if (file != NULL)
    file->content = l->data;
  return file != NULL;
}

static EVP_PKEY *take_key(const struct line *l)
{
  const uint8_t *at = l->data.data;

  return d2i_AutoPrivateKey(NULL, &at, (long)l->data.len);
}

static bool take(struct memory *m, const struct line *l)
{
  if (strcmp(l->name, "card") == 0) {
    m->options = l->number[0];
    snprintf(m->serial, sizeof(m->serial), "%.*s", (int)l->data.len, (const char *)l->data.data);
    return true;
  }
  if (strcmp(l->name, "device") == 0)
    return (m->device_key = take_key(l)) != NULL;
  if (strcmp(l->name, "user") == 0)
    return take_pin(&m->user, l);
  if (strcmp(l->name, "officer") == 0)
    return take_pin(&m->officer, l);
  if (strcmp(l->name, "file") == 0)
    return take_file(&m->files, l);
  if (strcmp(l->name, "key") != 0 || l->number[0] >= KEYS_MAX)
    return false;
  keys_put(&m->keys, l->number[0], take_key(l));
  return m->keys.list[l->number[0]] != NULL;
}

bool state_load(struct memory *ret_memory, const char *path)
{
  static char text[LINE_MAX_LEN];
  static struct line line;
  FILE *in = fopen(path, "re");
  bool good = in != NULL;

  while (good && fgets(text, sizeof(text), in) != NULL)
    good = parse_line(&line, text) && take(ret_memory, &line);
  if (in != NULL)
    fclose(in);
  return good && ret_memory->device_key != NULL;
}
