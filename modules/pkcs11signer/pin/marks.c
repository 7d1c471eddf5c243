/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "pin/marks.h"

#include "base/crypto.h"
#include "base/text.h"

#include <openssl/crypto.h>
#include <sodium/crypto_pwhash_scryptsalsa208sha256.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TITLE "pkcs11signer refused-pins 1\n"
#define SCRYPT_N 16384
#define SCRYPT_R 8
#define SCRYPT_P 1
#define HEX_MAX P11S_PIN_HASH_LEN
#define SIZE_AT_FIRST 16

static const char *const names[P11S_PIN_MARK_KINDS] = {"refused",  "trying",   "proven",
                                                       "unlocked", "one-more", "unclear"};

static bool make(struct p11s_pin_marks *m, size_t size)
{
  *m = (struct p11s_pin_marks){.mark = calloc(size, sizeof *m->mark), .size = size};
  return m->mark != NULL;
}

bool p11s_pin_marks_init(struct p11s_pin_marks *m)
{
  if (!make(m, SIZE_AT_FIRST))
    return false;
  if (p11s_random(m->salt, sizeof m->salt))
    return true;
  p11s_pin_marks_clear(m);
  return false;
}

bool p11s_pin_marks_copy(const struct p11s_pin_marks *m, struct p11s_pin_marks *ret)
{
  if (!make(ret, m->size > 0 ? m->size : SIZE_AT_FIRST))
    return false;
  memcpy(ret->salt, m->salt, sizeof ret->salt);
  for (; ret->count < m->count; ret->count++)
    ret->mark[ret->count] = m->mark[ret->count];
  return true;
}

void p11s_pin_marks_clear(struct p11s_pin_marks *m)
{
  free(m->mark);
  memset(m, 0, sizeof *m);
}

bool p11s_pin_token_is(const struct p11s_pin_token *token, const struct p11s_pin_token *other)
{
  return strcmp(token->serial, other->serial) == 0 && strcmp(token->label, other->label) == 0;
}

bool p11s_pin_marks_hash(const unsigned char *salt, const char *serial,
                         const struct p11s_secret *pin, unsigned char *ret_hash)
{
  unsigned char both[P11S_PIN_SALT_LEN + sizeof((struct p11s_pin_token *)NULL)->serial];
  size_t len = 0;

  memcpy(both, salt, P11S_PIN_SALT_LEN);
  for (; serial[len] != '\0'; len++) { /* the serial without its end: the lengths say where it is */
    if (P11S_PIN_SALT_LEN + len == sizeof both)
      return false;
    both[P11S_PIN_SALT_LEN + len] = (unsigned char)serial[len];
  }
  /* libsodium's: it maps its 16 MiB and gives them back, where libcrypto's leaves them with
     malloc(), once for each thread that was here. */
  return crypto_pwhash_scryptsalsa208sha256_ll(p11s_secret_data(pin), p11s_secret_len(pin), both,
                                               P11S_PIN_SALT_LEN + len, SCRYPT_N, SCRYPT_R,
                                               SCRYPT_P, ret_hash, P11S_PIN_HASH_LEN) == 0;
}

static bool matches(const struct p11s_pin_mark *mark, unsigned kinds,
                    const struct p11s_pin_token *token, const unsigned char *hash)
{
  return (kinds & 1U << mark->kind) != 0 && p11s_pin_token_is(&mark->token, token) &&
         (hash == NULL || CRYPTO_memcmp(mark->hash, hash, sizeof mark->hash) == 0);
}

const struct p11s_pin_mark *p11s_pin_marks_find(const struct p11s_pin_marks *m,
                                                enum p11s_pin_mark_kind kind,
                                                const struct p11s_pin_token *token,
                                                const unsigned char *hash)
{
  for (size_t i = m->count; i > 0; i--)
    if (matches(&m->mark[i - 1], 1U << kind, token, hash))
      return &m->mark[i - 1];
  return NULL;
}

