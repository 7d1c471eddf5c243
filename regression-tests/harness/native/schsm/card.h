/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "cvc.h"
#include "files.h"
#include "keys.h"
#include "pin.h"

#define SERIAL_MAX 11

/* What stays on the card without power. */
struct memory {
  char serial[SERIAL_MAX + 1];
  EVP_PKEY *device_key;
  unsigned options; /* of INITIALIZE */
  struct pin user;
  struct pin officer;
  struct files files;
  struct keys keys;
};

struct card {
  struct memory memory;
  const char *path; /* the file that holds the memory */
  long sign_ms;     /* how long a signature takes */
  /* Gone without power and after a reset: */
  bool selected; /* the applet */
  bool logged_in;
  struct file *current;
  /* What the tests count. */
  unsigned long signatures;
  unsigned long verifies;
  unsigned long resets;
  unsigned long extended; /* commands that say more than 255 bytes, or want more than 256 */
};

/* The answer to reset. */
extern const uint8_t card_atr[];
extern const size_t card_atr_len;

/* Reads the file; makes a new card when there is none. False with a line on stderr. */
bool card_open(struct card *c, const char *path, const char *serial);
void card_reset(struct card *c);
/* One command. The answer holds data and status word; the memory is saved before it is given. */
void card_command(struct card *c, const uint8_t *data, size_t len, struct bytes *ret_answer);

/* The handlers, by what they are about; card.c calls them. */
enum sw card_pin_command(struct card *c, const struct apdu *a);
enum sw card_initialize(struct card *c, const struct apdu *a);
enum sw card_file_command(struct card *c, const struct apdu *a, struct bytes *answer);
enum sw card_key_command(struct card *c, const struct apdu *a, struct bytes *answer);
