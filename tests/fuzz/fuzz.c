/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fuzz.h"

#include "base/err.h"

#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

uint8_t fuzz_byte(struct fuzz_input *in)
{
  if (in->left == 0)
    return 0;
  in->left--;
  return *in->at++;
}

char *fuzz_bytes(struct fuzz_input *in, size_t n, size_t *ret_len)
{
  char *copy;

  if (n > in->left)
    n = in->left;
  copy = malloc(n + 1);
  fuzz_must(copy != NULL, "no memory for an input");
  if (n > 0)
    memcpy(copy, in->at, n);
  copy[n] = '\0';
  in->at += n;
  in->left -= n;
  *ret_len = n;
  return copy;
}

char *fuzz_line(struct fuzz_input *in)
{
  const uint8_t *newline = in->left == 0 ? NULL : memchr(in->at, '\n', in->left);
  size_t len;
  char *line = fuzz_bytes(in, newline == NULL ? in->left : (size_t)(newline - in->at), &len);

  if (newline != NULL)
    (void)fuzz_byte(in);
  return line;
}

void fuzz_broken(const char *what)
{
  fprintf(stderr, "broken promise: %s\n", what);
  abort();
}

void fuzz_check_error(const struct p11s_error *e)
{
  fuzz_must(e->code != P11S_OK, "a failure without a code");
  fuzz_must(memchr(e->text, '\0', sizeof e->text) != NULL, "a message without an end");
  fuzz_must(e->text[0] != '\0', "a failure without a message");
  fuzz_must(strpbrk(e->text, "\n\r\t\033") == NULL, "a message of more than one line");
  fuzz_must(strstr(e->text, FUZZ_PIN) == NULL, "a message shows a PIN");
}

void fuzz_check_queue(void)
{
  fuzz_must(ERR_peek_error() == 0, "something is left in libcrypto's error queue");
}
