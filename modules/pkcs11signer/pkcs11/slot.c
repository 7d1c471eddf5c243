/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "pkcs11/slot.h"

#include "base/lock.h"
#include "base/buf.h"
#include "base/log.h"
#include "pkcs11/list.h"
#include "pkcs11/module.h"
#include "pkcs11/rv.h"
#include "pkcs11/uri.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define NAMED_MAX 10
/* A slot may fail for a moment: SoftHSM cannot read a token that another process is writing to. */
#define LOOKS_AGAIN 3
#define REST_MS 20u /* then two and four times that */

/* A slot with a token in it. */
struct candidate {
  struct p11s_slot_info info;
  CK_SLOT_INFO slot;
  CK_TOKEN_INFO token;
  char label[33]; /* as the token has it; info.label is made fit to be shown */
};

struct candidates {
  struct candidate *list;
  size_t count;
  CK_ULONG slots; /* with or without a token */
  CK_RV trouble;  /* why a slot was passed over, when not just for being empty */
};

static CK_RV list_slots(const struct p11s_list_call *call, CK_ULONG *list, CK_ULONG *count)
{
  return call->module->C_GetSlotList(CK_FALSE, list, count);
}

static enum p11s_err get_slots(CK_FUNCTION_LIST *module, CK_SLOT_ID **ret_ids, CK_ULONG *ret_count,
                               struct p11s_error *e)
{
  const struct p11s_list_call call = {list_slots, module, 0, "C_GetSlotList", "slots"};
  struct p11s_error said = {0};

  if (p11s_list_read(&call, ret_ids, ret_count, &said) == P11S_OK)
    return P11S_OK;
  if (said.code == P11S_ERR_TOKEN && p11s_rv_is_lost(said.rv))
    said.code = P11S_ERR_NO_SLOTS;
  if (e != NULL)
    *e = said;
  return said.code;
}

/* p11-kit's URI matching wants blanks where some tokens have NULs. */
static void pad_with_blanks(CK_UTF8CHAR *text, size_t len)
{
  size_t used = strnlen((const char *)text, len);

  memset(text + used, ' ', len - used);
}

static void pad_all(struct candidate *c)
{
  pad_with_blanks(c->slot.slotDescription, sizeof c->slot.slotDescription);
  pad_with_blanks(c->slot.manufacturerID, sizeof c->slot.manufacturerID);
  pad_with_blanks(c->token.label, sizeof c->token.label);
  pad_with_blanks(c->token.manufacturerID, sizeof c->token.manufacturerID);
  pad_with_blanks(c->token.model, sizeof c->token.model);
  pad_with_blanks(c->token.serialNumber, sizeof c->token.serialNumber);
}

static void describe(CK_SLOT_ID id, struct candidate *c)
{
  struct p11s_slot_info *info = &c->info;
  const CK_TOKEN_INFO *token = &c->token;
  size_t len = sizeof token->label;

  pad_all(c);
  info->id = id;
  p11s_padded_copy(info->label, sizeof info->label, token->label, sizeof token->label);
  p11s_padded_copy(info->serial, sizeof info->serial, token->serialNumber,
                   sizeof token->serialNumber);
  p11s_padded_copy(info->manufacturer, sizeof info->manufacturer, token->manufacturerID,
                   sizeof token->manufacturerID);
  p11s_padded_copy(info->model, sizeof info->model, token->model, sizeof token->model);
  info->flags = token->flags;
  if (token->ulMaxSessionCount != CK_UNAVAILABLE_INFORMATION)
    info->max_sessions = token->ulMaxSessionCount; /* 0 is CK_EFFECTIVELY_INFINITE */
  while (len > 0 && token->label[len - 1] == ' ')
    len--;
  memcpy(c->label, token->label, len);
}

