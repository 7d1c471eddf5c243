/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Run by the build: `man DIRECTORY` writes the manual pages there, pkcs11signer.1 and one for each
 * command, from command/manual.h.
 */
#include "base/buf.h"
#include "command/manual.h"
#include "pkcs11signer-config.h"

#include <ctype.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One font inside of `…`, with its hyphens as they are typed; a line may not begin as a request. */
static void add_text(struct p11s_buf *out, const char *text)
{
  bool literal = false, begins = true;

  for (; *text != '\0'; text++) {
    if (begins && (*text == '.' || *text == '\''))
      p11s_buf_addstr(out, "\\&");
    begins = *text == '\n';
    if (*text == '`')
      p11s_buf_addstr(out, (literal = !literal) ? "\\fB" : "\\fR");
    else if (*text == '\\')
      p11s_buf_addstr(out, "\\e");
    else if (*text == '-')
      p11s_buf_addstr(out, "\\-");
    else if (*text == '\'')
      p11s_buf_addstr(out, "\\(aq");
    else
      p11s_buf_add(out, text, 1);
  }
}

/* As the part of NAME behind the dash: no full stop, no capital. */
static void add_whatis(struct p11s_buf *out, const char *name, const char *command,
                       const char *purpose)
{
  struct p11s_buf text = P11S_BUF_INIT;

  p11s_buf_addf(&text, "%c%.*s\n", tolower((unsigned char)purpose[0]), (int)strlen(purpose) - 2,
                purpose + 1);
  p11s_buf_addf(out, ".TH %s%s%s 1 \"\" \"%s\" \"User Commands\"\n.SH NAME\n%s%s%s \\- ", name,
                command[0] != '\0' ? "-" : "", command, PACKAGE_STRING, name,
                command[0] != '\0' ? "-" : "", command);
  add_text(out, p11s_buf_text(&text));
  p11s_buf_clear(&text);
}

static void add_command(struct p11s_buf *out, const struct p11s_manual *m)
{
  p11s_buf_addstr(out, "\\fB");
  add_text(out, m->name);
  p11s_buf_addstr(out, "\\fR ");
  add_text(out, m->args);
  p11s_buf_addstr(out, "\n");
}

/* A list: what, and behind it the purpose and, if wanted, details. */
static void add_item(struct p11s_buf *out, const struct p11s_manual *m, bool is_option)
{
  p11s_buf_addstr(out, ".TP\n\\fB");
  add_text(out, m->name);
  p11s_buf_addstr(out, is_option && m->args[0] != '\0' ? "\\fR=" : "\\fR ");
  add_text(out, m->args);
  p11s_buf_addstr(out, "\n");
  add_text(out, m->purpose);
  p11s_buf_addstr(out, "\n");
  if (is_option)
    add_text(out, m->details);
}

static void add_description(struct p11s_buf *out, const struct p11s_manual *m)
{
  p11s_buf_addstr(out, ".SH DESCRIPTION\n");
  add_text(out, m->purpose);
  p11s_buf_addstr(out, "\n");
  add_text(out, m->details);
}

static void add_program_page(struct p11s_buf *out)
{
  const struct p11s_manual *program = &p11s_manual_program;

  add_whatis(out, program->name, "", program->purpose);
  p11s_buf_addstr(out, ".SH SYNOPSIS\n");
  add_command(out, program);
  add_description(out, program);
  p11s_buf_addstr(out, ".SH OPTIONS\n");
  for (const struct p11s_manual *m = NULL; (m = p11s_manual_next_option(m)) != NULL;)
    add_item(out, m, true);
  p11s_buf_addstr(out, ".SH COMMANDS\n");
  for (const struct p11s_manual *m = NULL; (m = p11s_manual_next(m)) != NULL;)
    add_item(out, m, false);
  p11s_buf_addstr(out, ".SH SEE ALSO\n");
  for (const struct p11s_manual *m = NULL; (m = p11s_manual_next(m)) != NULL;)
    p11s_buf_addf(out, ".BR pkcs11signer\\-%s (1),\n", m->name);
  p11s_buf_addstr(out, ".BR pdnsutil (1)\n");
}

static void add_command_page(struct p11s_buf *out, const struct p11s_manual *m)
{
  const struct p11s_manual *program = &p11s_manual_program;

  add_whatis(out, program->name, m->name, m->purpose);
  p11s_buf_addf(out, ".SH SYNOPSIS\n\\fB%s\\fR [OPTION]... ", program->name);
  add_command(out, m);
  add_description(out, m);
  p11s_buf_addstr(out, ".SH SEE ALSO\n.BR pkcs11signer (1)\n");
}

/* m NULL: of the program. */
static bool write_page(const char *dir, const struct p11s_manual *m)
{
  struct p11s_buf page = P11S_BUF_INIT;
  char path[PATH_MAX];
  FILE *file;
  bool good;

  (void)snprintf(path, sizeof path, "%s/pkcs11signer%s%s.1", dir, m != NULL ? "-" : "",
                 m != NULL ? m->name : "");
  if (m != NULL)
    add_command_page(&page, m);
  else
    add_program_page(&page);
  file = fopen(path, "we");
  good = file != NULL && !page.failed && fputs(p11s_buf_text(&page), file) != EOF;
  if (file != NULL && fclose(file) != 0)
    good = false;
  if (!good)
    perror(path);
  p11s_buf_clear(&page);
  return good;
}

int main(int argc, char **argv)
{
  const struct p11s_manual *m = NULL;
  bool good = argc == 2;

  do {
    good = good && write_page(argv[1], m);
  } while ((m = p11s_manual_next(m)) != NULL);
  return good ? EXIT_SUCCESS : EXIT_FAILURE;
}
