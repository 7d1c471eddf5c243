/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "apdu.h"
#include "bytes.h"

#define FILES_MAX 256

/* The first byte of a file's identifier says what is in it. */
enum file_kind {
  FILE_KEY = 0xcc,       /* a private key, which is in no file */
  FILE_PROTECTED = 0xcd, /* read after login only */
};
enum file_id {
  FILE_DEVICE = 0x2f02, /* the device's certificate */
};

struct file {
  uint16_t id;
  struct bytes content;
};

/* The elementary files, in the order in which they were made. */
struct files {
  size_t number;
  struct file *list[FILES_MAX];
};

/* Borrowed; NULL when there is none. */
struct file *files_find(struct files *f, uint16_t id);
/* An empty one, or the one that is there; NULL when the card is full. */
struct file *files_create(struct files *f, uint16_t id);
/* False when there is none. */
bool files_delete(struct files *f, uint16_t id);
/* All but the device's certificate. */
void files_erase(struct files *f);

/* READ and UPDATE BINARY with a data field: a TLV 54 with the offset; for UPDATE 53 with the data.
 */
enum sw file_read(const struct file *file, const struct apdu *a, struct bytes *answer);
enum sw file_update(struct file *file, const struct apdu *a);
