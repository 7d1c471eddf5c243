/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A PKCS#11 module in front of another one: writes down who calls what, and spoils
 * calls where a test says so. It keeps no state of its own but the lists of calls, which
 * sessions are open, and how often a rule was applied.
 *
 *   P11SPY_MODULE  the real module
 *   P11SPY_LOG     file to which "THREADNAME FUNCTION" is appended for each call
 *   P11SPY_EVENTS  file to which "FUNCTION SESSION 0xRV" is appended when a call ends, and
 *                  "FUNCTION SESSION hangs" when one begins to; SESSION is 0 where there is none
 *   P11SPY_KEYS    file to which the label of the key is appended for each C_SignInit
 *   P11SPY_RULES   file with rules, read again at each call; one a line:
 *
 *     C_Login return 0xa4       do not call the module, return that
 *     C_Sign fail 0x30 once     the same for the next call only,
 *     C_Sign fail 0x30 3 times  or for so many
 *     C_Sign late 0x30          call the module, and return that when it says CKR_OK; also late
 * 0x30 once, late 0x30 3 times C_GenerateKeyPair label 8 the label is cut after so many bytes, as
 * some tokens do C_Sign hang               wait until the rule is gone C_Sign hang 1 only so many
 * calls do C_Sign delay 20           take so many milliseconds more C_Sign corrupt            flip
 * one bit of the signature C_Sign zero               nothing but zeros C_Sign short, long, huge say
 * it is one byte less, one more, or a megabyte long C_Sign corrupt 1          of so many
 * signatures, no more; also zero, short, long, huge C_Login blame 0x6         say that of a PIN
 * that is wrong C_OpenSession limit 2     CKR_SESSION_COUNT while so many sessions are open
 *     C_OpenSession read-only 0x6    return that to who asks for a read-only session
 *     C_GetTokenInfo flags 0x40000   set these flags
 *     C_GetTokenInfo clear 0x4       clear these flags
 *     C_GetTokenInfo sessions 2      the most sessions it says it can have
 *     C_FindObjects hide 2           objects of this class (2: public keys) are not found
 *     C_GetAttributeValue raw-point  CKA_EC_POINT of a public key is no DER OCTET STRING
 *     C_GetAttributeValue lend 0x181  a private key has this attribute of its public key, which is
 *                                    the one of the same CKA_ID; 0x129 is made of its P-256 point
 *
 *     C_SignInit forbid 0x1          this mechanism is listed, and refused
 *
 *     C_Sign most 700                CKR_DATA_LEN_RANGE for what is longer; also C_SignUpdate,
 * where it counts the parts together
 *
 *     slots empty 2             so many readers without a token before the module's slots, and as
 *                               many behind
 *     token unplugged           the token is out: its sessions say CKR_DEVICE_REMOVED, and for ever
 *                               after CKR_SESSION_HANDLE_INVALID; the login is gone
 *     token unplugged-opensc    likewise, but C_GetTokenInfo and C_OpenSession say CKR_OK
 *     token unplugged-unseen    likewise, and C_GetSlotInfo says that it is there
 *     token plugs 3             it has been out and in again since this number was another one
 *     token logouts 3           somebody has logged out since this number was another one
 *     token named LABEL         what is said of functions and of the token is said of that token
 *                               alone; calls that concern none are concerned all the same
 *
 * "Once", and numbers, are counted for each process and each line: a word more at the end of the
 * line makes it another one.
 */
#define _GNU_SOURCE
#include "p11spy_objects.h"
#include "p11spy_slots.h"

#include <dlfcn.h>

static CK_FUNCTION_LIST spied;
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* -- sessions open and close */

static CK_RV open_session_locked(CK_SLOT_ID slot, CK_FLAGS flags, void *app, CK_NOTIFY notify,
                                 CK_SESSION_HANDLE_PTR session)
{
  unsigned long limit;
  CK_RV rv;

  if (rule("C_OpenSession", "limit", &limit) && is_meant(slot) && sessions_open >= limit)
    return CKR_SESSION_COUNT;
  if (!(flags & CKF_RW_SESSION) && is_meant(slot) && rule("C_OpenSession", "read-only", &rv))
    return rv;
  rv = module->C_OpenSession(slot, flags, app, notify, session);
  if (!rv)
    add_session_locked(*session, slot);
  return rv;
}

