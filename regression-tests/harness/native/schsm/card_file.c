/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "card.h"

#include <string.h>

#include "state.h"

#define BY_NAME 4
#define NO_ANSWER 0x0c

enum tag {
  TAG_FCI = 0x6f,
  TAG_FCP = 0x62,
  TAG_SIZE = 0x80,
  TAG_DESCRIPTOR = 0x82,
  TAG_ID = 0x83,
  TAG_NAME = 0x84,
  TAG_PROPRIETARY = 0x85,
};

static const uint8_t applet[] = {0xe8, 0x2b, 0x06, 0x01, 0x04, 0x01, 0x81, 0xc3, 0x1f, 0x02, 0x01};

/* What follows the options in the applet's description: its kind and its version, 3.5. */
static const uint8_t version[] = {0x00, 3, 5};

static enum sw select_applet(struct card *c, const struct apdu *a, struct bytes *answer)
{
  struct bytes about = {0};
  struct bytes inner = {0};

  if (a->lc != sizeof(applet) || memcmp(a->data, applet, sizeof(applet)) != 0)
    return SW_FILE_NOT_FOUND;
  /* Whoever selects it anew logs out: that is how OpenSC does it. */
  c->selected = true;
  c->logged_in = false;
  c->current = NULL;
  bytes_add_byte(&about, 0);
  bytes_add_byte(&about, c->memory.options);
  bytes_add(&about, version, sizeof(version));
  tlv_add(&inner, TAG_NAME, applet, sizeof(applet));
  tlv_add_bytes(&inner, TAG_PROPRIETARY, &about);
  if (a->p2 != NO_ANSWER)
    tlv_add_bytes(answer, TAG_FCI, &inner);
  return SW_OK;
}

static bool has_key(const struct card *c, uint16_t id)
{
  return id >> 8 == FILE_KEY && c->memory.keys.list[id & 0xff] != NULL;
}

static enum sw select_file(struct card *c, const struct apdu *a, struct bytes *answer)
{
  static const uint8_t descriptor = 0x01; /* a transparent elementary file */
  struct bytes size = {0};
  struct bytes inner = {0};
  struct file *file;
  uint16_t id;

  if (!c->selected || a->p1 != 0 || a->lc != 2)
    return SW_FILE_NOT_FOUND;
  id = (uint16_t)(a->data[0] << 8 | a->data[1]);
  file = files_find(&c->memory.files, id);
  if (file == NULL && !has_key(c, id))
    return SW_FILE_NOT_FOUND;
  c->current = file;
  bytes_add_pair(&size, file != NULL ? (unsigned)file->content.len : 0);
  tlv_add_bytes(&inner, TAG_SIZE, &size);
  tlv_add(&inner, TAG_DESCRIPTOR, &descriptor, 1);
  tlv_add(&inner, TAG_ID, a->data, 2);
  if (a->p2 != NO_ANSWER)
    tlv_add_bytes(answer, TAG_FCP, &inner);
  return SW_OK;
}

/* With the device's own key, number 0: from 0.26 on, OpenSC takes the first number that is free,
 * and never looks at a key of that number. */
static enum sw enumerate(struct card *c, struct bytes *answer)
{
  for (unsigned i = 0; i < KEYS_MAX; i++) {
    if (i == 0 || c->memory.keys.list[i] != NULL)
      bytes_add_pair(answer, (unsigned)FILE_KEY << 8 | i);
  }
  for (size_t i = 0; i < c->memory.files.number; i++)
    bytes_add_pair(answer, c->memory.files.list[i]->id);
  return SW_OK;
}

static enum sw read_binary(struct card *c, const struct apdu *a, struct bytes *answer)
{
  uint16_t id = (uint16_t)(a->p1 << 8 | a->p2);

  if (id != 0)
    c->current = files_find(&c->memory.files, id);
  if (c->current == NULL)
    return id != 0 ? SW_FILE_NOT_FOUND : SW_NO_CURRENT_EF;
  if (c->current->id >> 8 == FILE_PROTECTED && !c->logged_in)
    return SW_SECURITY_STATUS;
  return file_read(c->current, a, answer);
}

static enum sw update_binary(struct card *c, const struct apdu *a)
{
  uint16_t id = (uint16_t)(a->p1 << 8 | a->p2);
  enum sw sw;

  if (!c->logged_in || id == FILE_DEVICE)
    return SW_SECURITY_STATUS;
  if (id != 0)
    c->current = files_create(&c->memory.files, id);
  if (c->current == NULL)
    return id != 0 ? SW_NO_SPACE : SW_NO_CURRENT_EF;
  sw = file_update(c->current, a);
  if (sw == SW_OK && !state_save(&c->memory, c->path))
    return SW_ERROR;
  return sw;
}

static enum sw delete_file(struct card *c, const struct apdu *a)
{
  uint16_t id;

  if (a->lc != 2)
    return SW_WRONG_LENGTH;
  id = (uint16_t)(a->data[0] << 8 | a->data[1]);
  if (!c->logged_in || id == FILE_DEVICE)
    return SW_SECURITY_STATUS;
  c->current = NULL;
  if (has_key(c, id))
    keys_put(&c->memory.keys, id & 0xff, NULL);
  else if (!files_delete(&c->memory.files, id))
    return SW_FILE_NOT_FOUND;
  return state_save(&c->memory, c->path) ? SW_OK : SW_ERROR;
}

enum sw card_file_command(struct card *c, const struct apdu *a, struct bytes *answer)
{
  switch (a->ins) {
  case 0xa4:
    return a->p1 == BY_NAME ? select_applet(c, a, answer) : select_file(c, a, answer);
  case 0x58:
    return enumerate(c, answer);
  case 0xb1:
    return read_binary(c, a, answer);
  case 0xd7:
    return update_binary(c, a);
  default:
    return delete_file(c, a);
  }
}
