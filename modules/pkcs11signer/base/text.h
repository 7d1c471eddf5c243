/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef P11S_BASE_TEXT_H
#define P11S_BASE_TEXT_H

#include <stddef.h>
#include <stdint.h>

/*
 * Text for people; and UTF-8 without the locale, which in PowerDNS's tools is often "C".
 * NUL-terminated text in, no locks, no state.
 */

/* The character at text: its length, 1 to 4, and its code point; 0 when it is broken (a stray or
   missing continuation byte, overlong, a surrogate, beyond U+10FFFF) or text is at its end. */
size_t p11s_utf8_decode(const char *text, uint32_t *ret_code);

/* Columns that text takes on a terminal: 2 for wide characters, 0 for combining ones. A broken byte
 * counts 1. */
size_t p11s_utf8_width(const char *text);

/* "3 s", "12 min", "2 h 5 min", "3 d 4 h". */
void p11s_duration(char *text, size_t size, uint64_t seconds);

#endif
