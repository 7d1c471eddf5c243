/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The content of a row: parsing, and the way back. */
#include "fuzz.h"

#include "format/keyref.h"

#include <stdlib.h>
#include <string.h>

#define CONTENT_MAX ((size_t)65536)

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
  (void)argc;
  (void)argv;
  return 0;
}

static bool same_text(const char *a, const char *b)
{
  return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static bool same_pin(const struct p11s_secret *a, const struct p11s_secret *b)
{
  return p11s_secret_len(a) == p11s_secret_len(b) &&
         memcmp(p11s_secret_data(a), p11s_secret_data(b), p11s_secret_len(a)) == 0;
}

static bool same_public_key(const struct p11s_keyref *a, const struct p11s_keyref *b)
{
  return a->public_key_len == b->public_key_len &&
         (a->public_key_len == 0 || memcmp(a->public_key, b->public_key, a->public_key_len) == 0);
}

static void check_again(const struct p11s_keyref *ref, bool with_pin)
{
  struct p11s_buf text = P11S_BUF_INIT, again = P11S_BUF_INIT;
  struct p11s_keyref *back = NULL;

  p11s_keyref_format(ref, with_pin, &text);
  fuzz_must(!text.failed, "what was read cannot be written");
  fuzz_must(p11s_keyref_is_ours(text.data, text.len), "what was written is not ours");
  if (text.len <= CONTENT_MAX) {
    fuzz_must(p11s_keyref_parse(text.data, text.len, &back, NULL) == P11S_OK,
              "what was written cannot be read");
    fuzz_must(back->algorithm == ref->algorithm && same_text(back->engine, ref->engine) &&
                  same_text(back->slot, ref->slot) && same_text(back->label, ref->label) &&
                  same_text(back->pub_label, ref->pub_label) &&
                  same_text(back->extra, ref->extra) && same_public_key(back, ref),
              "another reference comes back");
    fuzz_must(with_pin ? same_pin(back->pin, ref->pin) : back->pin == NULL,
              "another PIN comes back");
    p11s_keyref_format(back, with_pin, &again);
    fuzz_must(!again.failed && again.len == text.len &&
                  memcmp(again.data, text.data, text.len) == 0,
              "another text comes back");
  }
  p11s_keyref_free(back);
  p11s_buf_wipe(&text);
  p11s_buf_wipe(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  struct p11s_error e = {0};
  struct p11s_keyref *ref = NULL;

  (void)p11s_keyref_is_ours((const char *)data, size);
  if (p11s_keyref_parse((const char *)data, size, &ref, &e) == P11S_OK) {
    check_again(ref, true);
    check_again(ref, false);
    p11s_keyref_free(ref);
  } else {
    fuzz_check_error(&e);
  }
  fuzz_check_queue();
  return 0;
}
