/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "pkcs11/keypair.h"

#include "pkcs11/attribute.h"
#include "base/buf.h"
#include "base/crypto.h"
#include "pkcs11/object_internal.h"
#include "pkcs11/rv.h"
#include "pkcs11/session_internal.h"
#include "pkcs11/uri.h"

#include <p11-kit/p11-kit.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CAUSE_MAX 400 /* of an error, so that the command behind it is whole */

static const CK_OBJECT_CLASS halves[] = {CKO_PRIVATE_KEY, CKO_PUBLIC_KEY};
#define HALVES (sizeof halves / sizeof *halves)

enum p11s_err p11s_keypair_init(struct p11s_keypair *pair, const char *label, unsigned bits,
                                struct p11s_error *e)
{
  memset(pair, 0, sizeof *pair);
  pair->label = label;
  pair->bits = bits;
  atomic_init(&pair->state, P11S_PAIR_NONE);
  return p11s_random(pair->id, sizeof pair->id)
             ? P11S_OK
             : p11s_error_set(e, P11S_ERR_TOKEN, "no random numbers");
}

void p11s_keypair_copy(struct p11s_keypair *to, const struct p11s_keypair *from)
{
  to->label = from->label;
  to->bits = from->bits;
  memcpy(to->id, from->id, sizeof to->id);
  memcpy(to->tool, from->tool, sizeof to->tool);
  atomic_store(&to->state, atomic_load(&from->state));
}

void p11s_keypair_set_place(struct p11s_keypair *pair, struct p11s_session *session)
{
  struct p11s_buf tool = P11S_BUF_INIT;

  if (pair->tool[0] != '\0')
    return;
  p11s_session_add_tool(session, &tool);
  (void)snprintf(pair->tool, sizeof pair->tool, "%s", p11s_buf_text(&tool));
  p11s_buf_clear(&tool);
}

static bool change(struct p11s_keypair *pair, int from, int to)
{
  return atomic_compare_exchange_strong(&pair->state, &from, to);
}

bool p11s_keypair_begin(struct p11s_keypair *pair)
{
  return change(pair, P11S_PAIR_NONE, P11S_PAIR_BEGUN);
}

bool p11s_keypair_cancel(struct p11s_keypair *pair)
{
  return change(pair, P11S_PAIR_NONE, P11S_PAIR_CANCELLED);
}

static bool may_be_there(const struct p11s_keypair *pair)
{
  int state = atomic_load(&pair->state);

  return state != P11S_PAIR_NONE && state != P11S_PAIR_CANCELLED;
}

/* Only objects that say themselves that they have the name are the pair's. */
static struct p11s_object_name named(const char *label)
{
  /* Templates are not const in PKCS#11, but are only read. */
  return (struct p11s_object_name){
      .attrs = {{CKA_LABEL, (void *)(uintptr_t)label, strlen(label)}}, .count = 1, .strict = true};
}

static void add_id(struct p11s_object_name *name, struct p11s_keypair *pair)
{
  name->attrs[name->count++] = (CK_ATTRIBUTE){CKA_ID, pair->id, sizeof pair->id};
}

static enum p11s_err count(struct p11s_session *session, CK_OBJECT_CLASS class,
                           const struct p11s_object_name *name, size_t *ret_count,
                           struct p11s_error *e)
{
  struct p11s_handles found = {NULL, 0};
  enum p11s_err result = p11s_objects_named(session, class, name, &found, e);

  *ret_count = result == P11S_OK ? found.count : 0;
  p11s_handles_clear(&found);
  return result;
}

/* Removes all objects of a class with that name. *ret_found: how many there were. */
static enum p11s_err remove_class(struct p11s_session *session, CK_OBJECT_CLASS class,
                                  const struct p11s_object_name *name, size_t *ret_found,
                                  struct p11s_error *e)
{
  struct p11s_handles found = {NULL, 0};
  CK_RV rv = CKR_OK;
  enum p11s_err result = p11s_objects_named(session, class, name, &found, e);
  size_t left;

