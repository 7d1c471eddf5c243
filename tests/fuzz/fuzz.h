/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * What the fuzz targets share. A target is one program: with libFuzzer it makes
 * up its inputs, with replay.c it reads them from files. README.md says how to
 * run both.
 */

/* libFuzzer's two functions; each target has its own. */
int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A PIN as it stands in the corpus: no message may ever show it. */
#define FUZZ_PIN "s3cr3t-PIN"

/* What is left of an input. */
struct fuzz_input {
  const uint8_t *at;
  size_t left;
};

/* 0 at the end. */
uint8_t fuzz_byte(struct fuzz_input *in);
/* The next n bytes, or what there is; the caller frees. Never NULL, NUL-terminated behind *ret_len.
 */
char *fuzz_bytes(struct fuzz_input *in, size_t n, size_t *ret_len);
/* Up to the next newline, which is dropped; ends at a NUL, too. The caller frees. */
char *fuzz_line(struct fuzz_input *in);

/* Aborts, which counts as a crash, when the core broke a promise. */
_Noreturn void fuzz_broken(const char *what);
static inline void fuzz_must(bool holds, const char *what)
{
  if (!holds)
    fuzz_broken(what);
}

struct p11s_error;
/* A message is one line, not empty, and does not hold FUZZ_PIN. */
void fuzz_check_error(const struct p11s_error *e);
/* libcrypto's error queue is as it was found: empty. */
void fuzz_check_queue(void);
