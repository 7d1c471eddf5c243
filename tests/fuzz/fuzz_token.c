/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A token that lies. The input: a character for what is done ('0' is the first
 * below), one for the algorithm ('0' is the first of the table), up to the newline the token's or
 * the key's name, and then the script of nonsense.h.
 */
#include "fuzz.h"
#include "nonsense.h"

#include "sign/key_internal.h"
#include "pkcs11/keygen.h"
#include "pkcs11/object.h"
#include "pkcs11/session.h"
#include "signer/signer.h"

#include <stdlib.h>
#include <string.h>

#define ALGORITHMS 8
#define PRIVATE_KEY 1

struct run {
  const struct p11s_algorithm *alg;
  const char *name;
  struct fuzz_input script;
  struct p11s_session *session; /* opened while the token was healthy; NULL: none */
  struct p11s_error *e;
};

static struct p11s_secret *pin;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
  (void)argc;
  (void)argv;
  pin = p11s_secret_new(FUZZ_PIN, strlen(FUZZ_PIN));
  fuzz_must(pin != NULL, "no memory");
  return 0;
}

/* Strings end within their arrays. */
static void see_slot(const struct p11s_slot_info *info, void *arg)
{
  size_t *seen = arg;

  fuzz_must(memchr(info->label, 0, sizeof info->label) != NULL &&
                memchr(info->serial, 0, sizeof info->serial) != NULL &&
                memchr(info->manufacturer, 0, sizeof info->manufacturer) != NULL &&
                memchr(info->model, 0, sizeof info->model) != NULL,
            "a text without an end");
  ++*seen;
}

static enum p11s_err list_slots(struct run *run)
{
  struct p11s_slot_info info;
  size_t seen = 0;
  enum p11s_err err = p11s_slot_each(&nonsense, see_slot, &seen, run->e);

  fuzz_must(seen <= 4096, "too many slots are believed");
  return err != P11S_OK ? err : p11s_slot_find(&nonsense, run->name, &info, run->e);
}

static enum p11s_err open_session(struct run *run)
{
  return p11s_session_open(&nonsense, run->name, P11S_SESSION_WRITE, &run->session, run->e);
}

static enum p11s_err log_in(struct run *run)
{
  struct p11s_login_call call;

  (void)p11s_session_logged_in(run->session);
  return p11s_session_login(run->session, CKU_USER, pin, &call, run->e);
}

static enum p11s_err find_private(struct run *run)
{
  struct p11s_handles keys = {NULL, 0};
  enum p11s_err err = p11s_object_find_privates(run->session, run->alg, run->name, &keys, run->e);

  fuzz_must((err == P11S_OK) == (keys.count > 0), "success without a key");
  p11s_handles_clear(&keys);
  return err;
}

static enum p11s_err read_public(struct run *run)
{
  struct p11s_publics keys = {{NULL}, 0};
  enum p11s_err err = p11s_object_read_publics(
      run->session, &(struct p11s_private){run->alg, PRIVATE_KEY, run->name, NULL}, &keys, run->e);

  fuzz_must((err == P11S_OK) == (keys.count > 0), "success without a key");
  p11s_publics_clear(&keys);
  return err;
}

static void see_object(const struct p11s_object_info *info, void *arg)
{
  (void)arg;
  fuzz_must(memchr(info->label, 0, sizeof info->label) != NULL &&
                memchr(info->id, 0, sizeof info->id) != NULL &&
                memchr(info->type, 0, sizeof info->type) != NULL,
            "a text without an end");
}

static enum p11s_err list_objects(struct run *run)
{
  return p11s_object_each(run->session, see_object, NULL, run->e);
}

static enum p11s_err sign(struct run *run)
{
  static const unsigned char message[64] = "what is signed";
  unsigned char signature[P11S_RSA_MAX_BITS / 8];
  struct p11s_sign_plan plan;
  struct p11s_sign_order order = {.alg = run->alg,
                                  .plan = &plan,
                                  .key = PRIVATE_KEY,
                                  .input = message,
                                  .signature = signature,
                                  .len = sizeof signature};
  enum p11s_err err = p11s_session_plan(run->session, run->alg, &plan, run->e);

  if (err == P11S_OK) {
    order.input_len = plan.whole_message ? sizeof message : run->alg->digest_len;
    err = p11s_session_sign(run->session, &order, run->e);
  }
  fuzz_must(err != P11S_OK || (order.len > 0 && order.len <= sizeof signature),
            "a signature's length");
  return err;
}

static enum p11s_err make_keys(struct run *run)
{
  struct p11s_pubkey *key = NULL;
  struct p11s_keypair pair;
  enum p11s_err err = p11s_keypair_init(&pair, run->name, 0, run->e);

  if (err == P11S_OK)
    err = p11s_keygen_make(run->session, run->alg, &pair, &key, run->e);
  if (err == P11S_OK)
    (void)p11s_keypair_remove(run->session, &pair, run->e);
  else
    p11s_keypair_say_left(&pair, run->e);
  p11s_pubkey_free(key);
  return err;
}

