/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Counts the fork() calls between the first process and this one, so that
 * what holds threads or PKCS#11 state can tell that it is in a child, where
 * neither has survived. One atomic read; any thread.
 */
unsigned p11s_fork_generation(void);
