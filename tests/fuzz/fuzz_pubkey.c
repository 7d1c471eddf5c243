/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Token attributes to DNSKEY, and verification. The input: a character for the
 * algorithm ('0' is the first of the table), one for the source ('0' DNSKEY, '1' modulus and
 * exponent, '2' point and parameters, '3' certificate, '4' SubjectPublicKeyInfo), the length of the
 * first attribute in two bytes, that attribute, the length of the second in one byte, that; the
 * rest is a signature.
 */
#include "fuzz.h"

#include "format/pubkey.h"

#include <stdlib.h>
#include <string.h>

#define ALGORITHMS 8

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
  (void)argc;
  (void)argv;
  fuzz_must(p11s_algorithm_at(ALGORITHMS - 1) != NULL && p11s_algorithm_at(ALGORITHMS) == NULL,
            "another number of algorithms");
  return 0;
}

/* Without the NUL behind the end, so that a sanitizer sees what reads one byte too many. */
static unsigned char *take(struct fuzz_input *in, size_t n, size_t *ret_len)
{
  char *copy = fuzz_bytes(in, n, ret_len);
  char *exact = *ret_len == 0 ? copy : realloc(copy, *ret_len);

  fuzz_must(exact != NULL, "no memory");
  return (unsigned char *)exact;
}

static enum p11s_err make(const struct p11s_algorithm *alg, unsigned source, struct fuzz_input *in,
                          struct p11s_pubkey **ret_key, struct p11s_error *e)
{
  size_t first_len = (size_t)fuzz_byte(in) << 8, second_len;
  unsigned char *first, *second;
  enum p11s_err err;

  first_len |= fuzz_byte(in);
  first = take(in, first_len, &first_len);
  second = take(in, fuzz_byte(in), &second_len);
  switch (source) {
  case 1:
    err = p11s_pubkey_from_rsa(alg, (struct p11s_slice){first, first_len},
                               (struct p11s_slice){second, second_len}, ret_key, e);
    break;
  case 2:
    err = p11s_pubkey_from_ec(alg, (struct p11s_slice){second, second_len},
                              (struct p11s_slice){first, first_len}, ret_key, e);
    break;
  case 3:
    err = p11s_pubkey_from_certificate(alg, first, first_len, ret_key, e);
    break;
  case 4:
    err = p11s_pubkey_from_info(alg, first, first_len, ret_key, e);
    break;
  default:
    err = p11s_pubkey_from_dnskey(alg, first, first_len, ret_key, e);
  }
  free(first);
  free(second);
  return err;
}

static void check_key(const struct p11s_algorithm *alg, const struct p11s_pubkey *key)
{
  struct p11s_pubkey *again = NULL;
  unsigned bits = p11s_pubkey_bits(key);
  const unsigned char *data;
  size_t len;

  data = p11s_pubkey_data(key, &len);
  fuzz_must(alg->family == P11S_RSA ? bits >= P11S_RSA_MIN_BITS && bits <= P11S_RSA_MAX_BITS
                                    : bits == alg->bits && len == alg->public_len,
            "a key of a size that is not allowed");
  fuzz_must(p11s_pubkey_from_dnskey(alg, data, len, &again, NULL) == P11S_OK,
            "a DNSKEY that is made cannot be read");
  fuzz_must(p11s_pubkey_equal(key, again), "another key comes back");
  p11s_pubkey_free(again);
}

/* The rest of the input, as it is and cut or filled up to the right length. */
static void verify(const struct p11s_algorithm *alg, const struct p11s_pubkey *key,
                   struct fuzz_input *in)
{
  static const unsigned char message[64] = "a message";
  size_t len, want = p11s_pubkey_signature_len(key);
  unsigned char *given = take(in, in->left, &len);
  unsigned char *right = calloc(1, want);

  fuzz_must(want > 0 && want <= P11S_RSA_MAX_BITS / 8 && right != NULL, "a signature's length");
  memcpy(right, given, len < want ? len : want);
  if (len != want)
    fuzz_must(!p11s_pubkey_verify(key, message, sizeof message, given, len),
              "a signature of the wrong length verifies");
  (void)p11s_pubkey_verify(key, message, sizeof message, right, want);
  (void)p11s_pubkey_verify(key, message, 0, right, want);
  (void)p11s_pubkey_verify_digest(key, message, alg->digest_len, right, want);
  free(right);
  free(given);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  struct fuzz_input in = {data, size};
  const struct p11s_algorithm *alg = p11s_algorithm_at((fuzz_byte(&in) - '0') & 7);
  unsigned source = (fuzz_byte(&in) - '0') & 7;
  struct p11s_error e = {0};
  struct p11s_pubkey *key = NULL;

  if (make(alg, source, &in, &key, &e) == P11S_OK) {
    check_key(alg, key);
    verify(alg, key, &in);
    p11s_pubkey_free(key);
  } else {
    fuzz_must(key == NULL && e.code == P11S_ERR_KEY_TYPE, "another error");
    if (memmem(data, size, FUZZ_PIN, strlen(FUZZ_PIN)) == NULL)
      fuzz_check_error(&e);
  }
  fuzz_check_queue();
  return 0;
}
