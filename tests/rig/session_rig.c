/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "rig/session_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

CK_SLOT_ID session_rig_slot;

int session_rig_setup(void **state)
{
  (void)state;
  softhsm_setup();
  session_rig_slot = softhsm_token("token", USER_PIN);
  (void)softhsm_token("no pin", NULL);
  return 0;
}

int session_rig_teardown(void **state)
{
  (void)state;
  softhsm_teardown();
  return 0;
}

struct p11s_session *session_rig_open(CK_FUNCTION_LIST *module, const char *spec, bool rw)
{
  struct p11s_session *s = NULL;
  struct p11s_error e;

  if (p11s_session_open(module, spec, rw ? P11S_SESSION_WRITE : P11S_SESSION_READ, &s, &e) !=
      P11S_OK)
    fail_msg("%s", e.text);
  return s;
}

struct p11s_session *session_rig_opened(bool rw)
{
  return session_rig_open(softhsm_module(), "token", rw);
}

enum p11s_err session_rig_login(struct p11s_session *s, const char *pin, bool *called,
                                struct p11s_error *e)
{
  struct p11s_secret *secret = p11s_secret_new(pin, strlen(pin));
  struct p11s_login_call call;
  enum p11s_err result = p11s_session_login(s, CKU_USER, secret, &call, e);

  if (called != NULL)
    *called = call.made;
  p11s_secret_release(secret);
  return result;
}
