/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The command line of `backend-cmd`. The input: the line, and then the content
 * of a row that stands in the table. p11-kit knows one module here, the healthy token of
 * nonsense.h; there are no files and there is no terminal.
 */
#include "fuzz.h"
#include "nonsense.h"

#include "rig/fakehost.h"
#include "command/command.h"
#include "pkcs11/module.h"
#include "command/split.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What the core calls of p11-kit to get at modules. */
CK_FUNCTION_LIST **__wrap_p11_kit_modules_load(const char *reserved, int flags);
void __wrap_p11_kit_modules_release(CK_FUNCTION_LIST **modules);
char *__wrap_p11_kit_module_get_name(CK_FUNCTION_LIST *module);
char *__wrap_p11_kit_module_get_filename(CK_FUNCTION_LIST *module);
CK_RV __wrap_p11_kit_module_initialize(CK_FUNCTION_LIST *module);
CK_RV __wrap_p11_kit_module_finalize(CK_FUNCTION_LIST *module);
char *__wrap_p11_kit_config_option(CK_FUNCTION_LIST *module, const char *option);
int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);

CK_FUNCTION_LIST **__wrap_p11_kit_modules_load(const char *reserved, int flags)
{
  CK_FUNCTION_LIST **list =
      calloc(2, sizeof(CK_FUNCTION_LIST *)); /* NOLINT(bugprone-sizeof-expression) */

  (void)reserved;
  (void)flags;
  fuzz_must(list != NULL, "no memory");
  list[0] = &nonsense;
  return list;
}

void __wrap_p11_kit_modules_release(CK_FUNCTION_LIST **modules)
{
  free((void *)modules);
}

char *__wrap_p11_kit_module_get_name(CK_FUNCTION_LIST *module)
{
  (void)module;
  return strdup("fake");
}

char *__wrap_p11_kit_module_get_filename(CK_FUNCTION_LIST *module)
{
  (void)module;
  return strdup("/nowhere/nonsense.so");
}

CK_RV __wrap_p11_kit_module_initialize(CK_FUNCTION_LIST *module)
{
  return module->C_Initialize(NULL);
}

CK_RV __wrap_p11_kit_module_finalize(CK_FUNCTION_LIST *module)
{
  return module->C_Finalize(NULL);
}

char *__wrap_p11_kit_config_option(CK_FUNCTION_LIST *module, const char *option)
{
  (void)module;
  (void)option;
  return NULL;
}

int __wrap_open(const char *path, int flags, ...)
{
  (void)path;
  (void)flags;
  errno = ENOENT;
  return -1;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
  int nothing = __real_open("/dev/null", O_RDONLY | O_CLOEXEC);

  (void)argc;
  (void)argv;
  /* A PIN given as "-" is read from there. */
  fuzz_must(nothing >= 0 && dup2(nothing, STDIN_FILENO) == STDIN_FILENO, "no /dev/null");
  return close(nothing);
}

static unsigned count(const char *text, const char *part)
{
  unsigned n = 0;

  while ((text = strstr(text, part)) != NULL) {
    n++;
    text += strlen(part);
  }
  return n;
}

/* Whether the PIN stands where a PIN belongs, and only there. */
static bool pin_in_its_place(const char *line)
{
  struct p11s_words words = {0};
  bool is = false;

  if (p11s_words_split(line, &words, NULL) != P11S_OK)
    return false;
  if (words.count == 4 && strcmp(words.word[0], "keys") == 0)
    is = strcmp(words.word[3], FUZZ_PIN) == 0;
  else if (words.count >= 8 &&
           (strcmp(words.word[0], "assign") == 0 || strcmp(words.word[0], "generate") == 0))
    is = strcmp(words.word[6], FUZZ_PIN) == 0;
  p11s_words_clear(&words);
  return is && count(line, FUZZ_PIN) == 1;
}

static void check_secrecy(const char *line, const struct p11s_buf *out, const struct p11s_error *e)
{
  if (!pin_in_its_place(line))
    return;
  fuzz_must(strstr(p11s_buf_text(out), FUZZ_PIN) == NULL, "the output shows a PIN");
  fuzz_must(strstr(e->text, FUZZ_PIN) == NULL, "a message shows a PIN");
  for (unsigned i = 1; i < fakehost_row_count; i++)
    fuzz_must(strstr(fakehost_rows[i].content, FUZZ_PIN) == NULL, "a PIN gets into the table");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  struct p11s_config config = {
      .sessions = 1, .timeout_ms = 1000, .transfer_timeout_ms = 1000, .verify = true};
  struct fuzz_input in = {data, size};
  struct p11s_error e = {0};
  struct p11s_buf out = P11S_BUF_INIT;
  struct p11s_signer *signer = NULL;
  char *line = fuzz_line(&in);
  char *row;
  size_t row_len;
  enum p11s_err err;

  row = fuzz_bytes(&in, in.left, &row_len);
  nonsense_reset((struct fuzz_input){NULL, 0});
  fakehost_reset();
  fakehost_put("example.org.", 257, row, row_len);
  fuzz_must(p11s_signer_new(&config, &signer, &e) == P11S_OK, "no signer");
  err = p11s_command_run(signer, &fakehost, line, &out, &e);
  fuzz_must(err == e.code, "another code than the message's");
  fuzz_must(err == P11S_OK || e.text[0] != '\0', "a failure without a message");
  if (strstr(row, FUZZ_PIN) == NULL)
    check_secrecy(line, &out, &e);
  p11s_signer_free(signer);
  fuzz_must(nonsense_sessions() == 0, "a session is left open");
  p11s_module_shutdown();
  fakehost_reset();
  p11s_buf_clear(&out);
  free(row);
  free(line);
  fuzz_check_queue();
  return 0;
}
