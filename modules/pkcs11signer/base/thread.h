/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <pthread.h>
#include <stdbool.h>

/*
 * Starts a thread in which all signals are blocked: they are PowerDNS's, for threads of its own.
 * *ret is written only on success; false: there are too many threads, or no memory. Takes no lock,
 * and may be called with one held.
 */
bool p11s_thread_start(pthread_t *ret, void *(*run)(void *), void *arg);
