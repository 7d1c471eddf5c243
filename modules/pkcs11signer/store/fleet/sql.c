/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "store/fleet/sql.h"

#include "base/crypto.h"
#include "store/fleet/connection.h"
#include "store/record.h"
#include "format/message.h"

#include <stdlib.h>
#include <string.h>

#define UNKNOWN_LIFE (21 * 86400)
#define GRACE 3600 /* clocks differ */

#define COLUMNS                                                                                    \
  "id,key_id,claimed_by,TIMESTAMPDIFF(MICROSECOND,claimed_at,UTC_TIMESTAMP(3)),"                   \
  "DATEDIFF(UTC_DATE(),last_used),message,signature"
enum { AT_ID, AT_KEY_ID, AT_CLAIMED_BY, AT_AGE, AT_IDLE, AT_MESSAGE, AT_SIGNATURE, FIELDS };

bool p11s_fleet_id(const unsigned char *key, unsigned char *ret_id)
{
  return p11s_sha256(key, P11S_RECORD_KEY_LEN, ret_id);
}

uint32_t p11s_fleet_expires(const unsigned char *message, size_t len, uint32_t now)
{
  uint32_t expiration;

  return p11s_message_expiration(message, len, &expiration) ? expiration : now + UNKNOWN_LIFE;
}

static void add_hex(struct p11s_buf *sql, const unsigned char *data, size_t len)
{
  p11s_buf_addstr(sql, "x'");
  p11s_buf_add_hex(sql, data, len);
  p11s_buf_addstr(sql, "'");
}

static void add_id(struct p11s_buf *sql, size_t i, const unsigned char *id)
{
  p11s_buf_addstr(sql, i == 0 ? "" : ",");
  add_hex(sql, id, P11S_STORE_ID_LEN);
}

/* -- writing */

size_t p11s_fleet_op_size(const struct p11s_op *op)
{
  return 256 + 2 * op->len;
}

static void add_put(struct p11s_buf *sql, const struct p11s_op *op, uint32_t now)
{
  struct p11s_store_record record = {.key_id = op->key};

  (void)p11s_record_parse(op->key, sizeof op->key, op->value, op->len, &record);
  p11s_buf_addstr(sql, "(");
  add_hex(sql, op->id, sizeof op->id);
  p11s_buf_addstr(sql, ",");
  add_hex(sql, record.key_id, P11S_STORE_ID_LEN);
  p11s_buf_addf(sql, ",%u,UTC_DATE(),NULL,NULL,",
                p11s_fleet_expires(record.message, record.message_len, now));
  add_hex(sql, record.message, record.message_len);
  p11s_buf_addstr(sql, ",");
  add_hex(sql, record.signature, record.signature_len);
  p11s_buf_addstr(sql, ")");
}

static void write_puts(struct p11s_buf *sql, struct p11s_op *const *ops, size_t count, uint32_t now)
{
  p11s_buf_addstr(sql, "INSERT INTO " P11S_FLEET_TABLE " (" P11S_FLEET_COLUMNS ") VALUES ");
  for (size_t i = 0; i < count; i++) {
    p11s_buf_addstr(sql, i == 0 ? "" : ",");
    add_put(sql, ops[i], now);
  }
  p11s_buf_addstr(sql, " ON DUPLICATE KEY UPDATE key_id=VALUES(key_id),expires=VALUES(expires),"
                       "last_used=VALUES(last_used),claimed_by=NULL,claimed_at=NULL,"
                       "message=VALUES(message),signature=VALUES(signature)");
}

void p11s_fleet_sql_write(struct p11s_buf *sql, struct p11s_op *const *ops, size_t count,
                          const unsigned char *server, uint32_t now)
{
  enum p11s_op_kind kind = ops[0]->kind;

  if (kind == P11S_OP_PUT) {
    write_puts(sql, ops, count, now);
    return;
  }
  p11s_buf_addstr(sql, kind == P11S_OP_USED ? "UPDATE " P11S_FLEET_TABLE
                                              " SET last_used=UTC_DATE() WHERE id IN ("
                                            : "DELETE FROM " P11S_FLEET_TABLE " WHERE id IN (");
  for (size_t i = 0; i < count; i++)
    add_id(sql, i, ops[i]->id);
  p11s_buf_addstr(sql, ")");
  if (kind == P11S_OP_USED)
    p11s_buf_addstr(sql, " AND last_used<UTC_DATE()");
  if (kind != P11S_OP_ABANDON)
    return;
  p11s_buf_addstr(sql, " AND signature='' AND claimed_by=");
  add_hex(sql, server, P11S_FLEET_SERVER_LEN);
}

