/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

/*
 * A growing string. A failed allocation is remembered in `failed` and makes
 * all further calls do nothing, so that callers check once, at the end.
 * `data` is always NUL-terminated once anything was added, else NULL.
 * Growing wipes the old block, so a secret may pass through when it is added with p11s_buf_add()
 * (printf leaves copies on the stack) and the buffer ends in p11s_buf_wipe(). No locks.
 */
struct p11s_buf {
  char *data;
  size_t len;
  size_t size;
  bool failed;
};

#define P11S_BUF_INIT                                                                              \
  {                                                                                                \
    NULL, 0, 0, false                                                                              \
  }

void p11s_buf_add(struct p11s_buf *b, const void *data, size_t len);
void p11s_buf_addstr(struct p11s_buf *b, const char *text);
void p11s_buf_addf(struct p11s_buf *b, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void p11s_buf_addvf(struct p11s_buf *b, const char *format, va_list args);

/* One word of a shell command, in quotes where it needs them. */
void p11s_buf_add_shell(struct p11s_buf *b, const char *word);

/* Two digits a byte, in lower case. */
void p11s_buf_add_hex(struct p11s_buf *b, const void *data, size_t len);
/* With padding, on one line. */
void p11s_buf_add_base64(struct p11s_buf *b, const void *data, size_t len);
/* RFC 3986, 2.1: letters, digits and the characters of plain as they are, others as %HH. */
void p11s_buf_add_percent(struct p11s_buf *b, const void *data, size_t len, const char *plain);

/* The text so far, "" when there is none. Borrowed until the next call. */
const char *p11s_buf_text(const struct p11s_buf *b);

/* A buffer may hold several texts, each with its NUL. This adds one. */
void p11s_buf_add_text(struct p11s_buf *b, const char *text);
/* The text behind after, or the first one (NULL). NULL: there is none. Borrowed as above. */
const char *p11s_buf_next_text(const struct p11s_buf *b, const char *after);

/* Frees the memory and makes *b empty again. */
void p11s_buf_clear(struct p11s_buf *b);
/* The same, and overwrites the memory first. */
void p11s_buf_wipe(struct p11s_buf *b);
