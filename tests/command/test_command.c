/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Commands as far as they need no token; test_command_token.c has the rest. */
#include "command/manual.h"
#include "pkcs11signer-config.h"
#include "rig/command_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const char *const names[] = {"help",   "modules",  "tokens", "keys",
                                    "assign", "generate", "check",  "warm"};
#define NAMES (sizeof names / sizeof *names)

static const char assign_usage[] =
    "assign ZONE ALGORITHM ksk|zsk|csk MODULE SLOT PIN LABEL [PUBLABEL]";

static int setup(void **state)
{
  (void)state;
  fakehost_reset();
  command_signer(NULL, true);
  return 0;
}

static int teardown(void **state)
{
  (void)state;
  command_signer_free();
  fakehost_reset();
  return 0;
}

static void help_lists_all(void **state)
{
  const char *text;

  (void)state;
  text = command_good("help");
  for (size_t i = 0; i < NAMES; i++) {
    char line[32];
    (void)snprintf(line, sizeof line, "\n%s", names[i]);
    if (strncmp(text, names[i], strlen(names[i])) != 0)
      assert_has(text, line);
  }
  assert_has(text, assign_usage);
  assert_has(command_good(""), "check [ZONE]");
  assert_has(command_good("  \t"), "check [ZONE]");
}

static void help_explains_one(void **state)
{
  (void)state;
  for (size_t i = 0; i < NAMES; i++) {
    char line[32];
    (void)snprintf(line, sizeof line, "help %s", names[i]);
    const char *text = command_good(line);
    assert_begins(text, names[i]);
    assert_int_equal(text[command_out.len - 1], '\n');
    assert_has_not(text, " \n");
  }
  assert_has(command_good("HELP Assign"), "PUBLABEL the public");
  assert_has(command_bad("help assing", P11S_ERR_SYNTAX), assign_usage);
}

static void help_behind_a_command(void **state)
{
  (void)state;
  assert_begins(command_good("assign --help"), assign_usage);
  assert_begins(command_good("assign example.org --help 13"), assign_usage);
  assert_begins(command_good("--help check"), "check [ZONE]\n");
  assert_has(command_good("--help"), assign_usage);
  assert_has(command_bad("assing --help", P11S_ERR_SYNTAX), assign_usage);
}

/* It does something, or says why not. */
static void each_command_is_there(void **state)
{
  (void)state;
  for (const struct p11s_manual *m = NULL; (m = p11s_manual_next(m)) != NULL;) {
    size_t least, most;
    char line[64];

    p11s_manual_count(m, &least, &most);
    assert_in_range(least, 0, most);
    (void)snprintf(line, sizeof line, "%s", m->name);
    for (size_t i = 0; i < least; i++)
      (void)snprintf(line + strlen(line), sizeof line - strlen(line), " x");
    if (command_run(line) == P11S_OK)
      assert_true(command_out.len > 0);
    else
      assert_has_not(command_error.text, "usage:");
  }
}

static void versions(void **state)
{
  (void)state;
  assert_string_equal(command_good("version"), PACKAGE_STRING " for PowerDNS " P11S_PDNS_VERSION
                                                              "\nrunning in pdnsutil 4.7.3\n");
  assert_string_equal(command_good("version --json"),
                      "[\n  {\"version\": \"" PACKAGE_VERSION "\", \"powerdns\": "
                      "\"" P11S_PDNS_VERSION "\", \"running_in\": \"pdnsutil 4.7.3\"}\n]\n");
}

static void help_as_json(void **state)
{
  (void)state;
  assert_string_equal(command_good("help keys --json"),
                      "[\n  {\"command\": \"keys\", \"arguments\": \"MODULE SLOT [PIN]\", "
                      "\"purpose\": \"Lists the keys on a token and the zones that use "
                      "them.\"}\n]\n");
  for (size_t i = 0; i < NAMES; i++) {
    char part[32];
    (void)snprintf(part, sizeof part, "{\"command\": \"%s\"", names[i]);
    assert_has(command_good("help --json"), part);
  }
}

