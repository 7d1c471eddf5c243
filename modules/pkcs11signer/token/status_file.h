/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "token/speed.h"
#include "pkcs11/slot.h"
#include "token/tokens.h"

#include <stdint.h>
#include <sys/types.h>

/*
 * The states of a server's tokens, for another process to read: a file
 * STATE_DIR/status.PID.RANDOM, written anew when something in it has changed. The server keeps it
 * locked (flock()), so that what a server left behind that is gone is told from what a running one
 * says, also from another namespace of processes, in which a number means another process or none.
 * It begins with a line that names the process; then a line with the server's host_settings
 * behind a tab, and one line for each name of a token, its fields separated by
 * tabs. Fields may be added behind the others: older readers do not look there, newer ones do
 * without. How fast a token signs and when it was seen is written anew every ten seconds.
 *
 * A thread of its own looks once a second. It holds its own lock only while it
 * sleeps, and takes the tokens' in p11s_tokens_each().
 */
struct p11s_status;

/* host_settings: PowerDNS's that decide what is signed, NAME=VALUE, tabs between them. All three
   are borrowed until it has stopped. Starts the thread. NULL without a state directory, or when no
   thread is to be had; what cannot be written is said once. */
struct p11s_status *p11s_status_start(struct p11s_tokens *tokens, const char *state_dir,
                                      const char *host_settings);
/* Ends the thread, unless it does not come back until deadline_ms; removes the file. NULL is
   allowed. */
void p11s_status_stop(struct p11s_status *report, uint64_t deadline_ms);

/* One name of a token of one running server. Strings are the reader's, valid during the call. */
struct p11s_status_line {
  unsigned server; /* lines of one server have the same number, which is no other's */
  pid_t pid;       /* as the server knows itself */
  const char *module;
  const char *slot;
  const char *state;
  int64_t since; /* seconds since 1970; 0: never tried */
  int64_t seen;  /* when the token was last seen in this state, likewise; 0: it does not say */
  uint64_t reconnects;
  uint64_t refused;            /* PINs that tokens of this server have refused */
  const char *pin;             /* "ok", "low", "last", "locked", "keypad" */
  const char *trouble;         /* why it is away, or why there is no login; "" */
  struct p11s_speed rate;      /* of its signatures; nothing from a server that does not say */
  unsigned room;               /* sessions the token has for it; 0: not known */
  struct p11s_slot_info found; /* without flags and sessions; not known: it does not say */
  char *own;                   /* p11s_status_names_add()'s: the strings of its copy */
};
typedef void (*p11s_status_fn)(const struct p11s_status_line *line, void *arg);

/* Reads the files of all running servers in the directory, for fn unless it is NULL, and removes
   those of servers that are gone. *ret_servers: how many run. P11S_ERR_HOST when the directory
   cannot be read. */
enum p11s_err p11s_status_read(const char *state_dir, p11s_status_fn fn, void *arg,
                               unsigned *ret_servers, struct p11s_error *e);

/* One running server's host_settings, borrowed for the call. */
typedef void (*p11s_status_settings_fn)(pid_t pid, const char *settings, void *arg);
/* Of those that say them. A directory that cannot be read says nothing. */
void p11s_status_each_settings(const char *state_dir, p11s_status_settings_fn fn, void *arg);