size_t p11s_pin_marks_remove(struct p11s_pin_marks *m, unsigned kinds,
                             const struct p11s_pin_token *token, const unsigned char *hash)
{
  size_t kept = 0, before = m->count;

  for (size_t i = 0; i < before; i++)
    if (!matches(&m->mark[i], kinds, token, hash))
      m->mark[kept++] = m->mark[i];
  m->count = kept;
  m->changed = m->changed || kept < before;
  return before - kept;
}

static void remove_at(struct p11s_pin_marks *m, size_t at)
{
  m->count--;
  memmove(&m->mark[at], &m->mark[at + 1], (m->count - at) * sizeof m->mark[0]);
}

static void displace_one(struct p11s_pin_marks *m)
{
  size_t at = 0;

  while (at < m->count && (P11S_PIN_MARKS_THAT_FORBID & 1U << m->mark[at].kind) != 0)
    at++;
  remove_at(m, at < m->count ? at : 0);
}

/* Room for one more of this kind and token. */
static void displace_of_token(struct p11s_pin_marks *m, enum p11s_pin_mark_kind kind,
                              const struct p11s_pin_token *token)
{
  size_t most = kind == P11S_PIN_MARK_PROVEN ? 1 : P11S_PIN_MARKS_OF_TOKEN;
  size_t oldest = 0, others = 0;

  for (size_t i = m->count; i > 0; i--)
    if (matches(&m->mark[i - 1], 1U << kind, token, NULL)) {
      oldest = i - 1;
      others++;
    }
  if (others >= most)
    remove_at(m, oldest);
}

static bool grow(struct p11s_pin_marks *m)
{
  size_t size = 2 * m->size < P11S_PIN_MARKS_MAX ? 2 * m->size : P11S_PIN_MARKS_MAX;
  struct p11s_pin_mark *grown;

  if (m->count < m->size)
    return true;
  grown = size > m->size ? realloc(m->mark, size * sizeof *grown) : NULL;
  if (grown == NULL)
    return false;
  m->mark = grown;
  m->size = size;
  return true;
}

void p11s_pin_marks_put(struct p11s_pin_marks *m, enum p11s_pin_mark_kind kind,
                        const struct p11s_pin_token *token, const unsigned char *hash)
{
  static const unsigned char zeros[P11S_PIN_HASH_LEN];
  struct p11s_pin_mark *mark;

  if (hash == NULL)
    hash = zeros;
  if (p11s_pin_marks_find(m, kind, token, hash) != NULL)
    return;
  displace_of_token(m, kind, token);
  if (!grow(m))
    displace_one(m);
  m->changed = true;
  mark = &m->mark[m->count++];
  memset(mark, 0, sizeof *mark);
  mark->kind = kind;
  /* Not as a whole: behind their ends there must be zeros, as there are in marks that were read. */
  (void)snprintf(mark->token.serial, sizeof mark->token.serial, "%s", token->serial);
  (void)snprintf(mark->token.label, sizeof mark->token.label, "%s", token->label);
  memcpy(mark->hash, hash, sizeof mark->hash);
}

/* -- writing */

static void add_name(struct p11s_buf *out, const char *text)
{
  if (text[0] == '\0')
    p11s_buf_addstr(out, "%");
  p11s_buf_add_percent(out, text, strlen(text), "._-");
}

void p11s_pin_marks_format(const struct p11s_pin_marks *m, struct p11s_buf *out)
{
  unsigned char sum[P11S_SHA256_LEN];

  p11s_buf_addstr(out, TITLE "salt ");
  p11s_buf_add_hex(out, m->salt, sizeof m->salt);
  p11s_buf_addstr(out, "\n");
  for (size_t i = 0; i < m->count; i++) {
    const struct p11s_pin_mark *mark = &m->mark[i];

    p11s_buf_addf(out, "%s ", names[mark->kind]);
    add_name(out, mark->token.serial);
    p11s_buf_addstr(out, " ");
    add_name(out, mark->token.label);
    p11s_buf_addstr(out, " ");
    p11s_buf_add_hex(out, mark->hash, sizeof mark->hash);
    p11s_buf_addstr(out, "\n");
  }
  if (out->failed || !p11s_sha256(out->data, out->len, sum)) {
    out->failed = true;
    return;
  }
  p11s_buf_addstr(out, "end ");
  p11s_buf_add_hex(out, sum, sizeof sum);
  p11s_buf_addstr(out, "\n");
}