  *ret_found = result == P11S_OK ? found.count : 0;
  for (size_t i = 0; i < *ret_found; i++) {
    CK_RV destroyed = session->module->C_DestroyObject(session->handle, found.list[i]);

    rv = destroyed == CKR_OK ? rv : destroyed;
  }
  p11s_handles_clear(&found);
  if (rv == CKR_OK)
    return result;
  /* It may say so of what it has removed. */
  result = count(session, class, name, &left, e);
  return left > 0 ? p11s_rv_error(e, rv, "C_DestroyObject") : result;
}

/* Both halves; goes on when one cannot be removed. */
static enum p11s_err remove_named(struct p11s_session *session, const struct p11s_object_name *name,
                                  size_t *ret_found, struct p11s_error *e)
{
  enum p11s_err result = P11S_OK;

  *ret_found = 0;
  for (size_t i = 0; i < HALVES; i++) {
    size_t found;
    enum p11s_err removed = remove_class(session, halves[i], name, &found, e);

    result = removed == P11S_OK ? result : removed;
    *ret_found += found;
  }
  return result;
}

static enum p11s_err label_free(struct p11s_session *session, const char *label,
                                struct p11s_error *e)
{
  struct p11s_object_name name = named(label);
  enum p11s_err result = P11S_OK;

  name.strict = false;
  for (size_t i = 0; result == P11S_OK && i < HALVES; i++) {
    struct p11s_handles found;

    result = p11s_objects_named(session, halves[i], &name, &found, e);
    if (result == P11S_OK && found.count > 0)
      result = p11s_error_set(e, P11S_ERR_EXISTS, "the token has a %s key '%s' already",
                              halves[i] == CKO_PRIVATE_KEY ? "private" : "public", label);
    p11s_handles_clear(&found);
  }
  return result;
}

/* By the CKA_ID, which is the pair's alone. What stands under its label and has another is left to
   people: it may be somebody else's by now. */
static enum p11s_err look(struct p11s_session *session, struct p11s_keypair *pair,
                          size_t *ret_found, struct p11s_error *e)
{
  struct p11s_object_name name = {.strict = true};
  enum p11s_err result;

  add_id(&name, pair);
  result = remove_named(session, &name, ret_found, e);
  if (*ret_found > 0)
    atomic_store(&pair->state, result == P11S_OK ? P11S_PAIR_NONE : P11S_PAIR_THERE);
  if (result != P11S_OK || *ret_found > 0)
    return result;
  result = label_free(session, pair->label, e);
  if (result == P11S_ERR_EXISTS)
    atomic_store(&pair->state, P11S_PAIR_RENAMED);
  else if (result == P11S_OK)
    atomic_store(&pair->state, P11S_PAIR_NONE);
  return result;
}

enum p11s_err p11s_keypair_prepare(struct p11s_session *session, struct p11s_keypair *pair,
                                   struct p11s_error *e)
{
  enum p11s_err result = P11S_OK;
  size_t found;

  if (pair->label[0] == 0 || p11s_uri_is(pair->label))
    return p11s_error_set(e, P11S_ERR_SYNTAX, "a new key needs a label that is no URI, not '%s'",
                          pair->label);
  if (may_be_there(pair))
    result = look(session, pair, &found, e);
  return result == P11S_OK ? label_free(session, pair->label, e) : result;
}

enum p11s_err p11s_keypair_clean_up(struct p11s_session *session, struct p11s_keypair *pair,
                                    bool *ret_made, struct p11s_error *e)
{
  struct p11s_error said = {0};
  size_t found;
  enum p11s_err result = look(session, pair, &found, &said);

  if (result == P11S_OK && found == 0) {
    *ret_made = false;
    return P11S_OK;
  }
  *ret_made = result != P11S_ERR_TOKEN || !p11s_rv_is_lost(said.rv);
  return p11s_error_set(e, P11S_ERR_TOKEN, "%s",
                        result == P11S_OK
                            ? "the token had made the key pair all the same; it is removed again"
                            : said.text);
}

