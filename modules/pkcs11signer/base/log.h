/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * The core logs events that no caller learns of: a token's state has changed, a worker's signature
 * does not verify. A call's own error travels in struct p11s_error, and the shim logs it.
 *
 * The shim sets the sink once, before any other call of the core. The sink may be called in any
 * thread, with one line that holds no control character and no PIN. Without a sink nothing is
 * logged.
 */
enum p11s_log_level {
  P11S_LOG_DEBUG,
  P11S_LOG_NOTICE,  /* something got better by itself */
  P11S_LOG_WARNING, /* service goes on, somebody should look */
  P11S_LOG_ERROR,   /* somebody must do something; the line says what */
};
typedef void (*p11s_log_sink)(enum p11s_log_level level, const char *line);

void p11s_log_set_sink(p11s_log_sink sink);
void p11s_log_debug(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* A change of state. Each call is a line: to be called only when something has changed. */
void p11s_log_event(enum p11s_log_level level, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* An event that may happen a thousand times a second. It is logged once, then again after
   P11S_LOG_EVERY_MS at the earliest, with the number of lines left out. That goes for each cause by
   itself: a short text such as "bad signature: TOKEN". */
#define P11S_LOG_EVERY_MS 60000
void p11s_log_limited(enum p11s_log_level level, const char *cause, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
