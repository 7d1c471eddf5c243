/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "pin/guard.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * A state directory of each test's own, what was logged meanwhile, and logins to tokens that need
 * not be there. A token goes by its serial number, or "SERIAL/LABEL". Every function fails the test
 * when it cannot do its work.
 */
#define PIN_LOW CKF_USER_PIN_COUNT_LOW
#define PIN_TEXT_MAX 65536 /* of refused-pins, in tests that read it */

/* Before and after each test. */
int pin_rig_setup(void **state);
int pin_rig_teardown(void **state);

extern char pin_dir[64];
extern unsigned pin_lines; /* logged so far; a test may begin anew */
extern char pin_last_line[1024];

/* DIRECTORY/name. Static. */
const char *pin_path(const char *name);
void pin_overwrite(const char *name, const char *text, size_t len);
/* Of refused-pins, with a NUL behind it. Returns the length. */
size_t pin_content(char *to, size_t size);

struct p11s_slot_info pin_token(const char *name, CK_FLAGS flags);
/* where NULL: without a directory. */
struct p11s_pin_guard *pin_guard(const char *where);

/* The result of permit; a login follows when that is good. */
enum p11s_err pin_login(struct p11s_pin_guard *g, const char *serial, CK_FLAGS flags,
                        const char *pin, enum p11s_pin_outcome outcome);
/* One that is permitted, and what the token says then. */
void pin_wrong(struct p11s_pin_guard *g, const char *serial, const char *pin);
void pin_right(struct p11s_pin_guard *g, const char *serial, const char *pin);
/* A process dies between permit and leave. */
void pin_die_in_login(const char *serial, const char *pin);

bool pin_refused(struct p11s_pin_guard *g, const char *serial, const char *pin);
enum p11s_pin_proof pin_proof(struct p11s_pin_guard *g, const char *serial, const char *pin);
/* How many were forgotten. */
size_t pin_unlock(struct p11s_pin_guard *g, const char *serial);
