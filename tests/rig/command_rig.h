/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "command/command.h"
#include "rig/fakehost.h"

#include <stdbool.h>

/*
 * Running commands as pdnsutil does, on the table of rig/fakehost.h. Every run fails
 * the test when COMMAND_PIN comes out anywhere.
 */
#define COMMAND_PIN "pin-7351-9264"

/* What the last run gave. */
extern struct p11s_buf command_out;
extern struct p11s_error command_error;

/* A signer with these settings for the runs that follow; frees the one before. */
void command_signer(const char *pin_source, bool store_pins);
void command_signer_free(void);

enum p11s_err command_run(const char *line);
/* Runs it, expects success, and returns the output. */
const char *command_good(const char *line);
/* Runs it, expects this failure, and returns the message. */
const char *command_bad(const char *line, enum p11s_err expected);

/* Fail the test when text does not begin with part, does not hold it, or does. */
void assert_begins(const char *text, const char *part);
void assert_has(const char *text, const char *part);
void assert_has_not(const char *text, const char *part);