/* One after the other, as a worker does at first use; each only when the one before went well. */
static enum p11s_err everything(struct run *run)
{
  enum p11s_err err = open_session(run);

  if (err == P11S_OK)
    err = log_in(run);
  if (err == P11S_OK)
    err = find_private(run);
  if (err == P11S_OK)
    err = read_public(run);
  if (err == P11S_OK)
    err = sign(run);
  if (err == P11S_OK)
    err = list_objects(run);
  return err;
}

/* What a worker does with a key. No thread is started: this is the worker. */
static enum p11s_err as_worker(struct run *run, enum p11s_err (*work_with)(struct p11s_key *key,
                                                                           struct p11s_work *work,
                                                                           struct p11s_error *e))
{
  struct p11s_config config = {.sessions = 1, .timeout_ms = 1000, .transfer_timeout_ms = 1000};
  struct p11s_keyref ref = {.algorithm = run->alg->number,
                            .engine = (char[]){"fake"},
                            .slot = (char[]){"fake"},
                            .label = (char *)(uintptr_t)run->name,
                            .pin = pin};
  struct p11s_signer *signer = NULL;
  struct p11s_key *key = NULL;
  enum p11s_err err;

  fuzz_must(p11s_signer_new(&config, &signer, run->e) == P11S_OK, "no signer");
  err = p11s_signer_key(signer, &ref, &key, run->e);
  if (err == P11S_OK) {
    struct p11s_work work = {
        .session = run->session, .token = p11s_key_token(key), .pin = pin, .epoch = 1};

    err = work_with(key, &work, run->e);
    p11s_key_release(key);
  }
  p11s_signer_free(signer);
  return err;
}

static enum p11s_err sign_twice(struct p11s_key *key, struct p11s_work *work, struct p11s_error *e)
{
  static const unsigned char message[64] = "what is signed";
  enum p11s_err err = P11S_OK;

  for (int i = 0; i < 2 && err == P11S_OK; i++) {
    struct p11s_signature signature;
    struct p11s_signing signing = {
        .message = message, .len = sizeof message, .signature = &signature};

    err = p11s_key_sign_work(key, work, &signing, true, e);
    fuzz_must(err != P11S_OK || p11s_pubkey_verify(p11s_key_public(key), message, sizeof message,
                                                   signature.data, signature.len),
              "a signature that does not verify gets out");
  }
  return err;
}

static enum p11s_err use_key(struct run *run)
{
  return as_worker(run, sign_twice);
}

static enum p11s_err make_and_undo(struct p11s_key *key, struct p11s_work *work,
                                   struct p11s_error *e)
{
  struct p11s_keypair pair;
  enum p11s_err err = p11s_keypair_init(&pair, p11s_key_reference(key)->label, 0, e);

  if (err == P11S_OK)
    err = p11s_key_generate_work(key, &pair, work, e);
  if (err == P11S_OK)
    err = p11s_key_undo_work(key, &pair, work, e);
  return err;
}

static enum p11s_err make_key(struct run *run)
{
  return as_worker(run, make_and_undo);
}

static const struct {
  enum p11s_err (*run)(struct run *run);
  bool opens; /* its session itself, with the script running */
} deeds[] = {
    {list_slots, true},   {open_session, true},  {log_in, false},   {find_private, false},
    {read_public, false}, {list_objects, false}, {sign, false},     {make_keys, false},
    {everything, true},   {use_key, false},      {make_key, false},
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  struct fuzz_input in = {data, size};
  unsigned deed = (uint8_t)(fuzz_byte(&in) - '0') % (sizeof deeds / sizeof deeds[0]);
  const struct p11s_algorithm *alg =
      p11s_algorithm_at((uint8_t)(fuzz_byte(&in) - '0') % ALGORITHMS);
  char *name = fuzz_line(&in);
  struct p11s_error e = {0};
  struct run run = {alg, name, in, NULL, &e};
  enum p11s_err err;

  nonsense_reset((struct fuzz_input){NULL, 0});
  if (!deeds[deed].opens) {
    fuzz_must(p11s_session_open(&nonsense, "fake", P11S_SESSION_WRITE, &run.session, &e) == P11S_OK,
              e.text);
    nonsense_reset_script(in);
  } else {
    nonsense_reset(in);
  }
  err = deeds[deed].run(&run);
  fuzz_must(err == P11S_OK || err == e.code, "another code than the message's");
  if (err != P11S_OK && memmem(data, size, FUZZ_PIN, strlen(FUZZ_PIN)) == NULL)
    fuzz_check_error(&e);
  p11s_session_close(run.session);
  fuzz_must(nonsense_sessions() == 0, "a session is left open");
  free(name);
  fuzz_check_queue();
  return 0;
}
