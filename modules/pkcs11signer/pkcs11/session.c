/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A session's life: open, log in, close (pkcs11/session.h). */
#include "pkcs11/session_internal.h"

#include "base/log.h"

#include <p11-kit/p11-kit.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static enum p11s_err no_session_left(const struct p11s_slot_info *slot, struct p11s_error *e)
{
  char most[64] = "";

  if (slot->max_sessions != 0)
    (void)snprintf(most, sizeof most, ", it has %lu at most", slot->max_sessions);
  return p11s_error_set(
      e, P11S_ERR_TOKEN,
      "token '%s' (serial %s) has no session left (CKR_SESSION_COUNT%s): other "
      "programs have them, and a server keeps its own as long as it runs; give it "
      "fewer (pkcs11signer-sessions), or stop it for as long as this takes",
      slot->label, slot->serial, most);
}

static enum p11s_err open_failed(CK_RV rv, const struct p11s_slot_info *slot, struct p11s_error *e)
{
  switch (rv) {
  case CKR_TOKEN_NOT_RECOGNIZED:
    if ((slot->flags & CKF_TOKEN_INITIALIZED) == 0)
      return p11s_error_set(e, P11S_ERR_NO_TOKEN, "the token in slot %lu is not initialized",
                            slot->id);
    return p11s_error_set(e, P11S_ERR_NO_TOKEN, "the token in slot %lu is not recognized",
                          slot->id);
  case CKR_TOKEN_NOT_PRESENT:
  case CKR_DEVICE_REMOVED:
    return p11s_error_set(e, P11S_ERR_NO_TOKEN, "token '%s' (serial %s) has been removed",
                          slot->label, slot->serial);
  case CKR_TOKEN_WRITE_PROTECTED:
    return p11s_error_set(e, P11S_ERR_TOKEN, "token '%s' (serial %s) is write-protected",
                          slot->label, slot->serial);
  case CKR_SESSION_COUNT:
    return no_session_left(slot, e);
  default:
    return p11s_error_set(e, P11S_ERR_TOKEN, "token '%s' (serial %s): C_OpenSession: %s",
                          slot->label, slot->serial, p11s_rv_name(rv));
  }
}

/* Whether rv, of C_OpenSession, may mean that the token gives no read-only sessions. */
static bool may_refuse_read_only(CK_RV rv)
{
  return rv == CKR_FUNCTION_FAILED || rv == CKR_FUNCTION_NOT_SUPPORTED ||
         rv == CKR_FUNCTION_REJECTED || rv == CKR_GENERAL_ERROR || rv == CKR_ARGUMENTS_BAD ||
         rv == CKR_SESSION_PARALLEL_NOT_SUPPORTED || rv == CKR_SESSION_READ_WRITE_SO_EXISTS;
}

static CK_RV open_kind(struct p11s_session *s, bool rw)
{
  s->rw = rw;
  return s->module->C_OpenSession(s->slot.id, CKF_SERIAL_SESSION | (rw ? CKF_RW_SESSION : 0), NULL,
                                  NULL, &s->handle);
}

static CK_RV open_for(struct p11s_session *s, enum p11s_session_use use)
{
  bool rw = use != P11S_SESSION_READ;
  CK_RV rv;

  if (use == P11S_SESSION_WRITE && (s->slot.flags & CKF_WRITE_PROTECTED) != 0)
    return CKR_TOKEN_WRITE_PROTECTED;
  rv = open_kind(s, rw);
  if (rv == CKR_OK || use == P11S_SESSION_WRITE || (!rw && !may_refuse_read_only(rv)))
    return rv;
  return open_kind(s, !rw) == CKR_OK ? CKR_OK : rv;
}

enum p11s_err p11s_session_open(CK_FUNCTION_LIST *module, const char *slot_spec,
                                enum p11s_session_use use, struct p11s_session **ret_session,
                                struct p11s_error *e)
{
  struct p11s_session *s = calloc(1, sizeof *s);
  enum p11s_err result;
  CK_RV rv;

  if (s == NULL)
    return p11s_error_no_memory(e);
  s->module = module;
  result = p11s_slot_find(module, slot_spec, &s->slot, e);
  if (result != P11S_OK)
    goto failed;
  rv = open_for(s, use);
  if (rv != CKR_OK) {
    result = p11s_rv_put(e, rv, open_failed(rv, &s->slot, e));
    goto failed;
  }
  *ret_session = s;
  return P11S_OK;

failed:
  free(s);
  return result;
}

void p11s_session_close(struct p11s_session *s)
{
  if (s == NULL)
    return;
  /* A lost session cannot be closed: nothing to be done about it. */
  (void)s->module->C_CloseSession(s->handle);
  p11s_session_forget(s);
}

