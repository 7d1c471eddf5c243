/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The program `pkcs11signer`: makes `pdnsutil backend-cmd pkcs11signer "COMMAND …"` of its
 * arguments and becomes that. What it says of itself stands in command/manual.h.
 *
 *   pkcs11signer --complete WORD... BEGINNING       for shells: cli/complete.h
 */
#include "base/buf.h"
#include "base/paste.h"
#include "cli/complete.h"
#include "cli/configuration.h"
#include "cli/user.h"
#include "command/manual.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define COMPLETE_SECONDS 3

struct options {
  const char *dir; /* NULL: not given; so are the others */
  const char *name;
  const char *user;
  bool json;
  bool version;
};

/* Returns where the command stands in argv; 0: an option is none, which getopt has said. --help is
   a command. */
static int read_options(int argc, char **argv, struct options *o)
{
  static const struct option known[] = {
      {"config-dir", required_argument, NULL, 'd'},
      {"config-name", required_argument, NULL, 'n'},
      {"user", required_argument, NULL, 'u'},
      {"json", no_argument, NULL, 'j'},
      {"help", no_argument, NULL, 'h'},
      {"version", no_argument, NULL, 'v'},
      {NULL, 0, NULL, 0},
  };
  int option;

  while ((option = getopt_long(argc, argv, "+", known, NULL)) != -1) {
    switch (option) {
    case 'd':
      o->dir = optarg;
      break;
    case 'n':
      o->name = optarg;
      break;
    case 'u':
      o->user = optarg;
      break;
    case 'j':
      o->json = true;
      break;
    case 'v':
      o->version = true;
      break;
    case 'h':
      argv[--optind] = "help";
      return optind;
    default:
      return 0;
    }
  }
  return optind;
}

/* Among the options. */
static bool has(char *const *words, const char *option)
{
  while (*words != NULL && strcmp(*words, "--") != 0 && strcmp(*words, option) != 0)
    words++;
  return *words != NULL && strcmp(*words, option) == 0;
}

/* What needs no PowerDNS, whose configuration may not name the module yet. false: it is another
   command. */
static bool explain(char *const *words, struct p11s_buf *out, enum p11s_err *ret_err,
                    struct p11s_error *e)
{
  const char *topic = words[0];
  const struct p11s_manual *m;

  if (has(words, "--json"))
    return false;
  if (topic != NULL && !has(words, "--help")) {
    topic = words[1];
    if (strcasecmp(words[0], "help") != 0 || (topic != NULL && (words[2] != NULL || *topic == '-')))
      return false;
  }
  m = topic != NULL ? p11s_manual_find(topic) : NULL;
  if (topic != NULL && m == NULL)
    *ret_err = p11s_manual_unknown(topic, e);
  else
    p11s_manual_help(m, out);
  return true;
}

static enum p11s_err choose_user(const struct options *o, struct p11s_error *e)
{
  const struct passwd *user = NULL;
  enum p11s_err err = P11S_OK;

  if (geteuid() != 0)
    return o->user == NULL ? P11S_OK
                           : p11s_error_set(e, P11S_ERR_SYNTAX, "--user is for root to choose");
  if (o->user != NULL)
    err = p11s_user_find(o->user, &user, e);
  else
    err = p11s_user_of_server(o->dir != NULL ? o->dir : P11S_CONFIGURATION_DIR,
                              o->name != NULL ? o->name : "", &user, e);
  return err == P11S_OK && user != NULL && user->pw_uid != 0 ? p11s_user_become(user, e) : err;
}

/* Returns only when it cannot be done. */
static enum p11s_err become_pdnsutil(const struct options *o, const char *line,
                                     struct p11s_error *e)
{
  struct p11s_buf dir = P11S_BUF_INIT, name = P11S_BUF_INIT;
  const char *argv[7] = {"pdnsutil"};
  size_t count = 1;
  enum p11s_err err = choose_user(o, e);

  if (err != P11S_OK)
    return err;
  if (o->dir != NULL) {
    p11s_buf_addf(&dir, "--config-dir=%s", o->dir);
    argv[count++] = p11s_buf_text(&dir);
  }
  if (o->name != NULL) {
    p11s_buf_addf(&name, "--config-name=%s", o->name);
    argv[count++] = p11s_buf_text(&name);
  }
  argv[count++] = "backend-cmd";
  argv[count++] = "pkcs11signer";
  argv[count] = line;
  if (!dir.failed && !name.failed)
    (void)execvp(argv[0], (char *const *)argv);
  err = p11s_error_set(e, P11S_ERR_HOST, "PowerDNS's pdnsutil cannot be run: %s", strerror(errno));
  p11s_buf_clear(&dir);
  p11s_buf_clear(&name);
  return err;
}

/* As backend-cmd takes it. */
static void add_line(char *const *words, bool json, struct p11s_buf *line)
{
  p11s_buf_add_shell(line, words[0] != NULL ? words[0] : "help");
  p11s_buf_addstr(line, json ? " --json" : "");
  for (size_t i = 1; words[0] != NULL && words[i] != NULL; i++) {
    p11s_buf_addstr(line, " ");
    p11s_buf_add_shell(line, words[i]);
  }
}

static int run(int argc, char **argv)
{
  struct options options = {0};
  struct p11s_buf out = P11S_BUF_INIT;
  struct p11s_error e;
  enum p11s_err err = P11S_OK;
  int first = read_options(argc, argv, &options);

  if (first == 0)
    return EXIT_FAILURE;
  if (options.version) {
    p11s_manual_version(&out);
  } else if (options.json || !explain(argv + first, &out, &err, &e)) {
    add_line(argv + first, options.json, &out);
    err =
        out.failed ? p11s_error_no_memory(&e) : become_pdnsutil(&options, p11s_buf_text(&out), &e);
  }
  if (err == P11S_OK &&
      (out.failed || fputs(p11s_buf_text(&out), stdout) == EOF || fflush(stdout) != 0))
    err = p11s_error_set(&e, P11S_ERR_HOST, "cannot write: %s", strerror(errno));
  p11s_buf_clear(&out);
  if (err == P11S_OK)
    return EXIT_SUCCESS;
  (void)fprintf(stderr, "Error: %s\n", e.text);
  return EXIT_FAILURE;
}

/* argv[1] is --complete, the last word's beginning is to be completed. */
static int complete(int argc, char **argv)
{
  struct options options = {0};
  struct p11s_buf line = P11S_BUF_INIT;
  const char *beginning = argv[argc - 1];
  int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  int first;

  if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(null, STDERR_FILENO) < 0)
    return EXIT_FAILURE;
  argv[argc - 1] = NULL;
  first = read_options(argc - 2, argv + 1, &options);
  if (first > 0 && p11s_complete(argv + 1 + first, beginning, &line)) {
    (void)signal(SIGALRM, SIG_DFL);
    (void)alarm(COMPLETE_SECONDS);
    (void)become_pdnsutil(&options, p11s_buf_text(&line), NULL);
  }
  p11s_buf_clear(&line);
  return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
  return argc > 2 && strcmp(argv[1], "--complete") == 0 ? complete(argc, argv) : run(argc, argv);
}