/* Whether there is a token; asking C_GetSlotInfo first makes OpenSC look at the reader again. */
static bool look_into(CK_FUNCTION_LIST *module, CK_SLOT_ID id, struct candidate *c, CK_RV *trouble)
{
  const char *call = "C_GetSlotInfo";
  CK_RV rv;

  memset(c, 0, sizeof *c);
  rv = module->C_GetSlotInfo(id, &c->slot);
  if (rv == CKR_OK && (c->slot.flags & CKF_TOKEN_PRESENT) == 0)
    return false;
  if (rv == CKR_OK) {
    call = "C_GetTokenInfo";
    rv = module->C_GetTokenInfo(id, &c->token);
  }
  if (rv == CKR_OK) {
    describe(id, c);
    return true;
  }
  p11s_log_debug("slot %lu is passed over: %s: %s", id, call, p11s_rv_name(rv));
  if (rv != CKR_TOKEN_NOT_PRESENT)
    *trouble = rv;
  return false;
}

static enum p11s_err collect(CK_FUNCTION_LIST *module, struct candidates *ret, struct p11s_error *e)
{
  CK_SLOT_ID *ids = NULL;
  CK_ULONG count = 0;
  enum p11s_err result = get_slots(module, &ids, &count, e);

  if (result != P11S_OK)
    return result;
  *ret = (struct candidates){calloc(count + 1, sizeof *ret->list), 0, count, CKR_OK};
  if (ret->list == NULL) {
    free(ids);
    return p11s_error_no_memory(e);
  }
  for (CK_ULONG i = 0; i < count; i++)
    if (look_into(module, ids[i], &ret->list[ret->count], &ret->trouble))
      ret->count++;
  free(ids);
  return P11S_OK;
}

/* What a token is looked for by; text or uri, as the match function wants it. */
struct wanted {
  const char *text;
  P11KitUri *uri;
  CK_SLOT_ID id;
};
typedef bool (*match_fn)(const struct candidate *c, const struct wanted *w);

static bool is_initialized(const struct candidate *c)
{
  return (c->token.flags & CKF_TOKEN_INITIALIZED) != 0;
}

static bool match_label(const struct candidate *c, const struct wanted *w)
{
  return is_initialized(c) && strcmp(c->label, w->text) == 0;
}

static bool match_label_nocase(const struct candidate *c, const struct wanted *w)
{
  return is_initialized(c) && strcasecmp(c->label, w->text) == 0;
}

/* Until 0.25, OpenSC called a token "LABEL (NAME OF ITS PIN)"; since, only one that has several. */
static bool match_label_of_old_opensc(const struct candidate *c, const struct wanted *w)
{
  static const char end[] = "PIN)";
  size_t len = strlen(w->text), own = strlen(c->label);

  return is_initialized(c) && own > 0 && len > own + sizeof end &&
         strncmp(w->text, c->label, own) == 0 && strncmp(w->text + own, " (", 2) == 0 &&
         strcmp(w->text + len - strlen(end), end) == 0;
}

static bool match_serial(const struct candidate *c, const struct wanted *w)
{
  return is_initialized(c) && strcmp(c->info.serial, w->text) == 0;
}

static bool match_number(const struct candidate *c, const struct wanted *w)
{
  return c->info.id == w->id;
}

static bool match_uri(const struct candidate *c, const struct wanted *w)
{
  CK_SLOT_ID id = p11_kit_uri_get_slot_id(w->uri);

  if (id != (CK_SLOT_ID)-1 ? id != c->info.id : !is_initialized(c))
    return false;
  return p11_kit_uri_match_token_info(w->uri, &c->token) &&
         p11_kit_uri_match_slot_info(w->uri, &c->slot);
}

static enum p11s_err ambiguous(const char *spec, const struct candidate *a,
                               const struct candidate *b, struct p11s_error *e)
{
  return p11s_error_set(e, P11S_ERR_AMBIGUOUS,
                        "two tokens answer to '%s': '%s', serial %s, in slot %lu and '%s', serial "
                        "%s, in slot %lu; name one by its serial or slot number",
                        spec, a->info.label, a->info.serial, a->info.id, b->info.label,
                        b->info.serial, b->info.id);
}

