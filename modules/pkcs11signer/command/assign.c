/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "admin/assign.h"
#include "base/paste.h"
#include "command/internal.h"
#include "pkcs11/module.h"
#include "command/table.h"
#include "pkcs11/uri.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* The arguments of assign and generate. */
enum { ZONE, ALGORITHM, KIND, MODULE, SLOT, PIN, LABEL, LAST };

static const struct kind {
  const char *name;
  unsigned flags;
} kinds[] = {{"ksk", 257}, {"zsk", 256}, {"csk", 257}};

static const struct kind *find_kind(const char *name)
{
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
    if (strcasecmp(kinds[i].name, name) == 0)
      return &kinds[i];
  return NULL;
}

/* A key reference does not keep the blanks around a value, nor an empty one. */
static enum p11s_err check_value(const char *name, const char *text, const char *instead,
                                 struct p11s_error *e)
{
  size_t len = strlen(text);

  if (len == 0)
    return p11s_error_set(e, P11S_ERR_SYNTAX, "%s is empty", name);
  if (text[0] == ' ' || text[0] == '\t' || text[len - 1] == ' ' || text[len - 1] == '\t')
    return p11s_error_set(e, P11S_ERR_SYNTAX, "%s begins or ends with a blank; %s", name, instead);
  return P11S_OK;
}

static enum p11s_err check_pin(const struct p11s_secret *pin, struct p11s_error *e)
{
  const unsigned char *data = p11s_secret_data(pin);

  for (size_t i = 0; i < p11s_secret_len(pin); i++) {
    if (data[i] < 0x20 || data[i] == 0x7f)
      return p11s_error_set(e, P11S_ERR_SYNTAX, "PIN holds a control character; use a PIN source");
  }
  return pin == NULL ? P11S_OK : check_value("PIN", (const char *)data, "use a PIN source", e);
}

/* Said here, and not with the URI in the message: it may hold a PIN. */
static enum p11s_err check_name(const char *name, const char *text, struct p11s_error *e)
{
  enum p11s_err err = check_value(name, text, "use a pkcs11: URI with %20", e);
  P11KitUri *uri = NULL;

  if (err == P11S_OK && p11s_uri_is(text)) {
    err = p11s_uri_parse(text, &uri, e);
    if (err != P11S_OK)
      p11s_error_prefix(e, "%s", name);
    p11_kit_uri_free(uri);
  }
  return err;
}

static enum p11s_err check_values(const struct p11s_command_ctx *ctx, const char *pub_label,
                                  struct p11s_error *e)
{
  enum p11s_err err = check_value("MODULE", ctx->arg[MODULE], "`modules` shows the names", e);

  if (err == P11S_OK)
    err = check_name("SLOT", ctx->arg[SLOT], e);
  if (err == P11S_OK)
    err = check_name("LABEL", ctx->arg[LABEL], e);
  if (err == P11S_OK && pub_label != NULL)
    err = check_name("PUBLABEL", pub_label, e);
  return err;
}

static struct p11s_keyref *make_ref(const struct p11s_command_ctx *ctx,
                                    const struct p11s_algorithm *alg, const char *pub_label)
{
  struct p11s_keyref *ref = calloc(1, sizeof *ref);

  if (ref == NULL)
    return NULL;
  ref->algorithm = alg->number;
  ref->engine = strdup(ctx->arg[MODULE]);
  ref->slot = strdup(ctx->arg[SLOT]);
  ref->label = strdup(ctx->arg[LABEL]);
  ref->pub_label = pub_label == NULL ? NULL : strdup(pub_label);
  if (ref->engine == NULL || ref->slot == NULL || ref->label == NULL ||
      (pub_label != NULL && ref->pub_label == NULL)) {
    p11s_keyref_free(ref);
    return NULL;
  }
  return ref;
}

/* Errors do not repeat the argument: where one is missing, a PIN stands in another's place. */
static enum p11s_err parse_arguments(const struct p11s_command_ctx *ctx, const char *pub_label,
                                     struct p11s_assignment *a, struct p11s_error *e)
{
  const struct p11s_algorithm *alg = p11s_algorithm_parse(ctx->arg[ALGORITHM]);
  const struct kind *kind = find_kind(ctx->arg[KIND]);
  enum p11s_err err;

  if (alg == NULL)
    return p11s_error_set(e, P11S_ERR_SYNTAX,
                          "ALGORITHM, the second argument, must be one of 5 rsasha1, "
                          "7 rsasha1-nsec3-sha1, 8 rsasha256, 10 rsasha512, 13 ecdsa256, "
                          "14 ecdsa384, 15 ed25519, 16 ed448");
  if (kind == NULL)
    return p11s_error_set(e, P11S_ERR_SYNTAX, "the third argument must be ksk, zsk or csk");
  err = check_values(ctx, pub_label, e);
  if (err != P11S_OK)
    return err;
  a->flags = kind->flags;
  a->active = true;
  a->published = true;
  a->zone = ctx->arg[ZONE];
  a->ref = make_ref(ctx, alg, pub_label);
  if (a->ref == NULL)
    return p11s_error_no_memory(e);
  err = p11s_command_pin(ctx->arg[PIN], ctx->arg[SLOT], &a->ref->pin, e);
  if (err == P11S_OK)
    err = check_pin(a->ref->pin, e);
  return err;
}

