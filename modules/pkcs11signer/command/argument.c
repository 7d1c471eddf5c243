/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Arguments that several commands have (command/internal.h). */
#include "base/secret_source.h"
#include "command/internal.h"

#include <stdio.h>
#include <string.h>

enum p11s_err p11s_command_pin(const char *text, const char *name, struct p11s_secret **ret_pin,
                               struct p11s_error *e)
{
  struct p11s_secret *pin = NULL;
  enum p11s_err err = P11S_OK;
  char prompt[128];

  if (strcmp(text, "-") == 0) {
    snprintf(prompt, sizeof prompt, "PIN of token %s: ", name);
    err = p11s_pin_ask(prompt, &pin, e);
  } else if (text[0] != '\0') {
    pin = p11s_pin_new(text, strlen(text));
    if (pin == NULL)
      err = p11s_error_set(e, P11S_ERR_NOMEM, "out of memory");
  }
  if (err == P11S_OK)
    err = p11s_pin_check_typed(pin, e);
  if (err == P11S_OK)
    *ret_pin = pin;
  else
    p11s_secret_release(pin);
  return err;
}
