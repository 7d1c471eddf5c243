/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "card.h"

#include <time.h>

#include "state.h"

static enum sw generate(struct card *c, const struct apdu *a, struct bytes *answer)
{
  struct cvc_device device = {c->memory.serial, c->memory.device_key};
  EVP_PKEY *key = cvc_make_key(a->data, a->lc);

  if (key == NULL)
    return SW_WRONG_DATA;
  if (!cvc_request(answer, a->data, a->lc, key, &device)) {
    EVP_PKEY_free(key);
    return SW_ERROR;
  }
  keys_put(&c->memory.keys, a->p1, key);
  return state_save(&c->memory, c->path) ? SW_OK : SW_ERROR;
}

static enum sw sign(struct card *c, const struct apdu *a, struct bytes *answer)
{
  struct timespec time = {c->sign_ms / 1000, c->sign_ms % 1000 * 1000000};
  EVP_PKEY *key = c->memory.keys.list[a->p1];

  if (key == NULL)
    return SW_NOT_FOUND;
  c->signatures++;
  nanosleep(&time, NULL);
  return key_sign(key, a->p2, a->data, a->lc, answer);
}

enum sw card_key_command(struct card *c, const struct apdu *a, struct bytes *answer)
{
  if (!c->logged_in)
    return SW_SECURITY_STATUS;
  return a->ins == 0x46 ? generate(c, a, answer) : sign(c, a, answer);
}