/* RFC 4034 appendix B, over the DNSKEY's RDATA. */
static unsigned key_tag(unsigned flags, unsigned algorithm, const unsigned char *key, size_t len)
{
  unsigned long sum = flags + (3U << 8) + algorithm;

  for (size_t i = 0; i < len; i++)
    sum += (i & 1) != 0 ? key[i] : (unsigned long)key[i] << 8;
  return (unsigned)((sum + (sum >> 16)) & 0xffff);
}

/* An active key of the zone with the same algorithm that is a ZSK where this is none, or the other
   way round: PowerDNS splits the work among two such keys. */
struct partner {
  const struct p11s_assignment *of;
  bool found;
  unsigned id;
};

static bool is_partner(const struct p11s_row *row, void *arg)
{
  struct partner *partner = arg;

  partner->found = row->active && (row->flags == 257) != (partner->of->flags == 257) &&
                   p11s_row_algorithm(row) == partner->of->ref->algorithm;
  partner->id = row->id;
  return !partner->found;
}

/* What it came to be, where that is not the kind that was asked for. */
static void say_role(const struct p11s_command_ctx *ctx, const struct p11s_assignment *a,
                     const struct partner *partner)
{
  bool csk = strcasecmp(ctx->arg[KIND], "csk") == 0, sep = a->flags == 257;
  char id[16];

  if (csk != partner->found)
    return;
  if (csk) {
    (void)snprintf(id, sizeof id, "%u", partner->id);
    p11s_buf_addf(ctx->out,
                  "Key id %s is an active ZSK with this algorithm, so this key signs the zone's "
                  "keys only, as a KSK. To change that:\n      ",
                  id);
    p11s_paste(ctx->out, "pdnsutil", "deactivate-zone-key", a->zone, id, NULL);
  } else {
    p11s_buf_addf(ctx->out,
                  "The zone has no active %s with this algorithm, so this key signs everything%s. "
                  "To change that:\n      ",
                  sep ? "ZSK" : "KSK", sep ? ", as a CSK" : "");
    p11s_paste(ctx->out, "pkcs11signer", "generate", a->zone, ctx->arg[ALGORITHM],
               sep ? "zsk" : "ksk", ctx->arg[MODULE], ctx->arg[SLOT], NULL);
    p11s_buf_addstr(ctx->out, " PIN LABEL");
  }
  p11s_buf_addstr(ctx->out, "\n");
}

static void say_next(const struct p11s_command_ctx *ctx, const struct p11s_assignment *a)
{
  p11s_buf_addstr(ctx->out, "Next: ");
  p11s_paste(ctx->out, "pdnsutil", "rectify-zone", a->zone, NULL);
  p11s_buf_addstr(ctx->out, "\n");
  if (a->flags != 257)
    return;
  p11s_buf_addstr(ctx->out, "      ");
  p11s_paste(ctx->out, "pdnsutil", "show-zone", a->zone, NULL);
  p11s_buf_addstr(ctx->out, " # has the DS for the parent zone\n");
}

static void report(const struct p11s_command_ctx *ctx, const struct p11s_assignment *a, int64_t id,
                   const char *done)
{
  const struct p11s_keyref *ref = a->ref;
  const struct p11s_algorithm *alg = p11s_algorithm_find(ref->algorithm);
  struct partner partner = {.of = a};
  bool known = ctx->host->each_row(ctx->host->ctx, a->zone, is_partner, &partner, NULL) == P11S_OK;

  if (ctx->json) {
    p11s_buf_addstr(ctx->out, "{\"zone\": ");
    p11s_json_string(ctx->out, a->zone);
    p11s_buf_addf(ctx->out, ", \"key_id\": %lld}\n", (long long)id);
    return;
  }
  p11s_buf_addf(ctx->out, "%s: %s as key id %lld, %s, algorithm %u (%s)", a->zone, done,
                (long long)id,
                a->flags != 257           ? "ZSK"
                : partner.found || !known ? "KSK"
                                          : "CSK",
                alg->number, alg->mnemonic);
  if (ref->public_key != NULL)
    p11s_buf_addf(ctx->out, ", tag %u",
                  key_tag(a->flags, alg->number, ref->public_key, ref->public_key_len));
  p11s_buf_addstr(ctx->out, "\n");
  if (known)
    say_role(ctx, a, &partner);
  say_next(ctx, a);
}

enum p11s_err p11s_command_assign(const struct p11s_command_ctx *ctx, struct p11s_error *e)
{
  struct p11s_assignment a = {0};
  int64_t id = 0;
  enum p11s_err err = parse_arguments(ctx, ctx->count > LAST ? ctx->arg[LAST] : NULL, &a, e);

