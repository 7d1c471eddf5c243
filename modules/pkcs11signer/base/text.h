/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef P11S_BASE_TEXT_H
#define P11S_BASE_TEXT_H

#include <stddef.h>
#include <stdint.h>

/*
 * UTF-8 without the locale, which in PowerDNS's tools is often "C".
 * NUL-terminated text in, no locks, no state.
 */

/* The character at text: its length, 1 to 4, and its code point; 0 when it is broken (a stray or
   missing continuation byte, overlong, a surrogate, beyond U+10FFFF) or text is at its end. */
size_t p11s_utf8_decode(const char *text, uint32_t *ret_code);

/* Columns that text takes on a terminal: 2 for wide characters, 0 for combining ones. A broken byte
 * counts 1. */
size_t p11s_utf8_width(const char *text);

#endif
