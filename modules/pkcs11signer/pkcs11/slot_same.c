/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What tells one token from another (pkcs11/slot.h). */
#include "pkcs11/slot.h"

#include <string.h>

int p11s_slot_compare(const struct p11s_slot_info *a, const struct p11s_slot_info *b)
{
  int order = (a->id > b->id) - (a->id < b->id);

  if (order == 0)
    order = strcmp(a->serial, b->serial);
  if (order == 0)
    order = strcmp(a->label, b->label);
  if (order == 0)
    order = strcmp(a->manufacturer, b->manufacturer);
  return order != 0 ? order : strcmp(a->model, b->model);
}

bool p11s_slot_is_known(const struct p11s_slot_info *info)
{
  return info->serial[0] != '\0' || info->label[0] != '\0' || info->manufacturer[0] != '\0' ||
         info->model[0] != '\0';
}
