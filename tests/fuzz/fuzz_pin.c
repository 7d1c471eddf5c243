/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * PIN sources. The input: a line with the token's label, one with the setting
 * pkcs11signer-pin-source, one with the PIN of the reference, and then what is in the file /pin,
 * the credential pin, and the environment variable PIN.
 *
 * open() is ours: an absolute path leads into a private directory and never out of it, so no file
 * or device of this machine is touched, and runs do not differ.
 */
#include "fuzz.h"

#include "base/secret_source.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[PATH_MAX];
static int dir_fd = -1;
static struct fuzz_input content; /* of /pin and the credential */

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);

static bool leads_out(const char *path)
{
  for (const char *at = path; (at = strstr(at, "..")) != NULL; at += 2)
    if ((at == path || at[-1] == '/') && (at[2] == '/' || at[2] == '\0'))
      return true;
  return false;
}

/* A file with what the input holds, in memory: quicker than one on a disk. */
static int content_fd(mode_t mode)
{
  int fd = memfd_create("pin", MFD_CLOEXEC);

  fuzz_must(fd >= 0 && write(fd, content.at, content.left) == (ssize_t)content.left &&
                fchmod(fd, mode) == 0 && lseek(fd, 0, SEEK_SET) == 0,
            "no file in memory");
  return fd;
}

int __wrap_open(const char *path, int flags, ...)
{
  fuzz_must((flags & (O_CREAT | O_TRUNC | O_WRONLY | O_RDWR)) == 0, "a PIN source is written to");
  fuzz_must((flags & O_NONBLOCK) != 0, "a FIFO would hang the server");
  fuzz_must(path[0] == '/', "a relative path is opened");
  path += strspn(path, "/");
  if (strcmp(path, "pin") == 0)
    return content_fd(0600);
  if (strcmp(path, "credentials/pin") == 0)
    return content_fd(0644);
  if (leads_out(path)) {
    errno = ENOENT;
    return -1;
  }
  return openat(dir_fd, path[0] == '\0' ? "." : path, flags);
}

static void write_file(const char *name, const void *data, size_t size, mode_t mode)
{
  int fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);

  fuzz_must(fd >= 0 && write(fd, data, size) == (ssize_t)size && fchmod(fd, mode) == 0,
            "the private directory cannot be written to");
  (void)close(fd);
}

static const char *const files[] = {"open", "empty", "fifo"};

static void remove_dir(void)
{
  for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
    (void)unlinkat(dir_fd, files[i], 0);
  (void)unlinkat(dir_fd, "credentials", AT_REMOVEDIR);
  (void)rmdir(dir);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
  const char *tmp = getenv("TMPDIR");

  (void)argc;
  (void)argv;
  (void)snprintf(dir, sizeof dir, "%s/fuzz-pin.XXXXXX", tmp != NULL ? tmp : "/tmp");
  fuzz_must(mkdtemp(dir) != NULL, "no private directory");
  dir_fd = __real_open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  fuzz_must(dir_fd >= 0, "no private directory");
  (void)atexit(remove_dir);
  write_file("open", "1234", 4, 0644);
  write_file("empty", "", 0, 0600);
  fuzz_must(mkfifoat(dir_fd, "fifo", 0600) == 0 && mkdirat(dir_fd, "credentials", 0700) == 0,
            "no private directory");
  return setenv("CREDENTIALS_DIRECTORY", "/credentials", 1);
}

static void check_pin(const struct p11s_secret *pin, const struct p11s_secret *given)
{
  const unsigned char *data = p11s_secret_data(pin);

  fuzz_must(p11s_secret_len(pin) > 0, "an empty PIN");
  if (pin == given)
    return;
  fuzz_must(p11s_secret_len(pin) <= 1024, "a PIN that is too long");
  for (size_t i = 0; i < p11s_secret_len(pin); i++)
    fuzz_must(data[i] >= 0x20 && data[i] != 0x7f, "a control character in a PIN");
}

/* A source's name is no secret, a PIN in its place is. %t may put one together. */
static bool is_shown(const char *text)
{
  return p11s_pin_is_source(text) && (strstr(text, FUZZ_PIN) != NULL || strchr(text, '%') != NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  struct fuzz_input in = {data, size};
  char *label = fuzz_line(&in), *setting = fuzz_line(&in), *text = fuzz_line(&in), *value;
  struct p11s_secret *given = NULL, *pin = NULL;
  struct p11s_error e = {0};

  content = in;
  value = fuzz_line(&in);
  (void)setenv("PIN", value, 1);
  if (text[0] != '\0') {
    given = p11s_secret_new(text, strlen(text));
    fuzz_must(given != NULL, "no memory");
  }
  if (p11s_pin_get(given, setting, label, &pin, &e) == P11S_OK)
    check_pin(pin, given);
  else if (!is_shown(setting) && !is_shown(text) && strstr(label, FUZZ_PIN) == NULL)
    fuzz_check_error(&e);
  p11s_secret_release(pin);
  p11s_secret_release(given);
  free(value);
  free(text);
  free(setting);
  free(label);
  return 0;
}
