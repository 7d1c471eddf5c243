/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Part of p11spy.c: which sessions are open, and whether the token is there. */
#pragma once

#include "p11spy_rules.h"

static CK_FUNCTION_LIST *module; /* the real one */

/* -- sessions, and where calls go */

/* Sessions that a token gives although it is out. */
#define PHANTOMS 0x7e000000UL

#define NO_SLOT (~0UL)
struct where {
  CK_SLOT_ID slot;           /* NO_SLOT: none, or not known */
  CK_SESSION_HANDLE session; /* 0: none */
};

struct open_session {
  CK_SESSION_HANDLE handle;
  CK_SLOT_ID slot;
  bool dead;
};

static pthread_mutex_t sessions_lock = PTHREAD_MUTEX_INITIALIZER;
/* guarded by it, all of them */
static struct open_session *sessions;
static size_t sessions_known;
static unsigned long sessions_open;
static unsigned long phantoms;
static bool out_seen;   /* the token was out at the last call */
static bool plugs_seen; /* the two say something */
static unsigned long last_plugs;
static unsigned long last_logouts;

static struct open_session *find_session_locked(CK_SESSION_HANDLE handle)
{
  for (size_t i = sessions_known; i > 0; i--)
    if (sessions[i - 1].handle == handle)
      return &sessions[i - 1];
  return NULL;
}

static void add_session_locked(CK_SESSION_HANDLE handle, CK_SLOT_ID slot)
{
  struct open_session *more = realloc(sessions, (sessions_known + 1) * sizeof(*sessions));

  if (!more)
    abort();
  sessions = more;
  sessions[sessions_known++] = (struct open_session){handle, slot, false};
  sessions_open++;
}

static void remove_session_locked(CK_SESSION_HANDLE handle)
{
  struct open_session *s = find_session_locked(handle);

  if (!s)
    return;
  if (!s->dead)
    sessions_open--;
  *s = sessions[--sessions_known];
}

static struct where at_session(CK_SESSION_HANDLE handle)
{
  struct where where = {NO_SLOT, handle};
  struct open_session *s;

  pthread_mutex_lock(&sessions_lock);
  s = find_session_locked(handle);
  if (s)
    where.slot = s->slot;
  pthread_mutex_unlock(&sessions_lock);
  return where;
}

static struct where at_slot(CK_SLOT_ID slot)
{
  return (struct where){slot, 0};
}

static const struct where nowhere = {NO_SLOT, 0};

static bool take_text(const char *line, const char *value, void *arg)
{
  (void)line;
  memcpy(arg, value, strlen(value) + 1);
  return true;
}

/* Whether rules concern this slot. */
static bool is_meant(CK_SLOT_ID slot)
{
  char name[64];
  CK_TOKEN_INFO info;

  if (slot == NO_SLOT || !each_rule("token", "named", take_text, name))
    return true;
  return module->C_GetTokenInfo(slot, &info) == CKR_OK &&
         strncmp((const char *)info.label, name, strlen(name)) == 0 &&
         info.label[strlen(name)] == ' ';
}

/* -- a token that is out */

enum presence { PRESENT, OUT, OUT_OPENSC, OUT_UNSEEN };

/* Sessions that were open do not work any more, and nobody is logged in. */
static void cut_off_locked(void)
{
  for (size_t i = 0; i < sessions_known; i++) {
    struct open_session *s = &sessions[i];

    if (s->dead || !is_meant(s->slot))
      continue;
    s->dead = true;
    sessions_open--;
    module->C_CloseAllSessions(s->slot);
  }
}

/* Sessions stay open. */
static void log_out_locked(void)
{
  for (size_t i = 0; i < sessions_known; i++)
    if (!sessions[i].dead && is_meant(sessions[i].slot) &&
        module->C_Logout(sessions[i].handle) == CKR_OK)
      return;
}

static enum presence look(void)
{
  enum presence presence = rule("token", "unplugged", NULL)          ? OUT
                           : rule("token", "unplugged-opensc", NULL) ? OUT_OPENSC
                           : rule("token", "unplugged-unseen", NULL) ? OUT_UNSEEN
                                                                     : PRESENT;
  unsigned long plugs = 0, logouts = 0;

  rule("token", "plugs", &plugs);
  rule("token", "logouts", &logouts);
  pthread_mutex_lock(&sessions_lock);
  if ((presence != PRESENT && !out_seen) || (plugs_seen && plugs != last_plugs))
    cut_off_locked();
  if (plugs_seen && logouts != last_logouts)
    log_out_locked();
  out_seen = presence != PRESENT;
  plugs_seen = true;
  last_plugs = plugs;
  last_logouts = logouts;
  pthread_mutex_unlock(&sessions_lock);
  return presence;
}

static bool is_dead(CK_SESSION_HANDLE handle)
{
  struct open_session *s;
  bool dead;

  pthread_mutex_lock(&sessions_lock);
  s = find_session_locked(handle);
  dead = s && s->dead;
  pthread_mutex_unlock(&sessions_lock);
  return dead;
}

/* True: a call on this session says *ret_rv. */
static bool cut_off(struct where where, CK_RV *ret_rv)
{
  enum presence presence = look();

  if (where.session == 0)
    return false;
  if (presence != PRESENT && is_meant(where.slot))
    *ret_rv = CKR_DEVICE_REMOVED;
  else if (is_dead(where.session) || where.session >= PHANTOMS)
    *ret_rv = CKR_SESSION_HANDLE_INVALID;
  else
    return false;
  return true;
}

/* How much of this slot's token is to be seen. */
static enum presence presence_of(CK_SLOT_ID slot)
{
  enum presence presence = look();

  return is_meant(slot) ? presence : PRESENT;
}