static void unknown_commands(void **state)
{
  static const struct {
    const char *typed;
    const char *meant;
  } cases[] = {
      {"asign", "mean: assign ZONE"},  {"assing", "mean: assign ZONE"},
      {"Chekc", "mean: check [ZONE]"}, {"gen", "mean: generate ZONE"},
      {"token", "mean: tokens"},       {"key a b", "mean: keys MODULE"},
      {"module", "mean: modules"},     {"halp", "mean: help"},
      {"generte", "mean: generate"},
  };

  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    assert_has(command_bad(cases[i].typed, P11S_ERR_SYNTAX), cases[i].meant);
  assert_has(command_bad("frobnicate", P11S_ERR_SYNTAX), "there are: help, version, modules");
  assert_has(command_bad("x", P11S_ERR_SYNTAX), "there are: help, version, modules");
  assert_has(command_bad("''", P11S_ERR_SYNTAX), "no such command");
  /* Somebody forgot the command: what was typed may be a PIN. */
  assert_has(command_bad(COMMAND_PIN, P11S_ERR_SYNTAX), "no such command");
}

static void wrong_number_of_arguments(void **state)
{
  static const struct {
    const char *line;
    const char *said;
  } cases[] = {
      {"modules x", "modules takes no arguments, not 1"},
      {"tokens " COMMAND_PIN, "usage: tokens"},
      {"keys", "keys takes 2 or 3 arguments, not 0"},
      {"keys softhsm2", "usage: keys MODULE SLOT [PIN]"},
      {"keys opensc SmartCard-HSM (UserPIN) " COMMAND_PIN, "quote those that hold blanks"},
      {"assign example.org 8 ksk softhsm2 token " COMMAND_PIN, assign_usage},
      {"assign a b c d e f g h i", "takes 7 or 8 arguments, not 9"},
      {"generate example.org 8 ksk softhsm2 token " COMMAND_PIN, "MODULE SLOT PIN LABEL [BITS]"},
      {"check a b", "check takes 0 or 1 arguments, not 2"},
      {"unlock-login", "unlock-login takes either TOKEN or --all"},
      {"unlock-login a --all", "unlock-login takes either TOKEN or --all"},
      {"forecast a b", "forecast takes 0 or 1 arguments, not 2"},
      {"help a b", "help [COMMAND]"},
  };

  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    assert_has(command_bad(cases[i].line, P11S_ERR_SYNTAX), cases[i].said);
}

/* None of them is taken for a zone. */
static void unknown_options(void **state)
{
  static const char *const lines[] = {
      "check --all",     "forecast --mesure",      "budget -v",
      "warm --weeks=2",  "sign-ahead all --json2", "status --verbose",
      "store stats -all"};

  (void)state;
  for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
    assert_has(command_bad(lines[i], P11S_ERR_SYNTAX), "is an unknown option; ");
  assert_has(command_bad("check -- --all", P11S_ERR_HOST), "zone --all.: ");
}

static const char *bad_command_line(const char *const *lines, size_t count)
{
  assert_int_equal(p11s_command_check_lines(lines, count, &command_error), P11S_ERR_SYNTAX);
  assert_has_not(command_error.text, COMMAND_PIN);
  return command_error.text;
}

static void missing_quotes(void **state)
{
  static const char *const check[] = {"check", "example.org"};
  static const char *const purge[] = {"store", "purge", "it's $HOME.test"};
  static const char *const assign[] = {"assign",   "example.org", "8", "ksk",
                                       "softhsm2", "token",       "1", COMMAND_PIN};
  static const char *const nothing[] = {"token", COMMAND_PIN};
  static const char *const good[] = {"status", "check example.org", "help assign", "keys -h"};

  (void)state;
  assert_has(bad_command_line(check, 2), "nothing was done");
  assert_has(bad_command_line(check, 2), "Say: pkcs11signer check example.org");
  assert_has(bad_command_line(purge, 3), "Say: pkcs11signer store purge 'it'\\''s $HOME.test'");
  assert_has(bad_command_line(assign, 8), "Say: pkcs11signer assign ZONE ALGORITHM ksk|zsk|csk");
  assert_has(bad_command_line(nothing, 2), "Say: pkcs11signer COMMAND");
  assert_int_equal(p11s_command_check_lines(good, 4, NULL), P11S_OK);
  /* One alone is said to be wrong by the command itself. */
  assert_int_equal(p11s_command_check_lines(nothing, 1, NULL), P11S_OK);
  assert_int_equal(p11s_command_check_lines(NULL, 0, NULL), P11S_OK);
}

