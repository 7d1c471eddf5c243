/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "format/algorithm.h"

#include <string.h>
#include <strings.h>

/* OIDs 1.2.840.10045.3.1.7 and 1.3.132.0.34 */
static const unsigned char params_p256[] = "\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07";
static const unsigned char params_p384[] = "\x06\x05\x2b\x81\x04\x00\x22";
/* PrintableString (PKCS#11 v3.0): SoftHSM takes this and the OID, pkcs11-tool sends this */
static const unsigned char params_ed25519[] = "\x13\x0c"
                                              "edwards25519";
static const unsigned char params_ed448[] = "\x13\x0a"
                                            "edwards448";

#define RSA_COMMON                                                                                 \
  .family = P11S_RSA, .key_type = CKK_RSA, .keygen = CKM_RSA_PKCS_KEY_PAIR_GEN,                    \
  .raw = CKM_RSA_PKCS, .default_bits = 2048
#define ECDSA_COMMON                                                                               \
  .family = P11S_ECDSA, .key_type = CKK_EC, .keygen = CKM_EC_KEY_PAIR_GEN, .raw = CKM_ECDSA
#define EDDSA_COMMON                                                                               \
  .family = P11S_EDDSA, .key_type = CKK_EC_EDWARDS, .keygen = CKM_EC_EDWARDS_KEY_PAIR_GEN,         \
  .raw = CKM_EDDSA, .hashing = CKM_EDDSA

static const struct p11s_algorithm table[] = {
    {
        .number = 5,
        .mnemonic = "RSASHA1",
        RSA_COMMON,
        .hashing = CKM_SHA1_RSA_PKCS,
        .digest = "SHA1",
        .digest_len = 20,
    },
    {
        .number = 7,
        .mnemonic = "RSASHA1-NSEC3-SHA1",
        RSA_COMMON,
        .hashing = CKM_SHA1_RSA_PKCS,
        .digest = "SHA1",
        .digest_len = 20,
    },
    {
        .number = 8,
        .mnemonic = "RSASHA256",
        RSA_COMMON,
        .hashing = CKM_SHA256_RSA_PKCS,
        .digest = "SHA256",
        .digest_len = 32,
    },
    {
        .number = 10,
        .mnemonic = "RSASHA512",
        RSA_COMMON,
        .hashing = CKM_SHA512_RSA_PKCS,
        .digest = "SHA512",
        .digest_len = 64,
    },
    {
        .number = 13,
        .mnemonic = "ECDSAP256SHA256",
        ECDSA_COMMON,
        .hashing = CKM_ECDSA_SHA256,
        .digest = "SHA256",
        .digest_len = 32,
        .curve = "prime256v1",
        .ec_params = params_p256,
        .ec_params_len = sizeof params_p256 - 1,
        .bits = 256,
        .default_bits = 256,
        .public_len = 64,
        .signature_len = 64,
    },
    {
        .number = 14,
        .mnemonic = "ECDSAP384SHA384",
        ECDSA_COMMON,
        .hashing = CKM_ECDSA_SHA384,
        .digest = "SHA384",
        .digest_len = 48,
        .curve = "secp384r1",
        .ec_params = params_p384,
        .ec_params_len = sizeof params_p384 - 1,
        .bits = 384,
        .default_bits = 384,
        .public_len = 96,
        .signature_len = 96,
    },
    {
        .number = 15,
        .mnemonic = "ED25519",
        EDDSA_COMMON,
        .curve = "ED25519",
        .ec_params = params_ed25519,
        .ec_params_len = sizeof params_ed25519 - 1,
        .bits = 256,
        .default_bits = 256,
        .public_len = 32,
        .signature_len = 64,
    },
    {
        .number = 16,
        .mnemonic = "ED448",
        EDDSA_COMMON,
        .curve = "ED448",
        .ec_params = params_ed448,
        .ec_params_len = sizeof params_ed448 - 1,
        .bits = 456,
        .default_bits = 456,
        .public_len = 57,
        .signature_len = 114,
    },
};

#define TABLE_LEN (sizeof table / sizeof table[0])

/* PowerDNS's names where they differ from the mnemonics. */
static const struct {
  const char *name;
  unsigned number;
} aliases[] = {
    {"ecdsa256", 13},
    {"ecdsa384", 14},
};

const struct p11s_algorithm *p11s_algorithm_find(unsigned number)
{
  size_t i;

  for (i = 0; i < TABLE_LEN; i++)
    if (table[i].number == number)
      return &table[i];
  return NULL;
}

const struct p11s_algorithm *p11s_algorithm_at(size_t index)
{
  return index < TABLE_LEN ? &table[index] : NULL;
}

/* One to three decimal digits and nothing else; 0 (not in the table) for any other text. */
static unsigned parse_number(const char *text)
{
  size_t len = strspn(text, "0123456789");
  unsigned number = 0;
  size_t i;

  if (len > 3 || text[len] != '\0')
    return 0;
  for (i = 0; i < len; i++)
    number = number * 10 + (unsigned)(text[i] - '0');
  return number;
}

const struct p11s_algorithm *p11s_algorithm_parse(const char *text)
{
  size_t i;

  for (i = 0; i < TABLE_LEN; i++)
    if (strcasecmp(text, table[i].mnemonic) == 0)
      return &table[i];
  for (i = 0; i < sizeof aliases / sizeof aliases[0]; i++)
    if (strcasecmp(text, aliases[i].name) == 0)
      return p11s_algorithm_find(aliases[i].number);
  return p11s_algorithm_find(parse_number(text));
}

const char *p11s_algorithm_kind(const struct p11s_algorithm *alg)
{
  switch (alg->family) {
  case P11S_ECDSA:
    return alg->bits == 256 ? "P-256" : "P-384";
  case P11S_EDDSA:
    return alg->bits == 256 ? "Ed25519" : "Ed448";
  case P11S_RSA:
    break;
  }
  return "RSA";
}