/* *ret: whether both halves have that name. */
static enum p11s_err have_name(struct p11s_session *session, const struct p11s_object_name *name,
                               bool *ret, struct p11s_error *e)
{
  enum p11s_err result = P11S_OK;
  size_t found = 1;

  for (size_t i = 0; result == P11S_OK && found > 0 && i < HALVES; i++)
    result = count(session, halves[i], name, &found, e);
  *ret = found > 0;
  return result;
}

static enum p11s_err say_renamed(struct p11s_session *session, const struct p11s_keypair *pair,
                                 CK_OBJECT_HANDLE private_key, struct p11s_error *e)
{
  struct p11s_buf text = P11S_BUF_INIT;
  struct p11s_bytes label = {NULL, 0};

  (void)p11s_attribute_read(session, private_key, CKA_LABEL, &label, NULL);
  p11s_uri_add_value(&text, label.data, label.len);
  (void)p11s_error_set(e, P11S_ERR_TOKEN,
                       "the token does not keep the label '%s' of a new key: it has "
                       "pkcs11:object=%s; give it one that it keeps",
                       pair->label, p11s_buf_text(&text));
  p11s_bytes_clear(&label);
  p11s_buf_clear(&text);
  return P11S_ERR_TOKEN;
}

enum p11s_err p11s_keypair_check_name(struct p11s_session *session, struct p11s_keypair *pair,
                                      CK_OBJECT_HANDLE private_key, struct p11s_error *e)
{
  struct p11s_object_name label = named(pair->label), id = {.strict = true};
  bool kept = false;
  enum p11s_err result;

  add_id(&id, pair);
  result = have_name(session, &id, &kept, e);
  if (result == P11S_OK) {
    atomic_store(&pair->state, kept ? P11S_PAIR_THERE : P11S_PAIR_RENAMED);
    result = have_name(session, &label, &kept, e);
  }
  if (result != P11S_OK || kept)
    return result;
  return say_renamed(session, pair, private_key, e);
}

enum p11s_err p11s_keypair_remove(struct p11s_session *session, struct p11s_keypair *pair,
                                  struct p11s_error *e)
{
  struct p11s_object_name name = named(pair->label);
  enum p11s_err result;
  size_t found;

  if (atomic_load(&pair->state) != P11S_PAIR_RENAMED)
    add_id(&name, pair);
  result = remove_named(session, &name, &found, e);
  if (result == P11S_OK)
    atomic_store(&pair->state, P11S_PAIR_NONE);
  return result;
}

static void add_command(struct p11s_buf *out, const struct p11s_keypair *pair)
{
  p11s_buf_addf(out, "for t in pubkey privkey; do %s --login --delete-object --type $t ",
                pair->tool);
  if (atomic_load(&pair->state) == P11S_PAIR_RENAMED) {
    p11s_buf_addstr(out, "--label ");
    p11s_buf_add_shell(out, pair->label);
  } else {
    p11s_buf_addstr(out, "--id ");
    p11s_buf_add_hex(out, pair->id, sizeof pair->id);
  }
  p11s_buf_addstr(out, "; done");
}

void p11s_keypair_say_left(const struct p11s_keypair *pair, struct p11s_error *e)
{
  struct p11s_buf command = P11S_BUF_INIT;

  if (e == NULL || !may_be_there(pair))
    return;
  add_command(&command, pair);
  p11s_error_reword(e, "%.*s; %s: %s", CAUSE_MAX, e->text,
                    atomic_load(&pair->state) == P11S_PAIR_BEGUN
                        ? "the token may have made the key pair; this removes it"
                        : "the new key pair stays on the token; this removes it",
                    p11s_buf_text(&command));
  p11s_buf_clear(&command);
}
