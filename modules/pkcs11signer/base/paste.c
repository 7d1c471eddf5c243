/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/paste.h"

#include <stdarg.h>
#include <string.h>

/* Written by p11s_paste_set_configuration() only; a leading blank, or nothing. */
static struct p11s_buf options = P11S_BUF_INIT;

void p11s_paste_set_configuration(const char *dir, const char *name)
{
  p11s_buf_clear(&options);
  if (dir[0] != '\0' && strcmp(dir, P11S_CONFIGURATION_DIR) != 0) {
    p11s_buf_addstr(&options, " --config-dir=");
    p11s_buf_add_shell(&options, dir);
  }
  if (name[0] != '\0') {
    p11s_buf_addstr(&options, " --config-name=");
    p11s_buf_add_shell(&options, name);
  }
}

void p11s_paste(struct p11s_buf *out, const char *program, ...)
{
  va_list words;
  const char *word;

  p11s_buf_addf(out, "%s%s", program, p11s_buf_text(&options));
  va_start(words, program);
  while ((word = va_arg(words, const char *)) != NULL) {
    p11s_buf_addstr(out, " ");
    p11s_buf_add_shell(out, word);
  }
  va_end(words);
}
