/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The unit tests' host, built here: two makefiles must not share an object. */
#include "rig/fakehost.c" /* NOLINT(bugprone-suspicious-include) */
