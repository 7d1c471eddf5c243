/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "card.h"

/*
 * The card's memory as a file of lines, "NAME NUMBER... HEX". It is replaced as a whole, so a card
 * that ends in the middle of a command has the state before or the one after it.
 */
bool state_exists(const char *path);
bool state_load(struct memory *ret_memory, const char *path);
bool state_save(const struct memory *m, const char *path);
