/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "command/manual.h"

#include "pkcs11signer-config.h"

#include <string.h>
#include <strings.h>

#define ABOUT_KEY                                                                                  \
  "ALGORITHM is a number or a name: 5 rsasha1, 7 rsasha1-nsec3-sha1, 8 rsasha256,\n"               \
  "10 rsasha512, 13 ecdsa256, 14 ecdsa384, 15 ed25519, 16 ed448.\n"                                \
  "A ksk signs the zone's keys, and a zsk all else. A csk does both: it is a ksk in a\n"           \
  "zone without an active zsk of its algorithm.\n"                                                 \
  "MODULE is a name that `modules` shows. SLOT is a token's label, its serial, a\n"                \
  "slot number or a pkcs11: URI (see `tokens`).\n"                                                 \
  "PIN is the PIN, a source (file:PATH, env:NAME, credential:NAME), '-' to be asked\n"             \
  "for it, or '' for the setting pkcs11signer-pin-source.\n"

static const struct p11s_manual commands[] = {
    {"help", "[COMMAND]", "Lists the commands, or explains one.", ""},
    {"version", "",
     "Shows the versions of the module, of the PowerDNS it was built for, and of this one.", ""},
    {"modules", "", "Lists the PKCS#11 modules that p11-kit knows.",
     "Other commands take the name as MODULE. Key references have it in their Engine: line.\n"},
    {"tokens", "", "Lists the tokens of all modules.",
     "Slots without a token are left out. Other commands take label, serial or slot number\n"
     "as SLOT. A module that cannot be asked is listed with its error.\n"},
    {"keys", "MODULE SLOT [PIN]", "Lists the keys on a token and the zones that use them.",
     "PIN is the PIN, a source (file:PATH, env:NAME, credential:NAME) or '-' to be asked\n"
     "for it. The default is the setting pkcs11signer-pin-source. Without any PIN only the\n"
     "objects that the token shows before login are listed.\n"},
    {"assign", "ZONE ALGORITHM ksk|zsk|csk MODULE SLOT PIN LABEL [PUBLABEL]",
     "Assigns a key that is on a token to a zone.",
     "The key must make a signature that verifies before anything is stored.\n" ABOUT_KEY
     "LABEL is the private key's label or pkcs11:object=NAME;id=%01%02; PUBLABEL the public\n"
     "key's label, when it differs.\n"},
    {"generate", "ZONE ALGORITHM ksk|zsk|csk MODULE SLOT PIN LABEL [BITS]",
     "Makes a key pair on a token and assigns it to a zone.",
     "LABEL must not be on the token yet. When a later step fails the pair is removed\n"
     "again.\n" ABOUT_KEY "BITS is the size of an RSA key, by default 2048.\n"},
    {"check", "[ZONE]", "Checks the key references of a zone, or of all.",
     "For each reference the token and the key are found, type and public key are compared,\n"
     "and a signature is made and verified. The command fails when one reference fails.\n"},
    {"status", "", "Shows the tokens of the running servers: ready, away or stuck.",
     "The servers have written it; no token is asked. PIN is ok, low (a wrong PIN was given\n"
     "lately), last (one try left), locked or keypad. TROUBLE says why a token is away or not\n"
     "logged in. The last line: until when the store has all that was served in the last\n"
     "week (see `budget`).\n"},
    {"unlock-login", "TOKEN|--all", "Allows one more try of a PIN that a token has refused.",
     "No server and no pdnsutil tries a refused PIN again until it has changed. Use this\n"
     "command when the PIN is right after all. TOKEN is a token's label, serial, slot number\n"
     "or pkcs11: URI; a token that is not there is known by label or serial. A PIN that is\n"
     "locked or on its final try is never tried.\n"},
    {"forecast", "[ZONE] [--measure]", "Says whether tokens keep up, and what would help.",
     "Speeds are those the running servers have seen lately; --measure has each token make a\n"
     "few signatures instead. A week's signatures are those in the store, or with ZONE all\n"
     "that the zone can need.\n"},
    {"budget", "[ZONE]", "Shows until when each zone can be served without the token.",
     "This covers what was asked for this week and last week. SERVED is the number of these\n"
     "signatures. A name that was never asked for needs the token.\n"},
    {"sign-ahead", "ZONE|all [WEEKS]", "Makes the signatures of the weeks to come now.",
     "The server makes the same signatures by itself, but slowly. This covers what was asked\n"
     "for this week and last week. WEEKS: how many weeks ahead, 1 to 8; by default\n"
     "pkcs11signer-sign-ahead. After Ctrl-C the same command goes on from there.\n"},
    {"warm", "ZONE [WEEKS]", "Signs all of a zone, for this week and for weeks ahead.",
     "Every RRset and its denials, asked for or not, are signed unless the store has them.\n"
     "WEEKS: how many weeks ahead, 0 to 8; by default pkcs11signer-sign-ahead. All sessions\n"
     "are used: meanwhile queries for new signatures may wait. After Ctrl-C the same command\n"
     "goes on from there.\n"},
    {"store", "stats|verify|purge [ZONE]", "Shows, verifies or empties the store of signatures.",
     "stats: number and size of the signatures. verify: checks each with the public keys of\n"
     "the table, deletes wrong ones, and fails when there were any. purge: deletes them. Each\n"
     "covers one zone or all; servers may go on running.\n"},
};

#define COMMANDS (sizeof commands / sizeof *commands)

const struct p11s_manual p11s_manual_program = {
    "pkcs11signer", "[OPTION]... COMMAND [ARGUMENT]...",
    "Administers keys on PKCS#11 tokens that PowerDNS signs with.",
    "Does what `pdnsutil backend-cmd pkcs11signer \"COMMAND ARGUMENTS\"` does, with the same\n"
    "output and exit status: 0, or 1 after a failure, which the last line on stderr explains.\n"
    "There, arguments that hold blanks need a second pair of quotes.\n"};

