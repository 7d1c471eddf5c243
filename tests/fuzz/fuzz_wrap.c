/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What goes to PowerDNS and comes back. The input is taken as the decoded
 * value, as a key reference that gets wrapped, and as a message.
 */
#include "fuzz.h"

#include "format/keyref.h"
#include "signer/signer.h"
#include "format/wrap.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
  (void)argc;
  (void)argv;
  return 0;
}

/* The value as PowerDNS hands it on: decoded. */
static char *unwrap(const struct p11s_buf *wrapped, size_t *ret_len)
{
  const char *line = strstr(p11s_buf_text(wrapped), "\n" P11S_WRAP_NAME ": ");
  size_t len;
  char *value;
  int got;

  fuzz_must(!wrapped->failed && line != NULL, "no line of ours");
  line += strlen("\n" P11S_WRAP_NAME ": ");
  len = strcspn(line, "\n");
  fuzz_must(line[len] == '\n' && line[len + 1] == '\0', "something follows our line");
  value = malloc(len + 1);
  fuzz_must(value != NULL, "no memory");
  got = EVP_DecodeBlock((unsigned char *)value, (const unsigned char *)line, (int)len);
  fuzz_must(got >= 0, "our line is not base64");
  while (len > 0 && line[len - 1] == '=') {
    len--;
    got--;
  }
  *ret_len = (size_t)got;
  return value;
}

static void check_broken(const char *zone, unsigned id, const char *message)
{
  struct p11s_buf out = P11S_BUF_INIT;
  struct p11s_wrapped back;
  size_t len;
  char *value;

  p11s_wrap_broken(zone, id, message, &out);
  value = unwrap(&out, &len);
  fuzz_must(p11s_wrap_parse(value, len, &back, NULL) == P11S_OK, "a wrapped message is lost");
  fuzz_must(strcmp(back.zone, zone) == 0 && back.id == id && back.reference == NULL &&
                strcmp(back.message, message) == 0,
            "another message comes back");
  p11s_wrapped_clear(&back);
  free(value);
  p11s_buf_clear(&out);
}

static void check_key(const struct p11s_key *key)
{
  struct p11s_buf out = P11S_BUF_INIT;
  struct p11s_keyref *ref = NULL;
  struct p11s_wrapped back;
  size_t len;
  char *value;

  p11s_wrap_key("example.org.", 7, p11s_key_identity(key), p11s_key_reference(key), &out);
  value = unwrap(&out, &len);
  fuzz_must(p11s_wrap_parse(value, len, &back, NULL) == P11S_OK, "a wrapped key is lost");
  fuzz_must(back.message == NULL && back.reference != NULL && back.id == 7 &&
                memcmp(back.identity, p11s_key_identity(key), P11S_KEY_IDENTITY_LEN) == 0,
            "another key comes back");
  if (strlen(back.reference) <= 65536) {
    fuzz_must(p11s_keyref_parse(back.reference, strlen(back.reference), &ref, NULL) == P11S_OK,
              "a wrapped reference cannot be read");
    fuzz_must(ref->pin == NULL, "a PIN is wrapped");
  }
  p11s_keyref_free(ref);
  p11s_wrapped_clear(&back);
  free(value);
  p11s_buf_clear(&out);
}

static void wrap_reference(const uint8_t *data, size_t size)
{
  struct p11s_config config = {.sessions = 1, .timeout_ms = 1000, .transfer_timeout_ms = 1000};
  struct p11s_error e = {0};
  struct p11s_signer *signer = NULL;
  struct p11s_keyref *ref = NULL;
  struct p11s_key *key = NULL;

  if (p11s_keyref_parse((const char *)data, size, &ref, &e) != P11S_OK)
    return;
  fuzz_must(p11s_signer_new(&config, &signer, &e) == P11S_OK, "no signer");
  if (p11s_signer_key(signer, ref, &key, &e) == P11S_OK) {
    check_key(key);
    p11s_key_release(key);
  } else {
    fuzz_check_error(&e);
  }
  p11s_signer_free(signer);
  p11s_keyref_free(ref);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  struct p11s_error e = {0};
  struct p11s_wrapped w = {0};

  if (p11s_wrap_parse(data, size, &w, &e) == P11S_OK) {
    fuzz_must((w.reference == NULL) != (w.message == NULL), "neither reference nor message");
    if (w.message != NULL)
      check_broken(w.zone, w.id, w.message);
    p11s_wrapped_clear(&w);
  } else {
    fuzz_check_error(&e);
  }
  wrap_reference(data, size);
  fuzz_check_queue();
  return 0;
}