static CK_RV spy_C_OpenSession(CK_SLOT_ID slot, CK_FLAGS flags, void *app, CK_NOTIFY notify,
                               CK_SESSION_HANDLE_PTR session)
{
  struct where where = at_slot(slot);
  enum presence presence;
  CK_RV rv;

  if (intercept("C_OpenSession", where, &rv))
    return done("C_OpenSession", where, rv);
  presence = is_empty(slot) ? OUT : presence_of(slot);
  if (presence == OUT)
    return done("C_OpenSession", where, CKR_TOKEN_NOT_PRESENT);
  pthread_mutex_lock(&sessions_lock);
  if (presence == PRESENT) {
    rv = open_session_locked(slot, flags, app, notify, session);
  } else {
    *session = PHANTOMS + ++phantoms;
    rv = CKR_OK;
  }
  pthread_mutex_unlock(&sessions_lock);
  if (!rv)
    where.session = *session;
  return done("C_OpenSession", where, rv);
}

static CK_RV spy_C_CloseSession(CK_SESSION_HANDLE session)
{
  struct where where = at_session(session);
  CK_RV rv;

  if (!intercept("C_CloseSession", where, &rv)) {
    pthread_mutex_lock(&sessions_lock);
    rv = module->C_CloseSession(session);
    if (!rv)
      remove_session_locked(session);
    pthread_mutex_unlock(&sessions_lock);
  }
  return done("C_CloseSession", where, rv);
}

static CK_RV close_all(CK_SLOT_ID slot)
{
  CK_RV rv;

  if (is_empty(slot) || presence_of(slot) != PRESENT)
    return CKR_TOKEN_NOT_PRESENT;
  pthread_mutex_lock(&sessions_lock);
  rv = module->C_CloseAllSessions(slot);
  for (size_t i = sessions_known; !rv && i > 0; i--)
    if (sessions[i - 1].slot == slot && !sessions[i - 1].dead)
      remove_session_locked(sessions[i - 1].handle);
  pthread_mutex_unlock(&sessions_lock);
  return rv;
}

static CK_RV spy_C_CloseAllSessions(CK_SLOT_ID slot)
{
  CK_RV rv;

  if (!intercept("C_CloseAllSessions", at_slot(slot), &rv))
    rv = close_all(slot);
  return done("C_CloseAllSessions", at_slot(slot), rv);
}

static CK_RV spy_C_Login(CK_SESSION_HANDLE session, CK_USER_TYPE user, CK_UTF8CHAR_PTR pin,
                         CK_ULONG n)
{
  struct where where = at_session(session);
  CK_RV rv;

  if (!intercept("C_Login", where, &rv)) {
    rv = module->C_Login(session, user, pin, n);
    if (rv == CKR_PIN_INCORRECT && is_meant(where.slot))
      rule("C_Login", "blame", &rv);
  }
  return done("C_Login", where, rv);
}

/* -- objects */

static CK_RV spy_C_FindObjects(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE_PTR objects,
                               CK_ULONG room, CK_ULONG_PTR n)
{
  struct where where = at_session(session);
  CK_RV rv;

  if (!intercept("C_FindObjects", where, &rv))
    rv = find_shown(session, objects, room, n);
  return done("C_FindObjects", where, rv);
}

static CK_RV spy_C_GetAttributeValue(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object,
                                     CK_ATTRIBUTE_PTR attrs, CK_ULONG n)
{
  struct where where = at_session(session);
  CK_RV rv;

  if (!intercept("C_GetAttributeValue", where, &rv))
    rv = get_attributes(session, object, attrs, n);
  return done("C_GetAttributeValue", where, rv);
}

/* -- signatures */

static _Thread_local unsigned long given; /* to C_SignUpdate, of one signature */

static CK_RV spy_C_SignInit(CK_SESSION_HANDLE session, CK_MECHANISM_PTR mechanism,
                            CK_OBJECT_HANDLE key)
{
  struct where where = at_session(session);
  CK_RV rv;

  if (!intercept("C_SignInit", where, &rv)) {
    given = 0;
    note_key(session, key);
    if (is_meant(where.slot) && each_rule("C_SignInit", "forbid", is_number, &mechanism->mechanism))
      rv = CKR_MECHANISM_INVALID;
    else
      rv = module->C_SignInit(session, mechanism, key);
  }
  return done("C_SignInit", where, rv);
}

static void spoil(CK_BYTE_PTR sig, CK_ULONG_PTR size)
{
  char line[LINE_SIZE];

  if (each_rule("C_Sign", "corrupt", take_line, line))
    sig[*size / 2] ^= 1;
  if (each_rule("C_Sign", "zero", take_line, line))
    memset(sig, 0, *size);
  if (each_rule("C_Sign", "short", take_line, line))
    (*size)--;
  if (each_rule("C_Sign", "long", take_line, line))
    (*size)++;
  if (each_rule("C_Sign", "huge", take_line, line))
    *size = 1UL << 20;
}

