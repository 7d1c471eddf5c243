/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef P11S_LOG_H
#define P11S_LOG_H

/*
 * The core's way to say something at debug level; what an operator should
 * know travels in struct p11s_error instead and is logged by the shim.
 *
 * The sink is set once, before the first other call of the core, and must be
 * callable from any thread. Without one, nothing is said. No PIN is ever
 * passed to it.
 */
typedef void (*p11s_log_sink)(const char *line);

void p11s_log_set_sink(p11s_log_sink sink);
void p11s_log_debug(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
