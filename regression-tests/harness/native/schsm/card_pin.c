/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "card.h"

#include <string.h>

#include "state.h"

#define USER 0x81
#define OFFICER 0x88
#define OFFICER_LEN 8
#define OFFICER_TRIES 15
#define LEAST 6
#define MOST 16
#define OPTION_RESET 0x01

/* Of INITIALIZE DEVICE. */
enum tag {
  TAG_OPTIONS = 0x80,
  TAG_USER_PIN = 0x81,
  TAG_CODE = 0x82,
  TAG_TRIES = 0x91,
};

static enum sw save(struct card *c, enum sw sw)
{
  return state_save(&c->memory, c->path) ? sw : SW_ERROR;
}

static enum sw verify(struct card *c, const struct apdu *a)
{
  enum sw sw;

  if (a->p2 == OFFICER)
    return c->memory.officer.len > 0 ? pin_status(&c->memory.officer) : SW_NOT_FOUND;
  if (a->p2 != USER)
    return SW_NOT_FOUND;
  if (c->memory.user.len == 0)
    return SW_NOT_USABLE;
  if (a->lc == 0)
    return c->logged_in ? SW_OK : pin_status(&c->memory.user);
  c->verifies++;
  sw = pin_verify(&c->memory.user, a->data, a->lc);
  c->logged_in = sw == SW_OK;
  return save(c, sw);
}

static enum sw change(struct card *c, const struct apdu *a)
{
  struct pin *pin = a->p2 == OFFICER ? &c->memory.officer : &c->memory.user;
  size_t old_len = pin->len;
  size_t new_len = a->lc - old_len;
  enum sw sw;

  if (a->p2 != OFFICER && a->p2 != USER)
    return SW_NOT_FOUND;
  if (old_len == 0)
    return SW_NOT_USABLE;
  if (a->lc < old_len || new_len < LEAST || new_len > MOST)
    return SW_WRONG_LENGTH;
  sw = pin_verify(pin, a->data, old_len);
  if (sw == SW_OK)
    pin_set(pin, a->data + old_len, new_len, pin->tries);
  return save(c, sw);
}

/* With the officer's PIN: all tries back, and with P1 0 a new PIN. */
static enum sw reset_retry(struct card *c, const struct apdu *a)
{
  struct pin *user = &c->memory.user;
  size_t new_len = a->lc - OFFICER_LEN;
  enum sw sw;

  if (a->p2 != USER || user->len == 0 || !(c->memory.options & OPTION_RESET))
    return SW_CONDITIONS;
  if (a->lc < OFFICER_LEN || (a->p1 == 0 && (new_len < LEAST || new_len > MOST)))
    return SW_WRONG_LENGTH;
  sw = pin_verify(&c->memory.officer, a->data, OFFICER_LEN);
  if (sw == SW_OK && a->p1 == 0)
    pin_set(user, a->data + OFFICER_LEN, new_len, user->tries);
  else if (sw == SW_OK)
    user->left = user->tries;
  c->logged_in = false;
  return save(c, sw);
}

enum sw card_pin_command(struct card *c, const struct apdu *a)
{
  if (a->ins == 0x20)
    return verify(c, a);
  return a->ins == 0x24 ? change(c, a) : reset_retry(c, a);
}

enum sw card_initialize(struct card *c, const struct apdu *a)
{
  struct memory *m = &c->memory;
  struct tlv options;
  struct tlv user;
  struct tlv code;
  struct tlv tries;
  enum sw sw;

  if (!tlv_find(a->data, a->lc, TAG_OPTIONS, &options) || options.len != 2 ||
      !tlv_find(a->data, a->lc, TAG_USER_PIN, &user) || user.len < LEAST || user.len > MOST ||
      !tlv_find(a->data, a->lc, TAG_CODE, &code) || code.len != OFFICER_LEN ||
      !tlv_find(a->data, a->lc, TAG_TRIES, &tries) || tries.len != 1 || tries.value[0] == 0)
    return SW_WRONG_DATA;
  if (m->officer.len == 0)
    pin_set(&m->officer, code.value, code.len, OFFICER_TRIES);
  sw = pin_verify(&m->officer, code.value, code.len);
  if (sw == SW_OK) {
    card_reset(c);
    c->selected = true;
    files_erase(&m->files);
    keys_erase(&m->keys);
    m->options = options.value[1];
    pin_set(&m->user, user.value, user.len, tries.value[0]);
  }
  return save(c, sw);
}