static const struct p11s_manual options[] = {
    {"--config-dir", "DIR", "The directory of pdns.conf, if it is another than PowerDNS's own.",
     ""},
    {"--config-name", "NAME", "Reads pdns-NAME.conf: a virtual server's configuration.", ""},
    {"--user", "USER", "The user that root's commands run as.",
     "By default the server's: that of the setting setuid, else whom the state directory\n"
     "belongs to. It is root where that user may not read the configuration.\n"},
    {"--json", "", "Prints a listing as JSON; also behind the command.", ""},
    {"--help", "", "Behind a command: explains it.", ""},
    {"--version", "", "Shows what this command was built for; `version` asks the module.", ""},
};

#define OPTIONS (sizeof options / sizeof *options)

static const struct p11s_manual *next_of(const struct p11s_manual *table, size_t count,
                                         const struct p11s_manual *after)
{
  const struct p11s_manual *next = after == NULL ? table : after + 1;

  return next < table + count ? next : NULL;
}

const struct p11s_manual *p11s_manual_next(const struct p11s_manual *after)
{
  return next_of(commands, COMMANDS, after);
}

const struct p11s_manual *p11s_manual_next_option(const struct p11s_manual *after)
{
  return next_of(options, OPTIONS, after);
}

const struct p11s_manual *p11s_manual_find(const char *name)
{
  for (size_t i = 0; i < COMMANDS; i++) {
    if (strcasecmp(commands[i].name, name) == 0)
      return &commands[i];
  }
  return NULL;
}

void p11s_manual_count(const struct p11s_manual *m, size_t *ret_least, size_t *ret_most)
{
  *ret_least = *ret_most = 0;
  for (const char *p = m->args; *p != '\0'; p += strcspn(p, " "), p += strspn(p, " ")) {
    size_t len = strcspn(p, " ");
    const char *option = memmem(p, len, "--", 2);

    *ret_least += *p != '[' && option == NULL;
    *ret_most += option == NULL || memchr(p, '|', len) != NULL;
  }
}

/* Number of letters to change, add or drop to get from a to b (Levenshtein). */
static size_t distance(const char *a, const char *b)
{
  size_t row[16];
  size_t len = strlen(b);

  for (size_t j = 0; j <= len; j++)
    row[j] = j;
  for (size_t i = 0; a[i] != '\0'; i++) {
    size_t diagonal = row[0];
    row[0] = i + 1;
    for (size_t j = 1; j <= len; j++) {
      size_t above = row[j];
      size_t best = diagonal + (strncasecmp(&a[i], &b[j - 1], 1) == 0 ? 0 : 1);
      best = above + 1 < best ? above + 1 : best;
      best = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
      diagonal = above;
      row[j] = best;
    }
  }
  return row[len];
}

/* The command that was probably meant, or NULL. */
static const struct p11s_manual *nearest_command(const char *name)
{
  const struct p11s_manual *best = NULL;
  size_t len = strlen(name);
  size_t best_distance = len / 2 > 2 ? 4 : 3;

  if (len > 32)
    return NULL;
  for (size_t i = 0; i < COMMANDS; i++) {
    if (len >= 2 && strncasecmp(commands[i].name, name, len) == 0)
      return &commands[i];
    size_t d = distance(name, commands[i].name);
    if (d < best_distance) {
      best_distance = d;
      best = &commands[i];
    }
  }
  return best;
}

enum p11s_err p11s_manual_unknown(const char *name, struct p11s_error *e)
{
  const struct p11s_manual *near = nearest_command(name);
  struct p11s_buf names = P11S_BUF_INIT;
  enum p11s_err err;

  if (near != NULL)
    return p11s_error_set(e, P11S_ERR_SYNTAX, "no such command; did you mean: %s%s%s", near->name,
                          near->args[0] != '\0' ? " " : "", near->args);
  for (size_t i = 0; i < COMMANDS; i++)
    p11s_buf_addf(&names, "%s%s", i == 0 ? "" : ", ", commands[i].name);
  err = p11s_error_set(e, P11S_ERR_SYNTAX, "no such command; there are: %s", p11s_buf_text(&names));
  p11s_buf_clear(&names);
  return err;
}

static void add_usage(const struct p11s_manual *m, struct p11s_buf *out)
{
  p11s_buf_addf(out, "%s%s%s\n", m->name, m->args[0] != '\0' ? " " : "", m->args);
}

void p11s_manual_help(const struct p11s_manual *m, struct p11s_buf *out)
{
  if (m != NULL) {
    add_usage(m, out);
    p11s_buf_addf(out, "%s\n%s", m->purpose, m->details);
    return;
  }
  add_usage(&p11s_manual_program, out);
  p11s_buf_addf(out, "%s\n%s\n", p11s_manual_program.purpose, p11s_manual_program.details);
  while ((m = p11s_manual_next(m)) != NULL) {
    add_usage(m, out);
    p11s_buf_addf(out, "    %s\n", m->purpose);
  }
  p11s_buf_addstr(out, "\n");
  while ((m = p11s_manual_next_option(m)) != NULL)
    p11s_buf_addf(out, "%s%s%s\n    %s\n", m->name, m->args[0] != '\0' ? "=" : "", m->args,
                  m->purpose);
}

void p11s_manual_version(struct p11s_buf *out)
{
  p11s_buf_addstr(out, PACKAGE_STRING " for PowerDNS " P11S_PDNS_VERSION "\n");
}
