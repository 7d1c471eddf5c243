/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Commands that go to a token: SoftHSM with two of them. */
#include "rig/command_rig.h"
#include "pkcs11/module.h"
#include "rig/softhsm.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define TOKEN "first token"
#define OTHER "other"
#define GENERATE "generate example.org 13 "

static char source[512]; /* file: with the PIN in it */

static void write_file(const char *path, const char *text, mode_t mode)
{
  FILE *file = fopen(path, "w");

  assert_non_null(file);
  assert_int_not_equal(fputs(text, file), EOF);
  assert_int_equal(fclose(file), 0);
  assert_int_equal(chmod(path, mode), 0);
}

/* A PIN that is asked for is then read from standard input. */
static void leave_terminal(void)
{
  int fd = open("/dev/tty", O_RDWR | O_CLOEXEC);

  if (fd >= 0) {
    (void)ioctl(fd, TIOCNOTTY);
    (void)close(fd);
  }
}

static int group_setup(void **state)
{
  (void)state;
  (void)alarm(300);
  leave_terminal();
  softhsm_setup();
  (void)softhsm_token(TOKEN, COMMAND_PIN);
  (void)softhsm_token(OTHER, COMMAND_PIN);
  (void)snprintf(source, sizeof source, "file:%s/pin", softhsm_dir());
  write_file(source + 5, COMMAND_PIN "\n", 0600);
  return 0;
}

static int group_teardown(void **state)
{
  (void)state;
  softhsm_teardown();
  return 0;
}

static int setup(void **state)
{
  (void)state;
  fakehost_reset();
  command_signer(source, true);
  return 0;
}

/* The next test finds the token logged out. */
static int teardown(void **state)
{
  (void)state;
  command_signer_free();
  fakehost_reset();
  p11s_module_shutdown();
  return 0;
}

/* A token that is logged in already takes any PIN. */
static void log_out(const char *pin_source, bool store_pins)
{
  command_signer_free();
  p11s_module_shutdown();
  command_signer(pin_source, store_pins);
}

static const char *last_row(void)
{
  assert_int_not_equal(fakehost_row_count, 0);
  return fakehost_rows[fakehost_row_count - 1].content;
}

static void modules(void **state)
{
  (void)state;
  assert_begins(command_good("modules"), "NAME      PATH ");
  assert_has(command_good("modules"), "\nsofthsm2  " SOFTHSM_MODULE "  ");
  assert_has_not(command_good("modules"), "ERROR");
  assert_begins(command_good("modules --json"),
                "[\n  {\"name\": \"softhsm2\", \"path\": \"" SOFTHSM_MODULE
                "\", \"description\": \"");
  assert_has(command_good("modules --json"), "\"manufacturer\": \"SoftHSM\", \"version\": \"2.");
}

static void tokens(void **state)
{
  (void)state;
  assert_begins(command_good("tokens"), "MODULE    ");
  assert_has(command_good("tokens"), "  " TOKEN "  ");
  assert_has(command_good("tokens"), "  login-required, user-pin-initialized\n");
  assert_has(command_good("tokens --json"), "\"label\": \"" TOKEN "\", \"serial\": \"");
  assert_has(command_good("tokens --json"),
             "\"flags\": [\"login-required\", \"user-pin-initialized\"]}");
  assert_has(command_good("tokens --json"), "\"flags\": [\"uninitialized\", \"login-required\"]}");
}

/* The others are listed all the same. */
static void module_that_fails(void **state)
{
  (void)state;
  p11s_module_shutdown();
  softhsm_add_config("trust", "module: p11-kit-trust.so\n");
  assert_int_equal(setenv("SOFTHSM2_CONF", "/nowhere", 1), 0);
  assert_has(command_good("tokens"), "does not initialize");
  assert_has(p11s_buf_text(&command_out), "trust  ");
  assert_has(command_good("tokens --json"), "{\"module\": \"softhsm2\", \"error\": \"");
  assert_has(command_good("modules"), "does not initialize");
  assert_has(command_good("modules --json"), "{\"name\": \"softhsm2\", \"error\": \"");
  assert_has(p11s_buf_text(&command_out), "{\"name\": \"trust\", \"path\": \"");
  assert_int_equal(setenv("SOFTHSM2_CONF", softhsm_conf(), 1), 0);
  softhsm_remove_config("trust");
}