static bool is_too_long(const char *function, struct where where, unsigned long size)
{
  unsigned long most;

  return is_meant(where.slot) && rule(function, "most", &most) && size > most;
}

static CK_RV spy_C_Sign(CK_SESSION_HANDLE session, CK_BYTE_PTR data, CK_ULONG size, CK_BYTE_PTR sig,
                        CK_ULONG_PTR sig_size)
{
  struct where where = at_session(session);
  CK_RV rv;

  if (!intercept("C_Sign", where, &rv)) {
    rv = module->C_Sign(session, data, size, sig, sig_size);
    if (is_too_long("C_Sign", where, size))
      rv = CKR_DATA_LEN_RANGE; /* the signature has ended */
    if (!rv && sig && *sig_size && is_meant(where.slot))
      spoil(sig, sig_size);
  }
  return done("C_Sign", where, rv);
}

static CK_RV spy_C_SignUpdate(CK_SESSION_HANDLE session, CK_BYTE_PTR data, CK_ULONG size)
{
  struct where where = at_session(session);
  CK_RV rv;

  if (!intercept("C_SignUpdate", where, &rv)) {
    given += size;
    rv = is_too_long("C_SignUpdate", where, given) ? CKR_DATA_LEN_RANGE
                                                   : module->C_SignUpdate(session, data, size);
  }
  return done("C_SignUpdate", where, rv);
}

/* -- new keys */

static void cut_label(CK_ATTRIBUTE_PTR attrs, CK_ULONG n, unsigned long size)
{
  for (CK_ULONG i = 0; i < n; i++)
    if (attrs[i].type == CKA_LABEL && attrs[i].ulValueLen > size)
      attrs[i].ulValueLen = size;
}

static CK_RV spy_C_GenerateKeyPair(CK_SESSION_HANDLE session, CK_MECHANISM_PTR mechanism,
                                   CK_ATTRIBUTE_PTR pub, CK_ULONG n_pub, CK_ATTRIBUTE_PTR priv,
                                   CK_ULONG n_priv, CK_OBJECT_HANDLE_PTR ret_pub,
                                   CK_OBJECT_HANDLE_PTR ret_priv)
{
  struct where where = at_session(session);
  unsigned long size;
  CK_RV rv;

  if (!intercept("C_GenerateKeyPair", where, &rv)) {
    if (rule("C_GenerateKeyPair", "label", &size)) {
      cut_label(pub, n_pub, size);
      cut_label(priv, n_priv, size);
    }
    rv = module->C_GenerateKeyPair(session, mechanism, pub, n_pub, priv, n_priv, ret_pub, ret_priv);
  }
  return done("C_GenerateKeyPair", where, rv);
}

/* -- functions that are only written down */

