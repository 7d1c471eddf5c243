/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/secret_source.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/owner.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_PIN ((size_t)1024)

/* What errors say it is, and where it comes from. */
struct origin {
  const char *what;
  const char *source;
};

#define FILE_PREFIX "file:"
#define ENV_PREFIX "env:"
#define CREDENTIAL_PREFIX "credential:"
#define SETTING "pkcs11signer-pin-source"

/* What follows the prefix, NULL when text does not begin with it. */
static const char *after_prefix(const char *text, const char *prefix)
{
  size_t len = strlen(prefix);

  return strncmp(text, prefix, len) == 0 ? text + len : NULL;
}

bool p11s_pin_is_source(const char *text)
{
  return text != NULL &&
         (after_prefix(text, FILE_PREFIX) != NULL || after_prefix(text, ENV_PREFIX) != NULL ||
          after_prefix(text, CREDENTIAL_PREFIX) != NULL);
}

struct p11s_secret *p11s_pin_new(const char *text, size_t len)
{
  char begin[sizeof CREDENTIAL_PREFIX] = ""; /* the longest of them */

  memcpy(begin, text, len < sizeof begin - 1 ? len : sizeof begin - 1);
  return p11s_pin_is_source(begin) ? p11s_secret_new_open(text, len) : p11s_secret_new(text, len);
}

enum p11s_err p11s_pin_check_typed(const struct p11s_secret *pin, struct p11s_error *e)
{
  if (p11s_secret_len(pin) == 0 || *p11s_secret_data(pin) != '/')
    return P11S_OK;
  return p11s_error_set(e, P11S_ERR_SYNTAX,
                        "the PIN begins with '/', as a path does: did you mean file: before it? A "
                        "PIN that does begin so can be given by a file only");
}

/* Drops the newline and makes the secret. A stray control character would cost a try at the token.
 */
static enum p11s_err make_pin(const struct origin *from, const char *text, size_t len,
                              struct p11s_secret **ret_pin, struct p11s_error *e)
{
  struct p11s_secret *pin;
  size_t i;

  if (len > 0 && text[len - 1] == '\n') {
    len--;
    len -= len > 0 && text[len - 1] == '\r';
  }
  if (len == 0)
    return p11s_error_set(e, P11S_ERR_NO_PIN, "the %s from %s is empty", from->what, from->source);
  if (len > MAX_PIN)
    return p11s_error_set(e, P11S_ERR_NO_PIN, "the %s from %s is longer than %zu bytes", from->what,
                          from->source, MAX_PIN);
  for (i = 0; i < len; i++)
    if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
      return p11s_error_set(e, P11S_ERR_NO_PIN,
                            "the %s from %s has a line break or control character in it",
                            from->what, from->source);
  pin = p11s_secret_new(text, len);
  if (pin == NULL)
    return p11s_error_no_memory(e);
  *ret_pin = pin;
  return P11S_OK;
}

/* Who may have written the file, and who may read it. */
static enum p11s_err check_file(const struct origin *from, const struct stat *st, bool guarded,
                                struct p11s_error *e)
{
  if (!S_ISREG(st->st_mode))
    return p11s_error_set(e, P11S_ERR_NO_PIN, "the %s source %s is not a regular file", from->what,
                          from->source);
  if (!guarded && st->st_uid != 0 && st->st_uid != geteuid())
    return p11s_error_set(e, P11S_ERR_NO_PIN,
                          "the %s source %s belongs to user %u; it must belong to root or to the "
                          "server's user %u",
                          from->what, from->source, (unsigned)st->st_uid, (unsigned)geteuid());
  if (!guarded && (st->st_mode & 0007) != 0)
    return p11s_error_set(e, P11S_ERR_NO_PIN,
                          "the %s source %s is open to all users (mode %04o); use chmod o-rwx",
                          from->what, from->source, (unsigned)st->st_mode & 07777);
  if (st->st_size > (off_t)MAX_PIN)
    return p11s_error_set(e, P11S_ERR_NO_PIN,
                          "the %s source %s has %lld bytes, at most %zu are allowed", from->what,
                          from->source, (long long)st->st_size, MAX_PIN);
  return P11S_OK;
}

/* guarded: the directory keeps others out, so owner and mode of the file do not matter. */
static enum p11s_err read_file(const struct origin *from, const char *path, bool guarded,
                               struct p11s_secret **ret_pin, struct p11s_error *e)
{
  /* one more than allowed, in case the file has grown since fstat */
  char text[MAX_PIN + 1];
  enum p11s_err err;
  struct stat st;
  ssize_t len;
  int fd;

  /* a FIFO must not hang the server, nor a terminal become its own */
  fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (fd < 0)
    return p11s_error_set(e, P11S_ERR_NO_PIN, "cannot open the %s source %s: %m", from->what,
                          from->source);
  if (fstat(fd, &st) != 0) {
    err = p11s_error_set(e, P11S_ERR_NO_PIN, "cannot read the %s source %s: %m", from->what,
                         from->source);
    goto out;
  }
  err = check_file(from, &st, guarded, e);
  if (err != P11S_OK)
    goto out;
  len = p11s_file_read(fd, text, sizeof text);
  if (len < 0)
    err = p11s_error_set(e, P11S_ERR_NO_PIN, "cannot read the %s source %s: %m", from->what,
                         from->source);
  else if ((size_t)len > MAX_PIN)
    err = p11s_error_set(e, P11S_ERR_NO_PIN, "the %s source %s has more than %zu bytes", from->what,
                         from->source, MAX_PIN);
  else
    err = make_pin(from, text, (size_t)len, ret_pin, e);
  p11s_wipe(text, sizeof text);
out:
  (void)close(fd);
  return err;
}

