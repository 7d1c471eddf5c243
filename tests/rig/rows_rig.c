/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "rig/rows_rig.h"

#include "rig/fakehost.h"
#include "rig/rig.h"

int rows_rig_setup(void **state)
{
  if (rig_setup(state) != 0)
    return -1;
  rig_make_key("key");
  rig_make_key("second");
  return 0;
}

int rows_rig_teardown(void **state)
{
  fakehost_reset();
  return rig_teardown(state);
}

int rows_rig_reset(void **state)
{
  fakehost_reset();
  return rig_reset(state);
}
