/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Several keys of one name: which is meant, and what belongs together (sign/key_internal.h). */
#include "pkcs11/attribute.h"
#include "base/buf.h"
#include "sign/key_internal.h"
#include "pkcs11/rv.h"
#include "pkcs11/uri.h"

#define NONE SIZE_MAX
#define NAMED_MOST 5
#define NEW_ID_LEN 8 /* of a public key's hash: no other key has it */

struct search {
  struct p11s_key *key;
  struct p11s_work *work;
  const struct p11s_handles *found;
  const struct p11s_publics *publics;
  bool known;
  struct p11s_error refusal; /* why the last one could not sign */
};

/* Whether a private key that answers so is just not the one, and the next is to be tried. */
static bool is_its_own_fault(const struct p11s_error *said)
{
  return said->code == P11S_ERR_SIGNATURE || said->code == P11S_ERR_TOO_LONG ||
         (said->code == P11S_ERR_TOKEN && !p11s_rv_is_lost(said->rv));
}

/* Has the private key sign a message that nobody needs. *ret_at: the public key that verifies that,
   or NONE. */
static enum p11s_err try_private(struct search *s, CK_OBJECT_HANDLE handle, struct p11s_grip *grip,
                                 size_t *ret_at, struct p11s_error *e)
{
  static const unsigned char message[] = "pkcs11signer: which key is this?";
  struct p11s_signature signature;
  struct p11s_signing signing = {
      .message = message, .len = sizeof message - 1, .signature = &signature};
  enum p11s_err result = p11s_key_grip(s->key, s->work, handle, grip, e);

  *ret_at = NONE;
  if (result != P11S_OK)
    return result;
  result = p11s_key_sign_on_token(s->key, s->work, grip, &signing, &s->refusal);
  if (result != P11S_OK && !is_its_own_fault(&s->refusal)) {
    *e = s->refusal;
    return result;
  }
  for (size_t i = 0; result == P11S_OK && *ret_at == NONE && i < s->publics->count; i++)
    if (p11s_key_verify_signing(s->key, s->publics->list[i], &signing))
      *ret_at = i;
  return P11S_OK;
}

/* -- messages */

static enum p11s_err none_fits(const struct search *s, struct p11s_error *e)
{
  const char *label = s->key->ref->label;
  bool refused = s->refusal.code != P11S_OK;

  if (s->known)
    return p11s_error_set(e, P11S_ERR_KEY_MISMATCH,
                          "the token has %zu private keys '%s', and none of them is the %s "
                          "one%s%s; put the right key back, or assign one of these to the zone",
                          s->found->count, label, s->key->pinned ? "pinned" : "former",
                          refused ? ", as far as they sign: " : "", s->refusal.text);
  return p11s_error_set(e, P11S_ERR_NO_KEY,
                        "the token has %zu private key%s and %zu public key%s '%s', and no two of "
                        "them belong together%s%s",
                        s->found->count, p11s_plural(s->found->count), s->publics->count,
                        p11s_plural(s->publics->count), label, refused ? ": " : "",
                        s->refusal.text);
}

static void read_attribute(const struct search *s, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type,
                           struct p11s_bytes *ret)
{
  if (p11s_attribute_read(s->work->session, object, type, ret, NULL) != P11S_OK)
    *ret = (struct p11s_bytes){NULL, 0};
}

/* As an argument for a shell. */
static void add_uri(const struct p11s_bytes *label, const unsigned char *id, size_t id_len,
                    struct p11s_buf *out)
{
  struct p11s_buf uri = P11S_BUF_INIT;

  p11s_buf_addstr(&uri, "pkcs11:object=");
  p11s_uri_add_value(&uri, label->data, label->len);
  p11s_buf_addstr(&uri, ";id=");
  for (size_t i = 0; i < id_len; i++)
    p11s_buf_addf(&uri, "%%%02x", id[i]);
  p11s_buf_add_shell(out, p11s_buf_text(&uri));
  p11s_buf_clear(&uri);
}

