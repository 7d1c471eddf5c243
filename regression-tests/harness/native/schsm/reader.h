/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "card.h"

/*
 * The card's end of the virtual reader's protocol: over TCP to the loopback interface, each message
 * behind its length in two bytes. A message of one byte is for the contacts (power, reset, the
 * answer to reset), any other is a command. Connected: the card is in.
 */

/* The connection, or -1 (and errno). */
int reader_insert(unsigned port);
/* One message, answered; false when the reader is gone. */
bool reader_serve(int fd, struct card *c);
