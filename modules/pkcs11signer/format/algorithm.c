/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "format/algorithm.h"

#include <stdlib.h>
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

#define RSA(number_, mnemonic_, hash, hash_len)                                                    \
  {                                                                                                \
    .number = (number_), .mnemonic = (mnemonic_), .family = P11S_RSA, .kind = "RSA",               \
    .key_type = CKK_RSA, .keygen = CKM_RSA_PKCS_KEY_PAIR_GEN, .raw = CKM_RSA_PKCS,                 \
    .hashing = CKM_##hash##_RSA_PKCS, .default_bits = 2048, .digest = #hash,                       \
    .digest_len = (hash_len)                                                                       \
  }
#define EC_COMMON(bits_, params)                                                                   \
  .ec_params = (params), .ec_params_len = sizeof(params) - 1, .bits = (bits_),                     \
  .default_bits = (bits_)
#define ECDSA(number_, mnemonic_, alias_, kind_, hash, bits_, curve_, params)                      \
  {                                                                                                \
    .number = (number_), .mnemonic = (mnemonic_), .alias = (alias_), .family = P11S_ECDSA,         \
    .kind = (kind_), .key_type = CKK_EC, .keygen = CKM_EC_KEY_PAIR_GEN, .raw = CKM_ECDSA,          \
    .hashing = CKM_ECDSA_##hash, .digest = #hash, .digest_len = (bits_) / 8, .curve = (curve_),    \
    .public_len = (bits_) / 4, .signature_len = (bits_) / 4, EC_COMMON(bits_, params)              \
  }
#define EDDSA(number_, mnemonic_, kind_, len, params)                                              \
  {                                                                                                \
    .number = (number_), .mnemonic = (mnemonic_), .family = P11S_EDDSA, .kind = (kind_),           \
    .key_type = CKK_EC_EDWARDS, .keygen = CKM_EC_EDWARDS_KEY_PAIR_GEN, .raw = CKM_EDDSA,           \
    .hashing = CKM_EDDSA, .curve = (mnemonic_), .public_len = (len), .signature_len = 2 * (len),   \
    EC_COMMON(8 * (len), params)                                                                   \
  }

static const struct p11s_algorithm table[] = {
    RSA(5, "RSASHA1", SHA1, 20),
    RSA(7, "RSASHA1-NSEC3-SHA1", SHA1, 20),
    RSA(8, "RSASHA256", SHA256, 32),
    RSA(10, "RSASHA512", SHA512, 64),
    ECDSA(13, "ECDSAP256SHA256", "ecdsa256", "P-256", SHA256, 256, "prime256v1", params_p256),
    ECDSA(14, "ECDSAP384SHA384", "ecdsa384", "P-384", SHA384, 384, "secp384r1", params_p384),
    EDDSA(15, "ED25519", "Ed25519", 32, params_ed25519),
    EDDSA(16, "ED448", "Ed448", 57, params_ed448),
};

#define TABLE_LEN (sizeof table / sizeof table[0])

const struct p11s_algorithm *p11s_algorithm_find(unsigned number)
{
  for (size_t i = 0; i < TABLE_LEN; i++)
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

  return len <= 3 && text[len] == '\0' ? (unsigned)strtoul(text, NULL, 10) : 0;
}

const struct p11s_algorithm *p11s_algorithm_parse(const char *text)
{
  for (size_t i = 0; i < TABLE_LEN; i++)
    if (strcasecmp(text, table[i].mnemonic) == 0 ||
        (table[i].alias != NULL && strcasecmp(text, table[i].alias) == 0))
      return &table[i];
  return p11s_algorithm_find(parse_number(text));
}