void p11s_session_forget(struct p11s_session *s)
{
  if (s == NULL)
    return;
  p11s_mechanisms_clear(&s->mechanisms);
  free(s);
}

const struct p11s_slot_info *p11s_session_slot(const struct p11s_session *s)
{
  return &s->slot;
}

CK_FUNCTION_LIST *p11s_session_module(const struct p11s_session *s)
{
  return s->module;
}

bool p11s_session_is_rw(const struct p11s_session *s)
{
  return s->rw;
}

bool p11s_session_is_spoilt(const struct p11s_session *s)
{
  return s->spoilt;
}

const struct p11s_mechanisms *p11s_session_mechanisms(struct p11s_session *s, struct p11s_error *e)
{
  if (s->mechanisms.list == NULL &&
      p11s_mechanisms_get(s->module, s->slot.id, &s->mechanisms, e) != P11S_OK)
    return NULL;
  return &s->mechanisms;
}

bool p11s_session_has_user(const struct p11s_session *s)
{
  CK_SESSION_INFO info;

  memset(&info, 0, sizeof info);
  return s->module->C_GetSessionInfo(s->handle, &info) == CKR_OK &&
         (info.state == CKS_RO_USER_FUNCTIONS || info.state == CKS_RW_USER_FUNCTIONS);
}

void p11s_session_log_out(struct p11s_session *s)
{
  (void)s->module->C_Logout(s->handle);
}

bool p11s_session_logged_in(struct p11s_session *s)
{
  return (s->slot.flags & CKF_LOGIN_REQUIRED) == 0 || p11s_session_has_user(s);
}

enum p11s_err p11s_session_no_pin_to_give(const struct p11s_session *s, struct p11s_error *e)
{
  if ((s->slot.flags & CKF_PROTECTED_AUTHENTICATION_PATH) == 0)
    return P11S_OK;
  return p11s_error_set(e, P11S_ERR_NO_PIN,
                        "token '%s' (serial %s) takes its PIN from a keypad of its own "
                        "(CKF_PROTECTED_AUTHENTICATION_PATH), and a server has nobody to type it: "
                        "have its driver take the PIN from here (OpenSC: enable_pinpad = false in "
                        "opensc.conf), or use a token without a keypad",
                        s->slot.label, s->slot.serial);
}

struct namesakes {
  const char *label;
  unsigned count;
};

static void count_namesake(const struct p11s_slot_info *info, void *arg)
{
  struct namesakes *namesakes = arg;

  namesakes->count += strcmp(info->label, namesakes->label) == 0;
}

/* For pkcs11-tool, which takes the first of several tokens of one label: a PIN may not go there. */
static void add_token_option(struct p11s_buf *command, const struct p11s_session *s)
{
  struct namesakes namesakes = {s->slot.label, 0};
  enum p11s_err result = p11s_slot_each(s->module, count_namesake, &namesakes, NULL);

  if (result != P11S_OK || namesakes.count > 1) {
    p11s_buf_addf(command, "--slot 0x%lx", s->slot.id);
    return;
  }
  p11s_buf_addstr(command, "--token-label ");
  p11s_buf_add_shell(command, s->slot.label);
}

void p11s_session_add_tool(const struct p11s_session *s, struct p11s_buf *out)
{
  char *path = p11_kit_module_get_filename(s->module);

  p11s_buf_addstr(out, "pkcs11-tool ");
  if (path != NULL) {
    p11s_buf_addstr(out, "--module ");
    p11s_buf_add_shell(out, path);
    p11s_buf_addstr(out, " ");
  }
  add_token_option(out, s);
  free(path);
}

/* subject: "token" or what of it; behind: what is the matter, and what to do with the command that
   follows it. */
static enum p11s_err left_to_people(const struct p11s_session *s, enum p11s_err code,
                                    const char *subject, const char *behind, const char *options,
                                    struct p11s_error *e)
{
  struct p11s_buf command = P11S_BUF_INIT;

  p11s_session_add_tool(s, &command);
  (void)p11s_error_set(e, code, "%s '%s' (serial %s) %s: %s %s", subject, s->slot.label,
                       s->slot.serial, behind, p11s_buf_text(&command), options);
  p11s_buf_clear(&command);
  return code;
}

static enum p11s_err pin_locked(const struct p11s_slot_info *slot, struct p11s_error *e)
{
  return p11s_error_set(e, P11S_ERR_PIN_LOCKED,
                        "the PIN of token '%s' (serial %s) is locked: unlock it with the token's "
                        "own tools (SO PIN or PUK)",
                        slot->label, slot->serial);
}

static enum p11s_err judge_flags(const struct p11s_session *s, struct p11s_error *e)
{
  const struct p11s_slot_info *slot = &s->slot;

