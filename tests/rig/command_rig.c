/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "rig/command_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

struct p11s_buf command_out = P11S_BUF_INIT;
struct p11s_error command_error;

static struct p11s_signer *signer;

void command_signer_free(void)
{
  p11s_signer_free(signer);
  signer = NULL;
  p11s_buf_clear(&command_out);
}

void command_signer(const char *pin_source, bool store_pins)
{
  struct p11s_config config = {.pin_source = pin_source,
                               .sessions = 2,
                               .timeout_ms = 60000,
                               .transfer_timeout_ms = 60000,
                               .verify = true,
                               .store_pins = store_pins};

  command_signer_free();
  assert_int_equal(p11s_signer_new(&config, &signer, &command_error), P11S_OK);
}

enum p11s_err command_run(const char *line)
{
  enum p11s_err result;

  p11s_buf_clear(&command_out);
  command_error = (struct p11s_error){0};
  result = p11s_command_run(signer, &fakehost, line, &command_out, &command_error);
  assert_int_equal(result, command_error.code);
  assert_has_not(p11s_buf_text(&command_out), COMMAND_PIN);
  assert_has_not(command_error.text, COMMAND_PIN);
  return result;
}

const char *command_good(const char *line)
{
  if (command_run(line) != P11S_OK)
    fail_msg("%s: %s", line, command_error.text);
  return p11s_buf_text(&command_out);
}

const char *command_bad(const char *line, enum p11s_err expected)
{
  enum p11s_err result = command_run(line);

  if (result != expected)
    fail_msg("%s: error %d, not %d: %s", line, (int)result, (int)expected, command_error.text);
  return command_error.text;
}

void assert_begins(const char *text, const char *part)
{
  if (strncmp(text, part, strlen(part)) != 0)
    fail_msg("'%s' is not at the start of: %s", part, text);
}

void assert_has(const char *text, const char *part)
{
  if (strstr(text, part) == NULL)
    fail_msg("'%s' is not in: %s", part, text);
}

void assert_has_not(const char *text, const char *part)
{
  if (strstr(text, part) != NULL)
    fail_msg("'%s' is in: %s", part, text);
}