void p11s_fleet_sql_claim(struct p11s_buf *sql, const struct p11s_fleet_wanted *wanted,
                          size_t count, const unsigned char *server)
{
  p11s_buf_addstr(sql, "INSERT IGNORE INTO " P11S_FLEET_TABLE " (" P11S_FLEET_COLUMNS ") VALUES ");
  for (size_t i = 0; i < count; i++) {
    p11s_buf_addstr(sql, i == 0 ? "(" : ",(");
    add_hex(sql, wanted[i].id, P11S_STORE_ID_LEN);
    p11s_buf_addstr(sql, ",");
    add_hex(sql, wanted[i].key_id, P11S_STORE_ID_LEN);
    p11s_buf_addf(sql, ",%u,UTC_DATE(),", wanted[i].expires);
    add_hex(sql, server, P11S_FLEET_SERVER_LEN);
    p11s_buf_addstr(sql, ",UTC_TIMESTAMP(3),'','')");
  }
}

/* -- reading */

void p11s_fleet_sql_find(struct p11s_buf *sql, const struct p11s_fleet_wanted *wanted, size_t count)
{
  p11s_buf_addstr(sql, "SELECT " COLUMNS " FROM " P11S_FLEET_TABLE " WHERE id IN (");
  for (size_t i = 0; i < count; i++)
    add_id(sql, i, wanted[i].id);
  p11s_buf_addstr(sql, ")");
}

void p11s_fleet_sql_walk(struct p11s_buf *sql, const unsigned char *behind, unsigned most)
{
  p11s_buf_addstr(sql, "SELECT " COLUMNS " FROM " P11S_FLEET_TABLE);
  if (behind != NULL) {
    p11s_buf_addstr(sql, " WHERE id>");
    add_hex(sql, behind, P11S_STORE_ID_LEN);
  }
  p11s_buf_addf(sql, " ORDER BY id LIMIT %u", most);
}

static uint64_t number_of(const struct p11s_fleet_field *field)
{
  char text[24];

  if (field->data == NULL || field->len >= sizeof text)
    return 0;
  memcpy(text, field->data, field->len);
  text[field->len] = '\0';
  /* A clock that was put back makes a claim a fresh one. */
  return text[0] == '-' ? 0 : strtoull(text, NULL, 10);
}

void p11s_fleet_take_number(const struct p11s_fleet_field *fields, unsigned count, void *arg)
{
  if (count == 1)
    *(uint64_t *)arg = number_of(&fields[0]);
}

bool p11s_fleet_row_parse(const struct p11s_fleet_field *fields, unsigned count,
                          struct p11s_fleet_row *ret)
{
  if (count != FIELDS || fields[AT_ID].len != P11S_STORE_ID_LEN ||
      fields[AT_KEY_ID].len != P11S_STORE_ID_LEN || fields[AT_MESSAGE].data == NULL ||
      fields[AT_SIGNATURE].data == NULL)
    return false;
  if (fields[AT_SIGNATURE].len == 0 && fields[AT_CLAIMED_BY].len != P11S_FLEET_SERVER_LEN)
    return false;
  ret->id = fields[AT_ID].data;
  ret->key_id = fields[AT_KEY_ID].data;
  ret->message = fields[AT_MESSAGE].data;
  ret->message_len = fields[AT_MESSAGE].len;
  ret->signature = fields[AT_SIGNATURE].data;
  ret->signature_len = fields[AT_SIGNATURE].len;
  ret->server = fields[AT_CLAIMED_BY].data;
  ret->age_ms = fields[AT_AGE].data != NULL ? number_of(&fields[AT_AGE]) / 1000 : UINT64_MAX;
  ret->idle_days = (uint32_t)number_of(&fields[AT_IDLE]);
  return true;
}

/* -- tidying */

void p11s_fleet_sql_lock(struct p11s_buf *sql, bool take)
{
  static const char name[] = "LEFT(CONCAT('" P11S_FLEET_TABLE ".',DATABASE()),64)";

  p11s_buf_addf(sql, take ? "SELECT GET_LOCK(%s,0)" : "DO RELEASE_LOCK(%s)", name);
}

void p11s_fleet_sql_expired(struct p11s_buf *sql, uint32_t now, unsigned most)
{
  p11s_buf_addf(sql,
                "SELECT id FROM " P11S_FLEET_TABLE " WHERE expires<LEAST(UNIX_TIMESTAMP()-%u,%u) "
                "ORDER BY expires LIMIT %u",
                GRACE, now > GRACE ? now - GRACE : 0, most);
}

void p11s_fleet_sql_delete(struct p11s_buf *sql, const unsigned char *ids, size_t count)
{
  p11s_buf_addstr(sql, "DELETE FROM " P11S_FLEET_TABLE " WHERE id IN (");
  for (size_t i = 0; i < count; i++)
    add_id(sql, i, ids + i * P11S_STORE_ID_LEN);
  p11s_buf_addstr(sql, ")");
}