static enum p11s_err read_env(const struct origin *from, const char *name,
                              struct p11s_secret **ret_pin, struct p11s_error *e)
{
  const char *value = getenv(name);

  if (value == NULL)
    return p11s_error_set(e, P11S_ERR_NO_PIN,
                          "the %s source %s: the server has no environment variable of that name",
                          from->what, from->source);
  return make_pin(from, value, strlen(value), ret_pin, e);
}

static enum p11s_err read_credential(const struct origin *from, const char *name,
                                     struct p11s_secret **ret_pin, struct p11s_error *e)
{
  const char *directory = getenv("CREDENTIALS_DIRECTORY");
  struct p11s_buf path = P11S_BUF_INIT;
  enum p11s_err err;
  bool as_owner;

  if (name[0] == '\0' || strchr(name, '/') != NULL || strcmp(name, ".") == 0 ||
      strcmp(name, "..") == 0)
    return p11s_error_set(e, P11S_ERR_NO_PIN,
                          "the %s source %s: expected a credential's name after the colon",
                          from->what, from->source);
  if (directory == NULL || directory[0] != '/')
    return p11s_error_set(e, P11S_ERR_NO_PIN,
                          "the %s source %s: no $CREDENTIALS_DIRECTORY; use LoadCredential= in "
                          "the systemd unit",
                          from->what, from->source);
  p11s_buf_addf(&path, "%s/%s", directory, name);
  as_owner = p11s_owner_act(false); /* systemd hands it to a server, whoever may read it */
  err = path.failed ? p11s_error_no_memory(e)
                    : read_file(from, p11s_buf_text(&path), true, ret_pin, e);
  (void)p11s_owner_act(as_owner);
  p11s_buf_clear(&path);
  return err;
}

static enum p11s_err read_source(const struct origin *from, struct p11s_secret **ret_pin,
                                 struct p11s_error *e)
{
  const char *source = from->source, *rest = after_prefix(source, ENV_PREFIX);

  if (rest != NULL)
    return read_env(from, rest, ret_pin, e);
  rest = after_prefix(source, CREDENTIAL_PREFIX);
  if (rest != NULL)
    return read_credential(from, rest, ret_pin, e);
  rest = source + strlen(FILE_PREFIX);
  if (rest[0] != '/')
    return p11s_error_set(e, P11S_ERR_NO_PIN, "the %s source %s: expected an absolute path",
                          from->what, from->source);
  return read_file(from, rest, false, ret_pin, e);
}

/* The label as part of a file name: no '/', and not "." or "..". */
static void add_label(struct p11s_buf *out, const char *label)
{
  bool dots = strcmp(label, ".") == 0 || strcmp(label, "..") == 0;

  for (; *label != '\0'; label++) {
    bool harmful = *label == '/' || dots;
    p11s_buf_add(out, harmful ? "_" : label, 1);
  }
}

static enum p11s_err expand(const char *source, const char *token_label, struct p11s_buf *out,
                            struct p11s_error *e)
{
  const char *at;

  for (at = source; *at != '\0'; at++) {
    if (*at != '%') {
      p11s_buf_add(out, at, 1);
      continue;
    }
    at++;
    if (*at == 't')
      add_label(out, token_label == NULL ? "" : token_label);
    else if (*at == '%')
      p11s_buf_add(out, at, 1);
    else
      return p11s_error_set(e, P11S_ERR_NO_PIN, SETTING " %s: only %%t and %%%% are allowed",
                            source);
  }
  return out->failed ? p11s_error_no_memory(e) : P11S_OK;
}

static enum p11s_err read_default(const char *source, const char *token_label,
                                  struct p11s_secret **ret_pin, struct p11s_error *e)
{
  struct p11s_buf expanded = P11S_BUF_INIT;
  enum p11s_err err;

  /* does not show the setting: it may be a PIN */
  if (!p11s_pin_is_source(source))
    return p11s_error_set(e, P11S_ERR_NO_PIN,
                          "the setting " SETTING " must begin with file:, env: or credential:");
  err = expand(source, token_label, &expanded, e);
  if (err == P11S_OK)
    err = read_source(&(struct origin){"PIN", p11s_buf_text(&expanded)}, ret_pin, e);
  p11s_buf_clear(&expanded);
  return err;
}

enum p11s_err p11s_pin_read(const char *what, struct p11s_secret *given,
                            struct p11s_secret **ret_secret, struct p11s_error *e)
{
  const char *text = (const char *)p11s_secret_data(given);

  if (p11s_pin_is_source(text) && strlen(text) == p11s_secret_len(given))
    return read_source(&(struct origin){what, text}, ret_secret, e);
  *ret_secret = p11s_secret_acquire(given);
  return P11S_OK;
}

enum p11s_err p11s_pin_read_file(const char *what, const char *path,
                                 struct p11s_secret **ret_secret, struct p11s_error *e)
{
  struct p11s_buf source = P11S_BUF_INIT;
  enum p11s_err err;

  p11s_buf_addf(&source, FILE_PREFIX "%s", path);
  err = source.failed ? p11s_error_no_memory(e)
                      : read_source(&(struct origin){what, p11s_buf_text(&source)}, ret_secret, e);
  p11s_buf_clear(&source);
  return err;
}

enum p11s_err p11s_pin_get(struct p11s_secret *given, const char *default_source,
                           const char *token_label, struct p11s_secret **ret_pin,
                           struct p11s_error *e)
{
  if (p11s_secret_len(given) > 0)
    return p11s_pin_read("PIN", given, ret_pin, e);
  if (default_source != NULL && default_source[0] != '\0')
    return read_default(default_source, token_label, ret_pin, e);
  return p11s_error_set(e, P11S_ERR_NO_PIN,
                        "a PIN is needed: the key reference holds none, and " SETTING
                        " is not set");
}