static void generate(void **state)
{
  (void)state;
  assert_begins(command_good(GENERATE "ksk softhsm2 '" TOKEN "' " COMMAND_PIN " gen-ksk"),
                "example.org.: generated and assigned as key id 1, CSK, algorithm 13 "
                "(ECDSAP256SHA256), tag ");
  assert_has(p11s_buf_text(&command_out), "\nNext: pdnsutil rectify-zone example.org.\n");
  assert_has(p11s_buf_text(&command_out), "pdnsutil show-zone example.org. # has the DS");
  assert_int_equal(fakehost_rows[0].flags, 257);
  assert_true(fakehost_rows[0].active && fakehost_rows[0].published);
  assert_begins(last_row(), "Private-key-format: v1.2\nAlgorithm: 13\nEngine: softhsm2\n"
                            "Slot: " TOKEN "\nPIN: " COMMAND_PIN "\nLabel: gen-ksk\nPublicKey: ");

  assert_string_equal(command_good(GENERATE "ZSK softhsm2 '" TOKEN "' '' gen-zsk --json"),
                      "{\"zone\": \"example.org.\", \"key_id\": 2}\n");
  assert_int_equal(fakehost_rows[1].flags, 256);
  assert_has(last_row(), "\nPIN: \n");

  assert_has(command_bad(GENERATE "zsk softhsm2 '" TOKEN "' '' gen-zsk", P11S_ERR_EXISTS),
             "gen-zsk");
  assert_int_equal(fakehost_row_count, 2);
}

static void generate_sizes(void **state)
{
  char line[128];

  (void)state;
  (void)command_good("generate example.org rsasha256 zsk softhsm2 other '' r1024 1024");
  assert_has(command_good("keys softhsm2 other"), "  RSA-1024  yes      yes     example.org. (key");
  (void)snprintf(line, sizeof line, "%s", "generate example.org 8 zsk softhsm2 other '' odd 999");
  assert_has(command_bad(line, P11S_ERR_KEY_TYPE), "999");
  assert_has_not(command_good("keys softhsm2 other"), "odd");
}

/* What a key signs depends on what other keys there are. */
static void roles(void **state)
{
  static const char software[] = "Private-key-format: v1.2\nAlgorithm: 13 (ECDSAP256SHA256)\n"
                                 "PrivateKey: AAAA\n";

  (void)state;
  assert_has(command_good(GENERATE "ksk softhsm2 other '' lone-ksk"), "key id 1, CSK, ");
  assert_has(p11s_buf_text(&command_out),
             "The zone has no active ZSK with this algorithm, so this key signs everything, as a "
             "CSK. To change that:\n"
             "      pkcs11signer generate example.org. 13 zsk softhsm2 other PIN LABEL\n");
  assert_has(command_good("generate example.org 14 csk softhsm2 other '' lone-csk"), ", CSK, ");
  assert_has_not(p11s_buf_text(&command_out), "To change that");
  assert_int_equal(fakehost_rows[1].flags, 257);
  assert_has(command_good(GENERATE "zsk softhsm2 other '' split"), "key id 3, ZSK, ");
  assert_has_not(p11s_buf_text(&command_out), "To change that");

  fakehost_put("example.net.", 256, software, strlen(software));
  assert_has(command_good("generate example.net 13 csk softhsm2 other '' no-csk"), ", KSK, ");
  assert_has(p11s_buf_text(&command_out), "Key id 4 is an active ZSK with this algorithm, so this "
                                          "key signs the zone's keys only, as a KSK. To change "
                                          "that:\n      pdnsutil deactivate-zone-key example.net. "
                                          "4\n");
  assert_has(command_good("generate example.net 13 ksk softhsm2 other '' a-ksk"), ", KSK, ");
  assert_has_not(p11s_buf_text(&command_out), "To change that");
  assert_has(command_good("generate example.net 14 zsk softhsm2 other '' lone-zsk"), ", ZSK, ");
  assert_has(p11s_buf_text(&command_out), "no active KSK with this algorithm");
}

/* Nothing half-made stays behind. */
static void generate_is_undone(void **state)
{
  (void)state;
  fakehost_refuse_adding(true);
  assert_has(command_bad(GENERATE "ksk softhsm2 '" TOKEN "' '' undone", P11S_ERR_HOST),
             "zone example.org.: ");
  assert_has_not(command_good("keys softhsm2 '" TOKEN "'"), "undone");
  fakehost_refuse_adding(false);
  (void)command_good(GENERATE "ksk softhsm2 '" TOKEN "' '' undone");
}