#define PASS_AT(place, answer, name, parameters, arguments)                                        \
  static CK_RV spy_##name parameters                                                               \
  {                                                                                                \
    struct where at = place;                                                                       \
    CK_RV rv;                                                                                      \
                                                                                                   \
    if (!intercept(#name, at, &rv))                                                                \
      rv = answer module->name arguments;                                                          \
    return done(#name, at, rv);                                                                    \
  }
#define ABSENT is_empty(slot) || presence_of(slot) == OUT ? CKR_TOKEN_NOT_PRESENT:

/* By what the first argument is: something else, a slot, a session. */
#define PASS(name, parameters, arguments) PASS_AT(nowhere, , name, parameters, arguments)
#define PASS_SLOT(name, parameters, arguments)                                                     \
  PASS_AT(at_slot(slot), ABSENT, name, parameters, arguments)
#define PASS_SESSION(name, parameters, arguments)                                                  \
  PASS_AT(at_session(session), , name, parameters, arguments)

static CK_RV spy_C_Initialize(void *args)
{
  CK_RV rv;

  if (!intercept("C_Initialize", nowhere, &rv))
    rv = module->C_Initialize(args);
  pthread_mutex_lock(&sessions_lock);
  if (!rv)
    sessions_known = sessions_open = 0; /* of the process this one was forked from */
  pthread_mutex_unlock(&sessions_lock);
  return done("C_Initialize", nowhere, rv);
}

PASS(C_Finalize, (void *reserved), (reserved))
PASS(C_GetInfo, (CK_INFO_PTR info), (info))
PASS_SLOT(C_GetMechanismList, (CK_SLOT_ID slot, CK_MECHANISM_TYPE_PTR list, CK_ULONG_PTR count),
          (slot, list, count))
PASS_SLOT(C_GetMechanismInfo, (CK_SLOT_ID slot, CK_MECHANISM_TYPE type, CK_MECHANISM_INFO_PTR info),
          (slot, type, info))
PASS_SESSION(C_GetSessionInfo, (CK_SESSION_HANDLE session, CK_SESSION_INFO_PTR info),
             (session, info))
PASS_SESSION(C_Logout, (CK_SESSION_HANDLE session), (session))
PASS_SESSION(C_CreateObject,
             (CK_SESSION_HANDLE session, CK_ATTRIBUTE_PTR attrs, CK_ULONG n,
              CK_OBJECT_HANDLE_PTR object),
             (session, attrs, n, object))
PASS_SESSION(C_DestroyObject, (CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object),
             (session, object))
PASS_SESSION(C_SetAttributeValue,
             (CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_PTR attrs,
              CK_ULONG n),
             (session, object, attrs, n))
PASS_SESSION(C_FindObjectsInit, (CK_SESSION_HANDLE session, CK_ATTRIBUTE_PTR attrs, CK_ULONG n),
             (session, attrs, n))
PASS_SESSION(C_FindObjectsFinal, (CK_SESSION_HANDLE session), (session))
PASS_SESSION(C_DigestInit, (CK_SESSION_HANDLE session, CK_MECHANISM_PTR mechanism),
             (session, mechanism))
PASS_SESSION(C_Digest,
             (CK_SESSION_HANDLE session, CK_BYTE_PTR data, CK_ULONG size, CK_BYTE_PTR digest,
              CK_ULONG_PTR n),
             (session, data, size, digest, n))
PASS_SESSION(C_DigestUpdate, (CK_SESSION_HANDLE session, CK_BYTE_PTR data, CK_ULONG size),
             (session, data, size))
PASS_SESSION(C_DigestFinal, (CK_SESSION_HANDLE session, CK_BYTE_PTR digest, CK_ULONG_PTR n),
             (session, digest, n))
PASS_SESSION(C_SignFinal, (CK_SESSION_HANDLE session, CK_BYTE_PTR sig, CK_ULONG_PTR n),
             (session, sig, n))
PASS_SESSION(C_VerifyInit,
             (CK_SESSION_HANDLE session, CK_MECHANISM_PTR mechanism, CK_OBJECT_HANDLE key),
             (session, mechanism, key))
PASS_SESSION(C_Verify,
             (CK_SESSION_HANDLE session, CK_BYTE_PTR data, CK_ULONG size, CK_BYTE_PTR sig,
              CK_ULONG n),
             (session, data, size, sig, n))
PASS_SESSION(C_GenerateRandom, (CK_SESSION_HANDLE session, CK_BYTE_PTR data, CK_ULONG size),
             (session, data, size))

/* -- loading */

static void load(void)
{
  const char *path = getenv("P11SPY_MODULE");
  void *library = path ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : NULL;
  CK_C_GetFunctionList get;

  if (!library)
    return;
  *(void **)&get = dlsym(library, "C_GetFunctionList");
  if (!get || get(&module) != CKR_OK) {
    module = NULL;
    return;
  }
  spied = *module;
#define SPY(name) spied.name = spy_##name
  SPY(C_Initialize);
  SPY(C_Finalize);
  SPY(C_GetInfo);
  SPY(C_GetSlotList);
  SPY(C_GetSlotInfo);
  SPY(C_GetTokenInfo);
  SPY(C_GetMechanismList);
  SPY(C_GetMechanismInfo);
  SPY(C_OpenSession);
  SPY(C_CloseSession);
  SPY(C_CloseAllSessions);
  SPY(C_GetSessionInfo);
  SPY(C_Login);
  SPY(C_Logout);
  SPY(C_CreateObject);
  SPY(C_DestroyObject);
  SPY(C_GetAttributeValue);
  SPY(C_SetAttributeValue);
  SPY(C_FindObjectsInit);
  SPY(C_FindObjects);
  SPY(C_FindObjectsFinal);
  SPY(C_DigestInit);
  SPY(C_Digest);
  SPY(C_DigestUpdate);
  SPY(C_DigestFinal);
  SPY(C_SignInit);
  SPY(C_Sign);
  SPY(C_SignUpdate);
  SPY(C_SignFinal);
  SPY(C_VerifyInit);
  SPY(C_Verify);
  SPY(C_GenerateKeyPair);
  SPY(C_GenerateRandom);
#undef SPY
}

__attribute__((visibility("default"))) CK_RV C_GetFunctionList(CK_FUNCTION_LIST_PTR_PTR list)
{
  pthread_once(&once, load);
  if (!module)
    return CKR_GENERAL_ERROR;
  *list = &spied;
  return CKR_OK;
}