  if ((slot->flags & CKF_USER_PIN_LOCKED) != 0)
    return pin_locked(slot, e);
  if ((slot->flags & CKF_USER_PIN_FINAL_TRY) != 0)
    return left_to_people(s, P11S_ERR_PIN_LOCKED, "the PIN of token",
                          "is on its final try, which is left to you: log in once with the right "
                          "PIN",
                          "--login --test", e);
  return p11s_session_no_pin_to_give(s, e);
}

/* They stay when the token does not say. */
static CK_RV read_flags(struct p11s_session *s)
{
  CK_TOKEN_INFO token = {.flags = 0};
  CK_RV rv = s->module->C_GetTokenInfo(s->slot.id, &token);

  if (rv == CKR_OK)
    s->slot.flags = token.flags;
  return rv;
}

enum p11s_err p11s_session_check_pin(struct p11s_session *s, struct p11s_error *e)
{
  CK_RV rv = read_flags(s);

  return rv == CKR_OK ? judge_flags(s, e) : p11s_rv_error(e, rv, "C_GetTokenInfo");
}

enum p11s_err p11s_session_judge_flags(CK_FUNCTION_LIST *module, const struct p11s_slot_info *slot,
                                       struct p11s_error *e)
{
  return judge_flags(&(struct p11s_session){.module = module, .slot = *slot}, e);
}

void p11s_session_reread_flags(struct p11s_session *s)
{
  (void)read_flags(s);
}

static enum p11s_err login_failed(const struct p11s_session *s, CK_RV rv, struct p11s_error *e)
{
  const struct p11s_slot_info *slot = &s->slot;

  switch (rv) {
  case CKR_PIN_INCORRECT:
  case CKR_PIN_LEN_RANGE:
  case CKR_PIN_INVALID:
    return p11s_error_set(e, P11S_ERR_PIN_REFUSED,
                          "token '%s' (serial %s) refused the PIN (%s): it is not tried again; "
                          "correct it, mind that tokens lock after a few wrong ones",
                          slot->label, slot->serial, p11s_rv_name(rv));
  case CKR_PIN_LOCKED:
    return pin_locked(slot, e);
  case CKR_USER_PIN_NOT_INITIALIZED:
    return left_to_people(s, P11S_ERR_TOKEN, "token", "has no user PIN yet: set one",
                          "--login --login-type so --init-pin", e);
  case CKR_PIN_EXPIRED:
    return p11s_error_set(e, P11S_ERR_TOKEN,
                          "the PIN of token '%s' (serial %s) must be changed: %s", slot->label,
                          slot->serial, p11s_rv_name(rv));
  case CKR_USER_ANOTHER_ALREADY_LOGGED_IN:
    return p11s_error_set(e, P11S_ERR_TOKEN,
                          "the security officer is logged in to token '%s' (serial %s)",
                          slot->label, slot->serial);
  default:
    return p11s_error_set(e, P11S_ERR_TOKEN, "token '%s' (serial %s): C_Login: %s", slot->label,
                          slot->serial, p11s_rv_name(rv));
  }
}

enum p11s_err p11s_session_login(struct p11s_session *s, CK_USER_TYPE user,
                                 const struct p11s_secret *pin, struct p11s_login_call *ret_call,
                                 struct p11s_error *e)
{
  enum p11s_err result;
  CK_RV rv;

  *ret_call = (struct p11s_login_call){false, CKR_OK};
  if (user == CKU_USER && p11s_session_has_user(s))
    return P11S_OK;
  /* For one signature p11s_login() has just done so; each call counts there. */
  result = user == CKU_USER ? p11s_session_check_pin(s, e) : P11S_OK;
  if (result != P11S_OK)
    return result;
  if (p11s_secret_len(pin) == 0)
    return p11s_error_set(e, P11S_ERR_NO_PIN, "token '%s' (serial %s) needs a PIN", s->slot.label,
                          s->slot.serial);
  /* C_Login takes the PIN as not const but only reads it. */
  rv = s->module->C_Login(s->handle, user, (CK_UTF8CHAR *)p11s_secret_data(pin),
                          p11s_secret_len(pin));
  p11s_log_debug("token '%s' (serial %s): C_Login%s: %s", s->slot.label, s->slot.serial,
                 user == CKU_CONTEXT_SPECIFIC ? " for one signature" : "", p11s_rv_name(rv));
  *ret_call = (struct p11s_login_call){true, rv};
  if (rv == CKR_OK || rv == CKR_USER_ALREADY_LOGGED_IN)
    return P11S_OK;
  return p11s_rv_put(e, rv, login_failed(s, rv, e));
}
