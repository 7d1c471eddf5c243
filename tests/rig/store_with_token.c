/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "rig/rig.h"
#include "rig/store_rig.h"

int store_rig_setup_with_token(void **state)
{
  return rig_setup(state) != 0 || store_rig_setup(state) != 0;
}

int store_rig_teardown_with_token(void **state)
{
  return store_rig_teardown(state) != 0 || rig_teardown(state) != 0;
}

int store_rig_reset_with_token(void **state)
{
  return rig_reset(state) != 0 || store_rig_empty(state) != 0;
}
