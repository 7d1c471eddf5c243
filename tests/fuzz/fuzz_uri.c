/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What names a token or a key: label, serial, number or pkcs11: URI, looked for on a healthy token.
 */
#include "fuzz.h"
#include "nonsense.h"

#include "pkcs11/object.h"
#include "pkcs11/session_internal.h"
#include "pkcs11/slot.h"
#include "pkcs11/uri.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
  (void)argc;
  (void)argv;
  return 0;
}

/* Whether it is a URI of which one of the attributes is a PIN's, by RFC 7512. */
static bool has_pin(const char *text)
{
  const char *colon = strchr(text, ':');

  for (const char *at = p11s_uri_is(text) ? colon : NULL; at != NULL; at = strpbrk(at + 1, ";?&"))
    if (strncasecmp(at + 1, "pin-value=", 10) == 0 || strncasecmp(at + 1, "pin-source=", 11) == 0)
      return true;
  return false;
}

/* What failed has a message, and it shows no PIN that stands in a PIN's place. */
static void check_failure(const char *text, const struct p11s_error *e)
{
  fuzz_must(e->code != P11S_OK && e->text[0] != '\0', "a failure without a message");
  if (has_pin(text))
    fuzz_check_error(e);
}

static void check_uri(const char *text)
{
  struct p11s_error e = {0};
  P11KitUri *uri = NULL;

  if (p11s_uri_parse(text, &uri, &e) != P11S_OK) {
    check_failure(text, &e);
    return;
  }
  fuzz_must(p11s_uri_is(text), "a URI that is none");
  fuzz_must(!has_pin(text) && p11_kit_uri_get_pin_value(uri) == NULL &&
                p11_kit_uri_get_pin_source(uri) == NULL,
            "a URI with a PIN is taken");
  (void)p11s_uri_names_token(uri);
  p11_kit_uri_free(uri);
}

static void check_name(const char *text, CK_OBJECT_CLASS class)
{
  struct p11s_error e = {0};
  struct p11s_object_name name;

  if (p11s_object_name_parse(text, class, &name, &e) != P11S_OK) {
    fuzz_must(e.code == P11S_ERR_SYNTAX, "another error than syntax");
    check_failure(text, &e);
    return;
  }
  fuzz_must(name.count >= 1 && name.count <= 2, "a name without attributes");
  for (CK_ULONG i = 0; i < name.count; i++)
    fuzz_must(name.attrs[i].ulValueLen > 0, "an empty attribute is searched for");
  p11s_object_name_clear(&name);
}

static void look_for(const char *text)
{
  struct p11s_error e = {0};
  struct p11s_slot_info info;
  struct p11s_handles keys = {NULL, 0};

  nonsense_reset((struct fuzz_input){NULL, 0});
  if (p11s_slot_find(&nonsense, text, &info, &e) == P11S_OK) {
    fuzz_must(info.id == 7 && strcmp(info.label, "fake") == 0, "another slot than there is");
  } else {
    fuzz_must(e.code == P11S_ERR_NO_TOKEN || e.code == P11S_ERR_SYNTAX, "another error");
    check_failure(text, &e);
  }
  if (p11s_object_find_privates(&(struct p11s_session){.module = &nonsense, .handle = 3},
                                p11s_algorithm_find(13), text, &keys, &e) == P11S_OK) {
    fuzz_must(keys.count == 1 && keys.list[0] == 1, "another key than there is");
    p11s_handles_clear(&keys);
  } else {
    fuzz_must(e.code == P11S_ERR_NO_KEY || e.code == P11S_ERR_SYNTAX, "another error");
    check_failure(text, &e);
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  struct fuzz_input in = {data, size};
  char *text = fuzz_line(&in);

  check_uri(text);
  check_name(text, CKO_PRIVATE_KEY);
  check_name(text, CKO_PUBLIC_KEY);
  look_for(text);
  free(text);
  fuzz_check_queue();
  return 0;
}
