/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "nonsense.h"

#include "nonsense_internal.h"

#include <pthread.h>
#include <string.h>

static pthread_once_t once = PTHREAD_ONCE_INIT;

/* guarded by lie.h's lock */
static bool logged_in;
static unsigned sessions;

void nonsense_reset(struct fuzz_input script)
{
  (void)pthread_once(&once, nonsense_objects_setup);
  lie_lock();
  lie_script_locked(script, true);
  nonsense_objects_reset_locked();
  logged_in = false;
  sessions = 0;
  lie_unlock();
}

void nonsense_reset_script(struct fuzz_input script)
{
  lie_lock();
  lie_script_locked(script, false);
  lie_unlock();
}

unsigned nonsense_sessions(void)
{
  unsigned n;

  lie_lock();
  n = sessions;
  lie_unlock();
  return n;
}

/* -- the module and its token */

static CK_RV initialize(void *args)
{
  (void)args;
  return CKR_OK;
}

static CK_RV finalize(void *reserved)
{
  (void)reserved;
  return CKR_OK;
}

static void pad(CK_UTF8CHAR *to, size_t size, const char *text)
{
  memset(to, ' ', size);
  while (*text != '\0')
    *to++ = (CK_UTF8CHAR)*text++;
}

static CK_RV get_info(CK_INFO *info)
{
  struct lie lie = lie_enter(LIE_GET_INFO);
  CK_INFO truth = {.cryptokiVersion = {2, 40}};

  pad(truth.manufacturerID, sizeof truth.manufacturerID, "nobody");
  pad(truth.libraryDescription, sizeof truth.libraryDescription, "nonsense");
  return lie_leave(lie_struct(&lie, info, &truth, sizeof truth));
}

static CK_RV get_slot_list(CK_BBOOL present, CK_SLOT_ID *list, CK_ULONG *count)
{
  struct lie lie = lie_enter(LIE_GET_SLOT_LIST);
  static const CK_SLOT_ID truth[] = {7};

  (void)present;
  return lie_leave(lie_give(&lie, list, count, truth, 1, sizeof truth[0]));
}

static CK_RV get_slot_info(CK_SLOT_ID slot, CK_SLOT_INFO *info)
{
  struct lie lie = lie_enter(LIE_GET_SLOT_INFO);
  CK_SLOT_INFO truth = {.flags = CKF_TOKEN_PRESENT};

  (void)slot;
  pad(truth.slotDescription, sizeof truth.slotDescription, "a slot");
  pad(truth.manufacturerID, sizeof truth.manufacturerID, "nobody");
  return lie_leave(lie_struct(&lie, info, &truth, sizeof truth));
}

static CK_RV get_token_info(CK_SLOT_ID slot, CK_TOKEN_INFO *info)
{
  struct lie lie = lie_enter(LIE_GET_TOKEN_INFO);
  CK_TOKEN_INFO truth = {.flags =
                             CKF_TOKEN_INITIALIZED | CKF_LOGIN_REQUIRED | CKF_USER_PIN_INITIALIZED,
                         .ulMaxSessionCount = 4};

  (void)slot;
  pad(truth.label, sizeof truth.label, "fake");
  pad(truth.manufacturerID, sizeof truth.manufacturerID, "nobody");
  pad(truth.model, sizeof truth.model, "v0");
  pad(truth.serialNumber, sizeof truth.serialNumber, "0815");
  return lie_leave(lie_struct(&lie, info, &truth, sizeof truth));
}

static CK_RV get_mechanism_list(CK_SLOT_ID slot, CK_MECHANISM_TYPE *list, CK_ULONG *count)
{
  static const CK_MECHANISM_TYPE truth[] = {
      CKM_EC_KEY_PAIR_GEN, CKM_ECDSA,           CKM_RSA_PKCS_KEY_PAIR_GEN,
      CKM_RSA_PKCS,        CKM_SHA256_RSA_PKCS, CKM_EC_EDWARDS_KEY_PAIR_GEN,
      CKM_EDDSA,
  };
  struct lie lie = lie_enter(LIE_GET_MECHANISM_LIST);

  (void)slot;
  return lie_leave(
      lie_give(&lie, list, count, truth, sizeof truth / sizeof truth[0], sizeof truth[0]));
}

/* -- sessions */

static CK_RV open_session(CK_SLOT_ID slot, CK_FLAGS flags, void *app, CK_NOTIFY notify,
                          CK_SESSION_HANDLE *session)
{
  struct lie lie = lie_enter(LIE_OPEN_SESSION);
  CK_RV rv;

  (void)slot;
  (void)flags;
  (void)app;
  (void)notify;
  if (lie_fails(&lie, &rv))
    return lie_leave(rv);
  sessions++;
  if (lie.kind != 'n')
    *session = lie_number(&lie, 3);
  return lie_leave(CKR_OK);
}

static CK_RV close_session(CK_SESSION_HANDLE session)
{
  struct lie lie = lie_enter(LIE_CLOSE_SESSION);
  CK_RV rv = CKR_OK;

  (void)session;
  (void)lie_fails(&lie, &rv);
  fuzz_must(sessions > 0, "a session is closed that is not open");
  sessions--;
  return lie_leave(rv);
}

static CK_RV get_session_info(CK_SESSION_HANDLE session, CK_SESSION_INFO *info)
{
  struct lie lie = lie_enter(LIE_GET_SESSION_INFO);
  CK_SESSION_INFO truth = {.slotID = 7,
                           .state = logged_in ? CKS_RW_USER_FUNCTIONS : CKS_RW_PUBLIC_SESSION,
                           .flags = CKF_SERIAL_SESSION};

  (void)session;
  return lie_leave(lie_struct(&lie, info, &truth, sizeof truth));
}

static CK_RV login(CK_SESSION_HANDLE session, CK_USER_TYPE user, CK_UTF8CHAR *pin, CK_ULONG len)
{
  struct lie lie = lie_enter(LIE_LOGIN);
  CK_RV rv;

  (void)session;
  (void)user;
  if (lie_fails(&lie, &rv))
    return lie_leave(rv);
  if (len != strlen(FUZZ_PIN) || memcmp(pin, FUZZ_PIN, len) != 0)
    return lie_leave(CKR_PIN_INCORRECT);
  logged_in = true;
  return lie_leave(CKR_OK);
}

/* All that the core calls. */
CK_FUNCTION_LIST nonsense = {
    .version = {2, 40},
    .C_Initialize = initialize,
    .C_Finalize = finalize,
    .C_GetInfo = get_info,
    .C_GetSlotList = get_slot_list,
    .C_GetSlotInfo = get_slot_info,
    .C_GetTokenInfo = get_token_info,
    .C_GetMechanismList = get_mechanism_list,
    .C_OpenSession = open_session,
    .C_CloseSession = close_session,
    .C_GetSessionInfo = get_session_info,
    .C_Login = login,
    .C_GetAttributeValue = nonsense_get_attribute,
    .C_SetAttributeValue = nonsense_set_attribute,
    .C_FindObjectsInit = nonsense_find_init,
    .C_FindObjects = nonsense_find,
    .C_FindObjectsFinal = nonsense_find_final,
    .C_SignInit = nonsense_sign_init,
    .C_Sign = nonsense_sign,
    .C_GenerateKeyPair = nonsense_generate,
    .C_DestroyObject = nonsense_destroy,
};