static void bad_lines(void **state)
{
  (void)state;
  assert_has(command_bad("keys softhsm2 '" COMMAND_PIN, P11S_ERR_SYNTAX), "not closed");
  assert_has(command_bad("keys softhsm2 a\nb", P11S_ERR_SYNTAX), "control character");
  assert_has(command_bad("1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3",
                         P11S_ERR_SYNTAX),
             "32 words");
}

/* Where an argument is missing, a PIN stands in another's place: it is not repeated. */
static void bad_arguments(void **state)
{
  static const struct {
    const char *line;
    const char *said;
  } cases[] = {
      {"assign example.org " COMMAND_PIN " ksk m s p l", "8 rsasha256"},
      {"assign example.org 253 ksk m s p l", "must be one of 5 rsasha1"},
      {"assign example.org 8 " COMMAND_PIN " m s p l", "must be ksk, zsk or csk"},
      {"assign '' 8 ksk m s p l", "ZONE is empty"},
      {"assign example.org 8 ksk '' s p l", "MODULE is empty"},
      {"assign example.org 8 ksk m '' p l", "SLOT is empty"},
      {"assign example.org 8 ksk m s p ''", "LABEL is empty"},
      {"assign example.org 8 ksk m s p l ''", "PUBLABEL is empty"},
      {"assign example.org 8 ksk m 's ' p l", "SLOT begins or ends with a blank"},
      {"assign example.org 8 ksk m s p ' l'", "LABEL begins or ends with a blank"},
      {"assign example.org 8 ksk m s '" COMMAND_PIN " ' l", "PIN begins or ends with a blank"},
      {"assign example.org 8 ksk m pkcs11:token=t;pin-value=" COMMAND_PIN " p l", "SLOT: "},
      {"assign example.org 8 ksk m s p pkcs11:object=l?pin-source=" COMMAND_PIN, "LABEL: "},
      {"assign example.org 8 ksk m s p l pkcs11:object=l;pin-value=" COMMAND_PIN, "PUBLABEL: "},
      {"assign example.org 8 ksk m pkcs11:nonsense p l", "SLOT: "},
      {"generate example.org 8 ksk m s p l " COMMAND_PIN, "BITS, the last argument"},
      {"generate example.org 8 ksk m s p l 0", "BITS, the last argument"},
      {"generate example.org 8 ksk m s p l -1", "BITS, the last argument"},
      {"generate example.org 8 ksk m s p l 4294969344", "BITS, the last argument"},
  };

  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    assert_has(command_bad(cases[i].line, P11S_ERR_SYNTAX), cases[i].said);
  assert_int_equal(fakehost_row_count, 0);
}

static void unknown_zones(void **state)
{
  static const char said[] = "zone nope.example.: there is no zone";

  (void)state;
  assert_has(command_bad("assign Nope.Example 8 ksk m s p l", P11S_ERR_HOST), said);
  assert_has(command_bad("generate nope.example. 8 ksk m s p l", P11S_ERR_HOST), said);
  assert_has(command_bad("check NOPE.example", P11S_ERR_HOST), said);
  assert_string_equal(p11s_buf_text(&command_out), "");
}

static void checking_nothing(void **state)
{
  static const char software[] = "Private-key-format: v1.2\nAlgorithm: 13\nPrivateKey: AAAA\n";

  (void)state;
  fakehost_put("example.org.", 257, software, strlen(software));
  assert_begins(command_bad("check", P11S_ERR_NO_KEY), "the database has no key reference");
  assert_string_equal(p11s_buf_text(&command_out), "0 keys checked, 0 failed\n");
  assert_begins(command_bad("check Example.ORG", P11S_ERR_NO_KEY),
                "example.org. has no key reference");
  (void)command_bad("check --json", P11S_ERR_NO_KEY);
  assert_string_equal(p11s_buf_text(&command_out), "[]\n");
}

