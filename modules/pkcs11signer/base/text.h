/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Text for people; and UTF-8 whatever the locale, which in PowerDNS's tools is often "C".
 * Texts end in a NUL. size is a buffer's, above 0; what is too long for it is cut. No locks.
 */

/* The character at text: its length, 1 to 4, and its code point; 0 when it is broken (a stray or
   missing continuation byte, overlong, a surrogate, beyond U+10FFFF) or text is at its end. */
size_t p11s_utf8_decode(const char *text, uint32_t *ret_code);

/* Columns that text takes on a terminal: 2 for wide characters, 0 for combining ones, as wcwidth()
   has it in C.UTF-8. A broken byte counts 1; so does each character where there is no such locale.
 */
size_t p11s_utf8_width(const char *text);

/* "3 s", "12 min", "2 h 5 min", "3 d 4 h". */
void p11s_duration(char *text, size_t size, uint64_t seconds);

/* A time since 1970 in UTC, as strftime() has it. "" when it does not fit. */
#define P11S_UTC_DAY "%Y-%m-%d"
#define P11S_UTC_MINUTE "%Y-%m-%d %H:%M UTC"
#define P11S_UTC_SECOND "%Y-%m-%d %H:%M:%S UTC"
void p11s_utc(char *text, size_t size, const char *format, int64_t seconds)
    __attribute__((format(strftime, 3, 0)));

/* Two digits a byte, in lower case; as many bytes as fit. */
void p11s_hex_format(char *text, size_t size, const void *data, size_t len);
/* false: text is not exactly len bytes in hex, of either case. ret may be written then. */
bool p11s_hex_parse(const char *text, unsigned char *ret, size_t len);
