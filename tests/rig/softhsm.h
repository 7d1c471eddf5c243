/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <p11-kit/pkcs11.h>
#include <stdbool.h>

/*
 * A private SoftHSM and a private p11-kit configuration for a test program,
 * below one directory that goes when the program is done. Every function
 * fails the test, with the reason, when it cannot do its work.
 */

#define SOFTHSM_MODULE "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so"
#define SO_PIN "admin~12345678"
#define USER_PIN "user~1234"

/* Before anything of p11-kit is called. Works for root too, for whom p11-kit reads no user
   configuration. */
void softhsm_setup(void);
/* Finalizes the modules and removes the directory. */
void softhsm_teardown(void);

/* The private directory, and the configuration files in it. */
const char *softhsm_dir(void);
const char *softhsm_conf(void);
/* One more modules/NAME.module with this text; seen when p11-kit loads its modules the next time.
 */
void softhsm_add_config(const char *name, const char *text);
void softhsm_remove_config(const char *name);

/* The module as p11s_module_get() gives it. */
CK_FUNCTION_LIST *softhsm_module(void);

/* Makes a token; pin NULL: its user PIN stays unset. The slot is another one after a shutdown. */
CK_SLOT_ID softhsm_token(const char *label, const char *pin);
/* A session, logged in when pin is not NULL. Close it with C_CloseSession. */
CK_SESSION_HANDLE softhsm_session(CK_SLOT_ID slot, bool rw, const char *pin);