static const char no_label[] = "Private-key-format: v1.2\nAlgorithm: 8\nEngine: softhsm2\n"
                               "Slot: t\nPIN: " COMMAND_PIN "\n";
static const char odd_algorithm[] = "Private-key-format: v1.2\nAlgorithm: 12\nEngine: softhsm2\n"
                                    "Slot: my token\nPIN: " COMMAND_PIN "\nLabel: l\n";

static void put_broken_rows(void)
{
  fakehost_put("example.net.", 256, no_label, strlen(no_label));
  fakehost_put("example.org.", 257, odd_algorithm, strlen(odd_algorithm));
}

static void checking_broken_rows(void **state)
{
  const char *text;

  (void)state;
  put_broken_rows();
  assert_string_equal(command_bad("check", P11S_ERR_SYNTAX), "2 of 2 keys failed");
  text = p11s_buf_text(&command_out);
  assert_begins(text, "ZONE          KEY ID  OK  ALGORITHM  TOKEN     LABEL  MESSAGE\n");
  assert_has(text, "\nexample.net.       1  no ");
  assert_has(text, "\nexample.org.       2  no             my token  l      ");
  assert_has(text, "\n2 keys checked, 2 failed\n");

  assert_string_equal(command_bad("check example.org", P11S_ERR_KEY_TYPE), "1 of 1 key failed");
  assert_has(p11s_buf_text(&command_out), "\n1 key checked, 1 failed\n");
}

static void checking_broken_rows_as_json(void **state)
{
  const char *text;

  (void)state;
  put_broken_rows();
  (void)command_bad("check --json", P11S_ERR_SYNTAX);
  text = p11s_buf_text(&command_out);
  assert_begins(text, "[\n  {\"zone\": \"example.net.\", \"key_id\": 1, \"ok\": false, ");
  assert_has(text,
             "\n  {\"zone\": \"example.org.\", \"key_id\": 2, \"ok\": false, \"algorithm\": \"\", "
             "\"token\": \"my token\", \"label\": \"l\", \"message\": \"");
  assert_string_equal(text + command_out.len - 4, "}\n]\n");
}

static void the_host_refuses(void **state)
{
  (void)state;
  fakehost_refuse_listing(true);
  assert_has(command_bad("check", P11S_ERR_HOST), "the database does not answer");
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(help_lists_all, setup, teardown),
      cmocka_unit_test_setup_teardown(help_explains_one, setup, teardown),
      cmocka_unit_test_setup_teardown(help_as_json, setup, teardown),
      cmocka_unit_test_setup_teardown(help_behind_a_command, setup, teardown),
      cmocka_unit_test_setup_teardown(each_command_is_there, setup, teardown),
      cmocka_unit_test_setup_teardown(versions, setup, teardown),
      cmocka_unit_test_setup_teardown(unknown_commands, setup, teardown),
      cmocka_unit_test_setup_teardown(wrong_number_of_arguments, setup, teardown),
      cmocka_unit_test_setup_teardown(unknown_options, setup, teardown),
      cmocka_unit_test_setup_teardown(missing_quotes, setup, teardown),
      cmocka_unit_test_setup_teardown(bad_lines, setup, teardown),
      cmocka_unit_test_setup_teardown(bad_arguments, setup, teardown),
      cmocka_unit_test_setup_teardown(unknown_zones, setup, teardown),
      cmocka_unit_test_setup_teardown(checking_nothing, setup, teardown),
      cmocka_unit_test_setup_teardown(checking_broken_rows, setup, teardown),
      cmocka_unit_test_setup_teardown(checking_broken_rows_as_json, setup, teardown),
      cmocka_unit_test_setup_teardown(the_host_refuses, setup, teardown),
  };

  return cmocka_run_group_tests_name("command", tests, NULL, NULL);
}
