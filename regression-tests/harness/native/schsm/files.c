/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "files.h"

#include <stdlib.h>
#include <string.h>

#define TAG_OFFSET 0x54
#define TAG_DATA 0x53

static size_t position(const struct files *f, uint16_t id)
{
  size_t at = 0;

  while (at < f->number && f->list[at]->id != id)
    at++;
  return at;
}

struct file *files_find(struct files *f, uint16_t id)
{
  size_t at = position(f, id);

  return at < f->number ? f->list[at] : NULL;
}

struct file *files_create(struct files *f, uint16_t id)
{
  struct file *file = files_find(f, id);

  if (file != NULL || f->number == FILES_MAX)
    return file;
  file = calloc(1, sizeof(*file));
  if (file == NULL)
    return NULL;
  file->id = id;
  f->list[f->number++] = file;
  return file;
}

bool files_delete(struct files *f, uint16_t id)
{
  size_t at = position(f, id);

  if (at == f->number)
    return false;
  free(f->list[at]);
  f->number--;
  for (; at < f->number; at++)
    f->list[at] = f->list[at + 1];
  return true;
}

void files_erase(struct files *f)
{
  for (size_t i = f->number; i > 0; i--) {
    if (f->list[i - 1]->id != FILE_DEVICE)
      files_delete(f, f->list[i - 1]->id);
  }
}

static bool read_offset(const struct apdu *a, size_t *ret_offset)
{
  struct tlv tlv;

  if (!tlv_find(a->data, a->lc, TAG_OFFSET, &tlv) || tlv.len != 2)
    return false;
  *ret_offset = (size_t)tlv.value[0] << 8 | tlv.value[1];
  return true;
}

enum sw file_read(const struct file *file, const struct apdu *a, struct bytes *answer)
{
  size_t offset;
  size_t len;

  if (!read_offset(a, &offset))
    return SW_WRONG_DATA;
  if (offset > file->content.len)
    offset = file->content.len;
  len = file->content.len - offset;
  if (len > a->le)
    len = a->le;
  bytes_add(answer, file->content.data + offset, len);
  return len < a->le ? SW_END_OF_FILE : SW_OK;
}

enum sw file_update(struct file *file, const struct apdu *a)
{
  struct tlv tlv;
  size_t offset;

  if (!read_offset(a, &offset) || !tlv_find(a->data, a->lc, TAG_DATA, &tlv))
    return SW_WRONG_DATA;
  if (offset > file->content.len || tlv.len > BYTES_MAX - offset)
    return SW_NO_SPACE;
  if (tlv.len > 0)
    memcpy(file->content.data + offset, tlv.value, tlv.len);
  if (offset + tlv.len > file->content.len)
    file->content.len = offset + tlv.len;
  return SW_OK;
}