/* -- reading: as far as needed to write it again, which must give the same */

static bool read_name(const char *text, char *to, size_t size)
{
  size_t len = 0;

  if (strcmp(text, "%") == 0)
    text = "";
  for (; *text != '\0'; text++) {
    unsigned char byte = (unsigned char)*text;

    if (*text == '%') {
      char two[3] = {text[1], text[1] != '\0' ? text[2] : '\0', '\0'};

      if (!p11s_hex_parse(two, &byte, 1) || byte == 0)
        return false;
      text += 2;
    }
    if (len + 1 >= size)
      return false;
    to[len++] = (char)byte;
  }
  to[len] = '\0';
  return true;
}

static bool read_mark(const char *line, struct p11s_pin_mark *mark)
{
  char kind[16], serial[64], label[128], hash[2 * HEX_MAX + 1];

  memset(mark, 0, sizeof *mark);
  if (sscanf(line, "%15s %63s %127s %64s", kind, serial, label, hash) != 4)
    return false;
  for (unsigned i = 0; i < P11S_PIN_MARK_KINDS; i++)
    if (strcmp(kind, names[i]) == 0) {
      mark->kind = (enum p11s_pin_mark_kind)i;
      return read_name(serial, mark->token.serial, sizeof mark->token.serial) &&
             read_name(label, mark->token.label, sizeof mark->token.label) &&
             p11s_hex_parse(hash, mark->hash, sizeof mark->hash);
    }
  return false;
}

static enum p11s_err add_read_mark(const char *line, struct p11s_pin_marks *m)
{
  if (!grow(m))
    return m->count == P11S_PIN_MARKS_MAX ? P11S_ERR_SYNTAX : P11S_ERR_NOMEM;
  return read_mark(line, &m->mark[m->count++]) ? P11S_OK : P11S_ERR_SYNTAX;
}

static enum p11s_err read_lines(char *text, struct p11s_pin_marks *m)
{
  char *rest = NULL, *line = strtok_r(text, "\n", &rest);
  bool ended = false;

  for (unsigned number = 0; line != NULL; line = strtok_r(NULL, "\n", &rest), number++) {
    if (number == 0)
      continue; /* the title */
    if (number == 1) {
      if (strncmp(line, "salt ", 5) != 0 || !p11s_hex_parse(line + 5, m->salt, sizeof m->salt))
        return P11S_ERR_SYNTAX;
    } else if (strncmp(line, "end ", 4) == 0) {
      ended = true;
    } else {
      enum p11s_err err = ended ? P11S_ERR_SYNTAX : add_read_mark(line, m);

      if (err != P11S_OK)
        return err;
    }
  }
  return ended ? P11S_OK : P11S_ERR_SYNTAX;
}

enum p11s_err p11s_pin_marks_parse(const char *text, size_t len, struct p11s_pin_marks *ret)
{
  struct p11s_buf again = P11S_BUF_INIT;
  struct p11s_pin_marks m = {0};
  enum p11s_err err = P11S_ERR_NOMEM;
  char *copy;

  if (len > P11S_PIN_MARKS_TEXT_MAX || memchr(text, '\0', len) != NULL ||
      strncmp(text, TITLE, sizeof TITLE - 1) != 0)
    return P11S_ERR_SYNTAX;
  copy = strndup(text, len);
  if (copy != NULL && make(&m, SIZE_AT_FIRST))
    err = read_lines(copy, &m);
  if (err == P11S_OK) {
    p11s_pin_marks_format(&m, &again);
    if (again.failed)
      err = P11S_ERR_NOMEM;
    else if (again.len != len || memcmp(again.data, text, len) != 0)
      err = P11S_ERR_SYNTAX;
  }
  if (err == P11S_OK)
    *ret = m;
  else
    p11s_pin_marks_clear(&m);
  p11s_buf_clear(&again);
  free(copy);
  return err;
}
