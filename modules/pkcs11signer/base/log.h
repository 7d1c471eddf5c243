/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef P11S_BASE_LOG_H
#define P11S_BASE_LOG_H

/*
 * The core's way to say what no caller is there to be told: the state of a
 * token changed while nobody asked, a signature was refused in a worker. What
 * belongs to a call travels in struct p11s_error instead and is logged by the shim,
 * which also decides where a line goes.
 *
 * The sink is set once, before the first other call of the core, and must be
 * callable from any thread. Without one, nothing is said. No PIN is ever
 * passed to it. One line an event: control characters are replaced.
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

/* A change of state: said each time, so only to be called when something has changed. */
void p11s_log_event(enum p11s_log_level level, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* What may happen a thousand times a second: said once, and again after P11S_LOG_EVERY_MS at the
   earliest, with the number of times it was left out. Causes are told apart by `cause`, a short
   text such as "bad signature: TOKEN". */
#define P11S_LOG_EVERY_MS 60000
void p11s_log_limited(enum p11s_log_level level, const char *cause, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