/* P11S_OK with *ret_found NULL when none matches. */
static enum p11s_err pick(const struct candidates *all, match_fn match, const struct wanted *w,
                          const struct candidate **ret_found, struct p11s_error *e)
{
  const struct candidate *found = NULL;

  for (size_t i = 0; i < all->count; i++) {
    if (!match(&all->list[i], w))
      continue;
    if (found != NULL)
      return ambiguous(w->text, found, &all->list[i], e);
    found = &all->list[i];
  }
  *ret_found = found;
  return P11S_OK;
}

/* Decimal, or hexadecimal behind 0x, as pkcs11-tool and others print slots. */
static bool parse_number(const char *text, CK_SLOT_ID *ret)
{
  bool is_hex =
      text[0] == '0' && (text[1] == 'x' || text[1] == 'X') && isxdigit((unsigned char)text[2]) != 0;
  char *end;

  if (text[0] < '0' || text[0] > '9')
    return false;
  errno = 0;
  *ret = strtoul(text, &end, is_hex ? 16 : 10);
  return errno == 0 && *end == 0;
}

static enum p11s_err pick_by_text(const struct candidates *all, const char *spec,
                                  const struct candidate **ret_found, struct p11s_error *e)
{
  static const match_fn matches[] = {match_label, match_label_nocase, match_serial, match_number,
                                     match_label_of_old_opensc};
  struct wanted w = {spec, NULL, 0};
  bool is_number = parse_number(spec, &w.id);
  enum p11s_err result = P11S_OK;

  *ret_found = NULL;
  for (size_t i = 0; i < sizeof matches / sizeof matches[0]; i++)
    if (result == P11S_OK && *ret_found == NULL && (matches[i] != match_number || is_number))
      result = pick(all, matches[i], &w, ret_found, e);
  return result;
}

/* Appends the tokens that there are, and why a slot was passed over. */
static void add_what_is_there(const struct candidates *all, struct p11s_buf *out)
{
  for (size_t i = 0; i < all->count && i < NAMED_MAX; i++)
    p11s_buf_addf(out, "%s'%s' (serial %s, slot %lu%s)", i > 0 ? ", " : "", all->list[i].info.label,
                  all->list[i].info.serial, all->list[i].info.id,
                  is_initialized(&all->list[i]) ? "" : ", not initialized");
  if (all->count == 0)
    p11s_buf_addstr(out, "none");
  if (all->count > NAMED_MAX)
    p11s_buf_addf(out, " and %zu more", all->count - NAMED_MAX);
  if (all->trouble != CKR_OK)
    p11s_buf_addf(out, " (a slot was passed over: %s)", p11s_rv_name(all->trouble));
}

static enum p11s_err none_found(const struct candidates *all, const char *spec,
                                struct p11s_error *e)
{
  struct p11s_buf there = P11S_BUF_INIT;

  if (all->slots == 0)
    return p11s_error_set(e, P11S_ERR_NO_SLOTS,
                          "there is no token '%s', as the module has no slots: is what it talks to "
                          "(reader, daemon, the other side of a connection) there?",
                          spec);
  add_what_is_there(all, &there);
  (void)p11s_error_set(e, P11S_ERR_NO_TOKEN, "there is no token '%s'; there %s %s", spec,
                       all->count > 1 ? "are" : "is", p11s_buf_text(&there));
  p11s_buf_clear(&there);
  return p11s_rv_put(e, all->count == 0 ? CKR_TOKEN_NOT_PRESENT : CKR_OK, P11S_ERR_NO_TOKEN);
}

static enum p11s_err parse_spec(const char *spec, P11KitUri **ret_uri, struct p11s_error *e)
{
  enum p11s_err result;