static void assign(void **state)
{
  (void)state;
  (void)command_good(GENERATE "ksk softhsm2 other '' shared");
  assert_begins(command_good("assign Example.NET ecdsa256 zsk softhsm2 other '' shared shared"),
                "example.net.: assigned as key id 2, ZSK, algorithm 13 (ECDSAP256SHA256), tag ");
  assert_has_not(p11s_buf_text(&command_out), "show-zone");
  assert_string_equal(fakehost_rows[1].zone, "example.net.");
  assert_has(last_row(), "\nLabel: shared\nPubLabel: shared\nPublicKey: ");
  assert_has(command_bad("assign example.net 13 zsk softhsm2 other '' shared", P11S_ERR_EXISTS),
             "key id 2");
  assert_has(command_bad("assign example.net 13 ksk softhsm2 other '' absent", P11S_ERR_NO_KEY),
             "'shared'");
  assert_has(command_bad("assign example.net 8 ksk softhsm2 other '' shared", P11S_ERR_KEY_TYPE),
             "RSA");
  assert_has(command_bad("assign example.net 13 ksk nosuch other '' shared", P11S_ERR_NO_MODULE),
             "softhsm2");
  assert_has(command_bad("assign example.net 13 ksk softhsm2 nosuch '' shared", P11S_ERR_NO_TOKEN),
             OTHER);
  log_out(source, true);
  (void)command_bad("assign example.net 13 ksk softhsm2 other wrong shared", P11S_ERR_PIN_REFUSED);
  assert_int_equal(fakehost_row_count, 2);
  (void)command_good("keys softhsm2 other ''"); /* or the token goes on saying that it was wrong */
}

static void pins_from_elsewhere(void **state)
{
  char line[768];

  (void)state;
  (void)snprintf(line, sizeof line, GENERATE "ksk softhsm2 other %s by-file", source);
  (void)command_good(line);
  assert_has(last_row(), "\nPIN: file:/");
  log_out(source, false);
  (void)command_good(GENERATE "ksk softhsm2 other " COMMAND_PIN " not-stored");
  assert_has(last_row(), "\nPIN: \n");
  log_out(source, true);
  assert_has(command_bad(GENERATE "ksk softhsm2 other file:/nowhere x", P11S_ERR_NO_PIN),
             "file:/nowhere");
}

/* "-": from standard input, when there is no terminal. */
static void pin_is_asked_for(void **state)
{
  int before = dup(STDIN_FILENO), pipe_fd[2];
  static const char typed[] = COMMAND_PIN "\n";

  (void)state;
  command_signer(NULL, true);
  assert_int_equal(pipe(pipe_fd), 0);
  assert_int_equal(write(pipe_fd[1], typed, sizeof typed - 1), sizeof typed - 1);
  assert_int_equal(write(pipe_fd[1], typed, sizeof typed - 1), sizeof typed - 1);
  assert_int_equal(close(pipe_fd[1]), 0);
  assert_int_equal(dup2(pipe_fd[0], STDIN_FILENO), STDIN_FILENO);
  (void)command_good(GENERATE "ksk softhsm2 other - asked");
  assert_has(last_row(), "\nPIN: " COMMAND_PIN "\n");
  log_out(NULL, true);
  assert_has_not(command_good("keys softhsm2 other -"), "Not logged in");
  assert_has(p11s_buf_text(&command_out), "asked  ");
  (void)command_bad("keys softhsm2 other -", P11S_ERR_NO_PIN); /* end of file */
  assert_int_equal(dup2(before, STDIN_FILENO), STDIN_FILENO);
  (void)close(before);
  (void)close(pipe_fd[0]);
}

static void keys_without_login(void **state)
{
  (void)state;
  (void)command_good(GENERATE "ksk softhsm2 '" TOKEN "' '' seen");
  log_out("", true);
  assert_has(command_good("keys softhsm2 '" TOKEN "'"), "\nNot logged in: private keys are not");
  assert_has(p11s_buf_text(&command_out), "P-256  no       yes     example.org. (key id 1)");
  assert_has(command_good("keys softhsm2 '" TOKEN "' '' --json"), "\"private\": false");
  assert_has_not(p11s_buf_text(&command_out), "Not logged in");
  assert_has(command_good("keys softhsm2 '" TOKEN "' " COMMAND_PIN), "P-256  yes      yes ");
  assert_has_not(p11s_buf_text(&command_out), "Not logged in");
  assert_has(command_bad("keys softhsm2 '" TOKEN "' wrong", P11S_ERR_PIN_REFUSED), TOKEN);
  assert_string_equal(p11s_buf_text(&command_out), "");
  (void)command_good("keys softhsm2 '" TOKEN "' " COMMAND_PIN);
  (void)command_bad("keys softhsm2 nosuch", P11S_ERR_NO_TOKEN);
  (void)command_bad("keys nosuch other", P11S_ERR_NO_MODULE);
}

static void put(const char *zone, const char *engine, const char *slot, const char *label)
{
  char content[512];
  int len = snprintf(content, sizeof content,
                     "Private-key-format: v1.2\nAlgorithm: 13\nEngine: %s\nSlot: %s\n"
                     "PIN: " COMMAND_PIN "\nLabel: %s\n",
                     engine, slot, label);

  fakehost_put(zone, 256, content, (size_t)len);
}

