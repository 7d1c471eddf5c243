/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "card.h"

#include <openssl/ec.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "state.h"

#define CHALLENGE_MAX 1024
#define CLASS 0x80 /* of the commands that no standard has */

const uint8_t card_atr[] = {0x3b, 0xde, 0x96, 0xff, 0x81, 0x91, 0xfe, 0x1f, 0xc3, 0x80, 0x31, 0x81,
                            0x54, 0x48, 0x53, 0x4d, 0x31, 0x73, 0x80, 0x21, 0x40, 0x81, 0x07, 0x92};
const size_t card_atr_len = sizeof(card_atr);

static bool make_new(struct card *c, const char *serial)
{
  struct cvc_device device = {.name = c->memory.serial};
  struct file *file = files_create(&c->memory.files, FILE_DEVICE);

  snprintf(c->memory.serial, sizeof(c->memory.serial), "%s", serial);
  c->memory.device_key = EVP_EC_gen("P-256");
  device.key = c->memory.device_key;
  return file != NULL && device.key != NULL && cvc_of_device(&file->content, &device) &&
         state_save(&c->memory, c->path);
}

bool card_open(struct card *c, const char *path, const char *serial)
{
  bool good;

  c->path = path;
  good = state_exists(path) ? state_load(&c->memory, path) : make_new(c, serial);
  if (!good)
    fprintf(stderr, "schsm: %s: cannot be used\n", path);
  return good;
}

void card_reset(struct card *c)
{
  c->selected = false;
  c->logged_in = false;
  c->current = NULL;
  c->resets++;
}

static enum sw get_challenge(const struct apdu *a, struct bytes *answer)
{
  uint8_t bytes[CHALLENGE_MAX];
  size_t len = a->le < sizeof(bytes) ? a->le : sizeof(bytes);

  if (RAND_bytes(bytes, (int)len) != 1)
    return SW_ERROR;
  bytes_add(answer, bytes, len);
  return SW_OK;
}

static enum sw dispatch(struct card *c, const struct apdu *a, struct bytes *answer)
{
  unsigned command = (unsigned)a->cla << 8 | a->ins;

  if (!c->selected && a->ins != 0xa4)
    return SW_INS;
  switch (command) {
  case 0x0020: /* VERIFY */
  case 0x0024: /* CHANGE REFERENCE DATA */
  case 0x002c: /* RESET RETRY COUNTER */
    return card_pin_command(c, a);
  case CLASS << 8 | 0x50: /* INITIALIZE DEVICE */
    return card_initialize(c, a);
  case 0x00a4:            /* SELECT */
  case 0x00b1:            /* READ BINARY */
  case 0x00d7:            /* UPDATE BINARY */
  case 0x00e4:            /* DELETE FILE */
  case CLASS << 8 | 0x58: /* ENUMERATE OBJECTS */
    return card_file_command(c, a, answer);
  case 0x0046:            /* GENERATE ASYMMETRIC KEY PAIR */
  case CLASS << 8 | 0x68: /* SIGN */
    return card_key_command(c, a, answer);
  case 0x0084:
    return get_challenge(a, answer);
  default:
    return SW_INS;
  }
}

void card_command(struct card *c, const uint8_t *data, size_t len, struct bytes *ret_answer)
{
  struct apdu a;
  enum sw sw = SW_WRONG_LENGTH;

  ret_answer->len = 0;
  if (apdu_parse(&a, data, len)) {
    c->extended += a.lc > SHORT_LC_MAX || a.le > SHORT_LE_MAX;
    sw = dispatch(c, &a, ret_answer);
  }
  if (sw != SW_OK && sw != SW_END_OF_FILE)
    ret_answer->len = 0;
  bytes_add_pair(ret_answer, sw);
}
