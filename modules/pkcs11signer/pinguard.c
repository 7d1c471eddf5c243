/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "pinguard.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>

#define GUARDED_MAX 64
#define MAC_LEN 32

struct p11s_pinguard {
  unsigned char key[MAC_LEN];
  unsigned char mac[GUARDED_MAX][MAC_LEN];
  unsigned count;
  unsigned next; /* where the next one goes: the oldest once the table is full */
};

struct p11s_pinguard *p11s_pinguard_new(void)
{
  struct p11s_pinguard *r = calloc(1, sizeof *r);

  if (r != NULL && RAND_bytes(r->key, sizeof r->key) != 1) {
    free(r);
    return NULL;
  }
  return r;
}

void p11s_pinguard_free(struct p11s_pinguard *r)
{
  if (r == NULL)
    return;
  p11s_wipe(r, sizeof *r);
  free(r);
}

/* HMAC(HMAC(key, serial), PIN): the inner one ends the serial unambiguously. */
static bool mac_of(const struct p11s_pinguard *r, const char *serial, const struct p11s_secret *pin,
                   unsigned char mac[MAC_LEN])
{
  unsigned char token_key[MAC_LEN];
  bool ok = HMAC(EVP_sha256(), r->key, sizeof r->key, (const unsigned char *)serial, strlen(serial),
                 token_key, NULL) != NULL &&
            HMAC(EVP_sha256(), token_key, sizeof token_key, p11s_secret_data(pin),
                 p11s_secret_len(pin), mac, NULL) != NULL;

  p11s_wipe(token_key, sizeof token_key);
  return ok;
}

void p11s_pinguard_add(struct p11s_pinguard *r, const char *serial, const struct p11s_secret *pin)
{
  unsigned char mac[MAC_LEN];

  if (!mac_of(r, serial, pin, mac))
    return;
  memcpy(r->mac[r->next], mac, sizeof mac);
  r->next = (r->next + 1) % GUARDED_MAX;
  if (r->count < GUARDED_MAX)
    r->count++;
}

bool p11s_pinguard_has(const struct p11s_pinguard *r, const char *serial,
                       const struct p11s_secret *pin)
{
  unsigned char mac[MAC_LEN];

  if (!mac_of(r, serial, pin, mac))
    return false;
  for (unsigned i = 0; i < r->count; i++)
    if (memcmp(r->mac[i], mac, sizeof mac) == 0)
      return true;
  return false;
}