/* The slot number and the serial of the token, from `tokens`. */
static void find_token(char *slot, char *serial, size_t size)
{
  const char *at = strstr(command_good("tokens --json"), "\"label\": \"" OTHER "\"");
  const char *start = at;

  assert_non_null(at);
  while (strncmp(start, "\"slot\": ", 8) != 0)
    start--;
  (void)snprintf(slot, size, "%.*s", (int)strspn(start + 8, "0123456789"), start + 8);
  start = strstr(at, "\"serial\": \"") + 11;
  (void)snprintf(serial, size, "%.*s", (int)strcspn(start, "\""), start);
}

/* Whatever a row calls token and key: if it leads to this key, it is listed. */
static void zones_of_a_key(void **state)
{
  char slot[32], serial[32];

  (void)state;
  (void)command_good(GENERATE "ksk softhsm2 other '' used");
  find_token(slot, serial, sizeof slot);
  put("example.net.", "softhsm2", slot, "used");                              /* 2 */
  put("example.net.", "softhsm2", serial, "pkcs11:object=used;type=private"); /* 3 */
  put("example.net.", "softhsm2", "pkcs11:token=other", "used");              /* 4 */
  put("example.net.", "softhsm2", TOKEN, "used");                             /* another token */
  put("example.net.", "nosuch", "other", "used");                             /* another module */
  put("example.net.", "softhsm2", "other", "unused");                         /* another key */
  put("example.net.", "softhsm2", "other", "pkcs11:object=used;id=%00");      /* another id */
  put("example.net.", "softhsm2", "absent", "used");                          /* no token */
  fakehost_put("example.net.", 256, "Engine: softhsm2\n", 17);                /* no reference */
  assert_has(command_good("keys softhsm2 other --json"),
             "\"zones\": [\"example.net. (key id 2)\", \"example.net. (key id 3)\", "
             "\"example.net. (key id 4)\", \"example.org. (key id 1)\"]}");
  assert_has_not(command_good("keys softhsm2 '" TOKEN "' --json"), "(key id 1)");
  fakehost_refuse_listing(true);
  assert_has(command_bad("keys softhsm2 other", P11S_ERR_HOST), "does not answer");
}

static void check(void **state)
{
  (void)state;
  (void)command_good(GENERATE "ksk softhsm2 '" TOKEN "' '' checked");
  put("example.net.", "softhsm2", TOKEN, "checked");
  assert_string_equal(command_good("check"),
                      "ZONE          KEY ID  OK   ALGORITHM        TOKEN        LABEL    MESSAGE\n"
                      "example.net.       2  yes  ECDSAP256SHA256  first token  checked\n"
                      "example.org.       1  yes  ECDSAP256SHA256  first token  checked\n"
                      "2 keys checked, 0 failed\n");
  put("example.net.", "softhsm2", TOKEN, "gone");
  assert_string_equal(command_bad("check", P11S_ERR_NO_KEY), "1 of 3 keys failed");
  assert_has(p11s_buf_text(&command_out),
             "\nexample.net.       3  no   ECDSAP256SHA256  first token"
             "  gone     key 'gone' on token 'first token'");
  assert_has(p11s_buf_text(&command_out), "\n3 keys checked, 1 failed\n");
  assert_string_equal(command_good("check example.org --json"),
                      "[\n  {\"zone\": \"example.org.\", \"key_id\": 1, \"ok\": true, "
                      "\"algorithm\": \"ECDSAP256SHA256\", \"token\": \"first token\", "
                      "\"label\": \"checked\", \"message\": \"\"}\n]\n");
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(modules, setup, teardown),
      cmocka_unit_test_setup_teardown(tokens, setup, teardown),
      cmocka_unit_test_setup_teardown(module_that_fails, setup, teardown),
      cmocka_unit_test_setup_teardown(generate, setup, teardown),
      cmocka_unit_test_setup_teardown(generate_sizes, setup, teardown),
      cmocka_unit_test_setup_teardown(roles, setup, teardown),
      cmocka_unit_test_setup_teardown(generate_is_undone, setup, teardown),
      cmocka_unit_test_setup_teardown(assign, setup, teardown),
      cmocka_unit_test_setup_teardown(pins_from_elsewhere, setup, teardown),
      cmocka_unit_test_setup_teardown(pin_is_asked_for, setup, teardown),
      cmocka_unit_test_setup_teardown(keys_without_login, setup, teardown),
      cmocka_unit_test_setup_teardown(zones_of_a_key, setup, teardown),
      cmocka_unit_test_setup_teardown(check, setup, teardown),
  };

  return cmocka_run_group_tests_name("command on a token", tests, group_setup, group_teardown);
}