/* How one of two keys gets another id, and what both go by then. */
static void add_way_out(const struct search *s, const struct p11s_bytes *label,
                        const struct p11s_bytes *id, struct p11s_buf *out)
{
  const unsigned char *fresh = p11s_pubkey_hash(s->publics->list[0]);

  p11s_buf_addstr(out, "two of them have one id, too. The command at the end gives one another id; "
                       "then name it ");
  add_uri(label, fresh, NEW_ID_LEN, out);
  p11s_buf_addstr(out, ", the other ");
  add_uri(label, id->data, id->len, out);
  p11s_buf_addstr(out, ": ");
  p11s_session_add_tool(s->work->session, out);
  p11s_buf_addstr(out, " --login --type privkey --id ");
  p11s_buf_add_hex(out, id->data, id->len);
  p11s_buf_addstr(out, " --set-id ");
  p11s_buf_add_hex(out, fresh, NEW_ID_LEN);
}

/* What the keys can be told apart by, if anything; else how that can be changed. */
static void add_advice(const struct search *s, struct p11s_buf *out)
{
  size_t count = s->found->count < NAMED_MOST ? s->found->count : NAMED_MOST, same = NONE;
  struct p11s_bytes label[NAMED_MOST], id[NAMED_MOST];

  for (size_t i = 0; i < count; i++) {
    read_attribute(s, s->found->list[i], CKA_LABEL, &label[i]);
    read_attribute(s, s->found->list[i], CKA_ID, &id[i]);
    for (size_t k = 0; k < i && same == NONE; k++)
      if (p11s_bytes_equal(&id[k], id[i].data, id[i].len))
        same = i;
  }
  if (same != NONE && id[same].len > 0) {
    add_way_out(s, &label[same], &id[same], out);
  } else if (same != NONE) {
    p11s_buf_addstr(out, "and two of them have no id: give each an id of its own, or delete the "
                         "one that is not needed");
  } else {
    p11s_buf_addstr(out, "name the one that is meant: ");
    for (size_t i = 0; i < count; i++) {
      p11s_buf_addstr(out, i == 0 ? "" : i + 1 < s->found->count ? ", " : " or ");
      add_uri(&label[i], id[i].data, id[i].len, out);
    }
    p11s_buf_addstr(out, count < s->found->count ? " or another" : "");
  }
  for (size_t i = 0; i < count; i++) {
    p11s_bytes_clear(&label[i]);
    p11s_bytes_clear(&id[i]);
  }
}

static enum p11s_err say_ambiguous(const struct search *s, struct p11s_error *e)
{
  struct p11s_buf advice = P11S_BUF_INIT;

  add_advice(s, &advice);
  (void)p11s_error_set(e, P11S_ERR_AMBIGUOUS,
                       "the token has %zu different private keys '%s', and no public key is pinned "
                       "that says which is meant; %s",
                       s->found->count, s->key->ref->label, p11s_buf_text(&advice));
  p11s_buf_clear(&advice);
  return P11S_ERR_AMBIGUOUS;
}

/* -- finding out */

static enum p11s_err match_known(struct search *s, struct p11s_match *match, struct p11s_error *e)
{
  for (size_t i = 0; i < s->found->count; i++) {
    enum p11s_err result = try_private(s, s->found->list[i], &match->grip, &match->at, e);

    if (result != P11S_OK || match->at != NONE)
      return result;
  }
  return none_fits(s, e);
}

static enum p11s_err match_twins(struct search *s, struct p11s_match *match, struct p11s_error *e)
{
  bool differ = false;
  size_t first = NONE;

  for (size_t i = 0; i < s->found->count; i++) {
    enum p11s_err result = try_private(s, s->found->list[i], &match->grip, &match->at, e);

    if (result != P11S_OK)
      return result;
    if (i == 0)
      first = match->at;
    differ = differ || match->at != first;
  }
  if (differ)
    return say_ambiguous(s, e);
  return first == NONE ? none_fits(s, e) : P11S_OK;
}

enum p11s_err p11s_key_match(struct p11s_key *key, struct p11s_work *work,
                             const struct p11s_handles *found, const struct p11s_publics *publics,
                             struct p11s_match *match, struct p11s_error *e)
{
  struct search s = {key, work, found, publics, match->known, {0}};

  return match->known ? match_known(&s, match, e) : match_twins(&s, match, e);
}
