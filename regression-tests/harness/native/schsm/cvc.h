/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <openssl/evp.h>

#include "bytes.h"

/*
 * Card-verifiable certificates of BSI TR-03110, as the body of GENERATE ASYMMETRIC KEY PAIR
 * asks for them and as the card answers.
 */
enum cvc_tag {
  CVC_CERTIFICATE = 0x7f21,
  CVC_REQUEST = 0x67, /* a certificate that the device has signed once more */
  CVC_BODY = 0x7f4e,
  CVC_PROFILE = 0x5f29,
  CVC_AUTHORITY = 0x42,
  CVC_PUBLIC_KEY = 0x7f49,
  CVC_HOLDER = 0x5f20,
  CVC_SIGNATURE = 0x5f37,
  /* inside the public key */
  CVC_OID = 0x06,
  CVC_MODULUS_BITS = 0x02,
  CVC_PRIME_OR_MODULUS = 0x81,
  CVC_EXPONENT = 0x82,
  CVC_ORDER = 0x85,
  CVC_POINT = 0x86,
};

/* Whoever signs. */
struct cvc_device {
  const char *name; /* the certificate holder, without its number */
  EVP_PKEY *key;
};

/* The key that the body asks for, made; NULL for one that the card does not make. */
EVP_PKEY *cvc_make_key(const uint8_t *body, size_t len);
/* The answer to that: the body with the public key in it, signed by the key and by the device. */
bool cvc_request(struct bytes *ret_answer, const uint8_t *body, size_t len, EVP_PKEY *key,
                 const struct cvc_device *device);
/* The device's own certificate. */
bool cvc_of_device(struct bytes *ret_certificate, const struct cvc_device *device);