  if (err == P11S_OK)
    err = p11s_assign(ctx->signer, ctx->host, &a, &id, e);
  if (err == P11S_OK)
    report(ctx, &a, id, "assigned");
  p11s_keyref_free(a.ref);
  return err;
}

static enum p11s_err parse_bits(const char *text, unsigned *ret_bits, struct p11s_error *e)
{
  unsigned long bits = 0;
  size_t len = strlen(text);

  if (len > 0 && len <= 5 && strspn(text, "0123456789") == len)
    bits = strtoul(text, NULL, 10);
  if (bits == 0)
    return p11s_error_set(e, P11S_ERR_SYNTAX, "BITS, the last argument, must be a number: %d to %d",
                          P11S_RSA_MIN_BITS, P11S_RSA_MAX_BITS);
  *ret_bits = (unsigned)bits;
  return P11S_OK;
}

enum p11s_err p11s_command_generate(const struct p11s_command_ctx *ctx, struct p11s_error *e)
{
  struct p11s_assignment a = {0};
  unsigned bits = 0;
  int64_t id = 0;
  enum p11s_err err = ctx->count > LAST ? parse_bits(ctx->arg[LAST], &bits, e) : P11S_OK;

  if (err == P11S_OK)
    err = parse_arguments(ctx, NULL, &a, e);
  if (err == P11S_OK)
    err = p11s_generate(ctx->signer, ctx->host, &a, bits, &id, e);
  if (err == P11S_OK)
    report(ctx, &a, id, "generated and assigned");
  p11s_keyref_free(a.ref);
  return err;
}

/* The columns of `check`. */
enum { CHECK_ZONE, CHECK_ID, CHECK_OK, CHECK_ALGORITHM, CHECK_TOKEN, CHECK_LABEL, CHECK_MESSAGE };

struct check_run {
  struct p11s_table *table;
  unsigned checked;
  unsigned failed;
  enum p11s_err first; /* failure */
};

static void check_row(const struct p11s_check *check, void *arg)
{
  struct check_run *run = arg;
  struct p11s_table *t = run->table;

  run->checked++;
  if (check->error != NULL && run->failed++ == 0)
    run->first = check->error->code;
  p11s_table_row(t);
  p11s_table_string(t, CHECK_ZONE, check->zone);
  p11s_table_number(t, CHECK_ID, check->id);
  p11s_table_bool(t, CHECK_OK, check->error == NULL);
  p11s_table_string(t, CHECK_ALGORITHM, check->alg == NULL ? "" : check->alg->mnemonic);
  p11s_table_string(t, CHECK_TOKEN, check->token);
  p11s_table_string(t, CHECK_LABEL, check->label);
  p11s_table_string(t, CHECK_MESSAGE, check->error == NULL ? "" : check->error->text);
}

static void print_warning(const struct p11s_command_ctx *ctx, const char *warning)
{
  if (warning != NULL && *warning != '\0')
    p11s_buf_addf(ctx->out, "Warning: %s\n", warning);
}

static void print_module_warning(const char *module, void *arg)
{
  print_warning(arg, p11s_module_warning(module));
}

static void print_warnings(const struct p11s_command_ctx *ctx)
{
  (void)p11s_module_each_name(print_module_warning, (void *)ctx, NULL);
  print_warning(ctx, p11s_signer_config(ctx->signer)->threads_advice);
}

/* What was found out is shown even when looking did not come to its end. */
static enum p11s_err print_checked(const struct p11s_command_ctx *ctx, const char *zone,
                                   const struct check_run *run, enum p11s_err err,
                                   struct p11s_error *e)
{
  if (p11s_table_print(run->table, ctx->json, ctx->out, err == P11S_OK ? e : NULL) != P11S_OK)
    return P11S_ERR_NOMEM;
  if (!ctx->json && run->checked > 0)
    print_warnings(ctx);
  if (!ctx->json)
    p11s_buf_addf(ctx->out, "%u key%s checked, %u failed\n", run->checked,
                  p11s_plural(run->checked), run->failed);
  if (err == P11S_OK && run->failed > 0)
    return p11s_error_set(e, run->first, "%u of %u key%s failed", run->failed, run->checked,
                          p11s_plural(run->checked));
  if (err == P11S_OK && run->checked == 0)
    return p11s_error_set(e, P11S_ERR_NO_KEY, "%s has no key reference: nothing was checked",
                          zone == NULL ? "the database" : zone);
  return err;
}

enum p11s_err p11s_command_check(const struct p11s_command_ctx *ctx, struct p11s_error *e)
{
  static const char *const columns[] = {"zone",  "key_id", "ok",      "algorithm",
                                        "token", "label",  "message", NULL};
  struct check_run run = {p11s_table_new(columns), 0, 0, P11S_OK};
  const char *zone = ctx->arg[0];
  enum p11s_err err = zone != NULL ? p11s_command_check_zone(ctx, zone, e) : P11S_OK;

  if (err == P11S_OK) {
    err = p11s_check_rows(ctx->signer, ctx->host, zone, check_row, &run, e);
    err = print_checked(ctx, zone, &run, err, e);
  }
  p11s_table_free(run.table);
  return err;
}
