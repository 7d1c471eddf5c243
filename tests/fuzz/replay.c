/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Runs a fuzz target over files, without libFuzzer. */
#include "fuzz.h"

#include <stdio.h>
#include <stdlib.h>

#define INPUT_MAX ((size_t)1 << 20)

static int replay(const char *path)
{
  FILE *file = fopen(path, "rb");
  uint8_t *data;
  size_t size;

  if (file == NULL) {
    perror(path);
    return 1;
  }
  data = malloc(INPUT_MAX);
  fuzz_must(data != NULL, "no memory for an input");
  size = fread(data, 1, INPUT_MAX, file);
  (void)fclose(file);
  /* A block of its own size: a sanitizer sees a read behind its end. */
  if (size > 0) {
    uint8_t *exact = realloc(data, size);
    fuzz_must(exact != NULL, "no memory for an input");
    data = exact;
  }
  (void)LLVMFuzzerTestOneInput(data, size);
  free(data);
  return 0;
}

int main(int argc, char **argv)
{
  int failed = 0;

  (void)LLVMFuzzerInitialize(&argc, &argv);
  for (int i = 1; i < argc; i++)
    failed |= replay(argv[i]);
  return failed;
}
