/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The token of rig/rig.h with two keys, "key" and "second", and the tables of rig/fakehost.h. */

/* Group fixtures. */
int rows_rig_setup(void **state);
int rows_rig_teardown(void **state);
/* Before each test: as rig_reset(), and no rows. */
int rows_rig_reset(void **state);