  if (spec[0] == 0)
    return p11s_error_set(e, P11S_ERR_SYNTAX,
                          "the slot is empty: it wants a token label, a serial, a slot number or a "
                          "pkcs11: URI");
  if (!p11s_uri_is(spec))
    return P11S_OK;
  result = p11s_uri_parse(spec, ret_uri, e);
  if (result == P11S_OK && !p11s_uri_names_token(*ret_uri))
    result = p11s_error_set(e, P11S_ERR_SYNTAX,
                            "URI '%s' names no token: it needs token=, serial= or slot-id=", spec);
  return result;
}

/* As they are now; *ret_found NULL when none matches. */
static enum p11s_err look(CK_FUNCTION_LIST *module, const char *spec, P11KitUri *uri,
                          struct candidates *ret_all, const struct candidate **ret_found,
                          struct p11s_error *e)
{
  enum p11s_err result = collect(module, ret_all, e);

  if (result != P11S_OK)
    return result;
  if (uri != NULL)
    return pick(ret_all, match_uri, &(struct wanted){spec, uri, 0}, ret_found, e);
  return pick_by_text(ret_all, spec, ret_found, e);
}

enum p11s_err p11s_slot_find(CK_FUNCTION_LIST *module, const char *spec,
                             struct p11s_slot_info *ret_info, struct p11s_error *e)
{
  struct candidates all = {NULL, 0, 0, CKR_OK};
  const struct candidate *found = NULL;
  P11KitUri *uri = NULL;
  enum p11s_err result = parse_spec(spec, &uri, e);

  if (result == P11S_OK)
    result = look(module, spec, uri, &all, &found, e);
  for (unsigned i = 0;
       i < LOOKS_AGAIN && result == P11S_OK && found == NULL && all.trouble != CKR_OK; i++) {
    free(all.list);
    all.list = NULL;
    p11s_pause(REST_MS << i);
    result = look(module, spec, uri, &all, &found, e);
  }
  if (result == P11S_OK && found != NULL)
    *ret_info = found->info;
  else if (result == P11S_OK)
    result = none_found(&all, spec, e);
  if (uri != NULL)
    p11_kit_uri_free(uri);
  free(all.list);
  return result;
}

bool p11s_slot_look(CK_FUNCTION_LIST *module, CK_SLOT_ID id, struct p11s_slot_info *ret_info)
{
  CK_RV trouble = CKR_OK;
  struct candidate c;
  bool found = look_into(module, id, &c, &trouble);

  for (unsigned i = 0; i < LOOKS_AGAIN && !found && trouble != CKR_OK; i++) {
    p11s_pause(REST_MS << i);
    trouble = CKR_OK;
    found = look_into(module, id, &c, &trouble);
  }
  if (found)
    *ret_info = c.info;
  return found;
}

enum p11s_err p11s_slot_each(CK_FUNCTION_LIST *module,
                             void (*fn)(const struct p11s_slot_info *info, void *arg), void *arg,
                             struct p11s_error *e)
{
  struct candidates all = {NULL, 0, 0, CKR_OK};
  enum p11s_err result = collect(module, &all, e);

  for (size_t i = 0; result == P11S_OK && i < all.count; i++)
    fn(&all.list[i].info, arg);
  free(all.list);
  return result;
}

int p11s_slot_compare(const struct p11s_slot_info *a, const struct p11s_slot_info *b)
{
  int order = (a->id > b->id) - (a->id < b->id);

  if (order == 0)
    order = strcmp(a->serial, b->serial);
  if (order == 0)
    order = strcmp(a->label, b->label);
  if (order == 0)
    order = strcmp(a->manufacturer, b->manufacturer);
  return order != 0 ? order : strcmp(a->model, b->model);
}

bool p11s_slot_is_known(const struct p11s_slot_info *info)
{
  return info->serial[0] != '\0' || info->label[0] != '\0' || info->manufacturer[0] != '\0' ||
         info->model[0] != '\0';
}
