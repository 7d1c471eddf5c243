/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "lie.h"

#include <pthread.h>
#include <string.h>

#define HUGE_COUNT ((CK_ULONG)1 << 40)

static const CK_RV failures[] = {
    CKR_HOST_MEMORY,
    CKR_SLOT_ID_INVALID,
    CKR_GENERAL_ERROR,
    CKR_FUNCTION_FAILED,
    CKR_ATTRIBUTE_SENSITIVE,
    CKR_ATTRIBUTE_TYPE_INVALID,
    CKR_ATTRIBUTE_VALUE_INVALID,
    CKR_DEVICE_ERROR,
    CKR_DEVICE_MEMORY,
    CKR_DEVICE_REMOVED,
    CKR_FUNCTION_NOT_SUPPORTED,
    CKR_KEY_HANDLE_INVALID,
    CKR_KEY_SIZE_RANGE,
    CKR_KEY_FUNCTION_NOT_PERMITTED,
    CKR_MECHANISM_INVALID,
    CKR_MECHANISM_PARAM_INVALID,
    CKR_OBJECT_HANDLE_INVALID,
    CKR_OPERATION_ACTIVE,
    CKR_PIN_INCORRECT,
    CKR_PIN_EXPIRED,
    CKR_PIN_LOCKED,
    CKR_SESSION_CLOSED,
    CKR_SESSION_COUNT,
    CKR_SESSION_HANDLE_INVALID,
    CKR_SESSION_READ_ONLY,
    CKR_TEMPLATE_INCONSISTENT,
    CKR_TOKEN_NOT_PRESENT,
    CKR_TOKEN_NOT_RECOGNIZED,
    CKR_TOKEN_WRITE_PROTECTED,
    CKR_USER_ALREADY_LOGGED_IN,
    CKR_USER_NOT_LOGGED_IN,
    CKR_USER_PIN_NOT_INITIALIZED,
    CKR_USER_ANOTHER_ALREADY_LOGGED_IN,
    CKR_DOMAIN_PARAMS_INVALID,
    CKR_CURVE_NOT_SUPPORTED,
    CKR_CRYPTOKI_NOT_INITIALIZED,
};

/* guards the two below, and what nonsense.c and nonsense_objects.c know */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct fuzz_input script;
static struct lie sticky[LIE_FUNCTIONS];

void lie_lock(void)
{
  pthread_mutex_lock(&lock);
}

void lie_unlock(void)
{
  pthread_mutex_unlock(&lock);
}

void lie_script_locked(struct fuzz_input new_script, bool fresh)
{
  script = new_script;
  if (fresh)
    memset(sticky, 0, sizeof sticky);
}

static bool takes_argument(char kind)
{
  return strchr("evlsfg", kind) != NULL;
}

static struct lie next_lie_locked(enum lie_function f)
{
  struct lie lie = {0, 0, NULL};
  uint8_t c;

  if (sticky[f].kind != 0)
    return sticky[f];
  c = fuzz_byte(&script);
  lie.kind = (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
  if (lie.kind == 0 || strchr("evnzuhlstfg", lie.kind) == NULL)
    return (struct lie){0, 0, NULL};
  if (takes_argument(lie.kind))
    lie.arg = fuzz_byte(&script);
  if (lie.kind == 'g') {
    if (lie.arg > script.left)
      lie.arg = (uint8_t)script.left;
    lie.bytes = script.at;
    script.at += lie.arg;
    script.left -= lie.arg;
  }
  if (c != (uint8_t)lie.kind)
    sticky[f] = lie;
  return lie;
}

struct lie lie_enter(enum lie_function f)
{
  pthread_mutex_lock(&lock);
  return next_lie_locked(f);
}

CK_RV lie_leave(CK_RV rv)
{
  pthread_mutex_unlock(&lock);
  return rv;
}

bool lie_fails(const struct lie *lie, CK_RV *ret_rv)
{
  if (lie->kind == 'e')
    *ret_rv = failures[lie->arg % (sizeof failures / sizeof failures[0])];
  else if (lie->kind == 'v')
    *ret_rv = CKR_VENDOR_DEFINED | lie->arg;
  else if (lie->kind == 't')
    *ret_rv = CKR_BUFFER_TOO_SMALL;
  else
    return false;
  return true;
}

CK_ULONG lie_number(const struct lie *lie, CK_ULONG truth)
{
  switch (lie->kind) {
  case 'z':
    return 0;
  case 'u':
    return CK_UNAVAILABLE_INFORMATION;
  case 'h':
    return HUGE_COUNT;
  case 'l':
    return truth + lie->arg + 1;
  case 's':
    return truth - (lie->arg > truth ? truth : lie->arg);
  default:
    return truth;
  }
}

void lie_bytes(const struct lie *lie, void *to, size_t size)
{
  if (lie->kind == 'f')
    memset(to, lie->arg, size);
  else if (lie->kind == 'g' && lie->arg > 0)
    memcpy(to, lie->bytes, lie->arg < size ? lie->arg : size);
}

CK_RV lie_give(const struct lie *lie, void *to, CK_ULONG *n, const void *truth, CK_ULONG count,
               size_t size)
{
  CK_ULONG room = *n, true_count = count;
  CK_RV rv;

  if (lie->kind == 'g' && size == 1)
    count = lie->arg;
  if (lie_fails(lie, &rv)) {
    if (rv == CKR_BUFFER_TOO_SMALL)
      *n = count * 2;
    return rv;
  }
  if (lie->kind == 'n')
    return CKR_OK;
  *n = lie_number(lie, count);
  if (to == NULL)
    return CKR_OK;
  if (lie->kind == 0 && room < count)
    return CKR_BUFFER_TOO_SMALL;
  if (true_count > 0)
    memcpy(to, truth, (true_count < room ? true_count : room) * size);
  lie_bytes(lie, to, (lie->kind == 'f' || count > room ? room : count) * size);
  return CKR_OK;
}

CK_RV lie_struct(const struct lie *lie, void *to, const void *truth, size_t size)
{
  CK_RV rv;

  if (lie_fails(lie, &rv))
    return rv;
  if (lie->kind == 'n')
    return CKR_OK;
  memcpy(to, truth, size);
  lie_bytes(lie, to, size);
  return CKR_OK;
}

CK_RV lie_plain(enum lie_function f)
{
  struct lie lie = lie_enter(f);
  CK_RV rv;

  return lie_leave(lie_fails(&lie, &rv) ? rv : CKR_OK);
}
