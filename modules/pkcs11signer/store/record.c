/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "store/record.h"

#include "base/byteorder.h"
#include "format/message.h"

#include <string.h>
#include <time.h>

#define VERSION 1
#define DAY 86400

size_t p11s_record_size(size_t message_len, size_t signature_len)
{
  return P11S_RECORD_HEAD_LEN + signature_len + message_len;
}

void p11s_record_format(const struct p11s_store_record *record, unsigned char *ret_value)
{
  ret_value[0] = VERSION;
  ret_value[1] = 0;
  p11s_put16(ret_value + 2, (uint16_t)record->signature_len);
  p11s_put32(ret_value + 4, record->last_used);
  p11s_put32(ret_value + 8, record->days_used);
  p11s_put32(ret_value + 12, (uint32_t)record->message_len);
  memcpy(ret_value + P11S_RECORD_HEAD_LEN, record->signature, record->signature_len);
  memcpy(ret_value + P11S_RECORD_HEAD_LEN + record->signature_len, record->message,
         record->message_len);
}

bool p11s_record_parse(const unsigned char *key, size_t key_len, const unsigned char *value,
                       size_t size, struct p11s_store_record *ret)
{
  size_t signature_len, message_len;

  if (key_len != P11S_RECORD_KEY_LEN || size < P11S_RECORD_HEAD_LEN || value[0] != VERSION ||
      value[1] != 0)
    return false;
  signature_len = p11s_get16(value + 2);
  message_len = p11s_get32(value + 12);
  if (signature_len == 0 || signature_len > P11S_STORE_MAX_SIGNATURE ||
      message_len > P11S_STORE_MAX_MESSAGE || size != p11s_record_size(message_len, signature_len))
    return false;
  ret->key_id = key;
  ret->signature = value + P11S_RECORD_HEAD_LEN;
  ret->signature_len = signature_len;
  ret->message = ret->signature + signature_len;
  ret->message_len = message_len;
  ret->last_used = p11s_get32(value + 4);
  ret->days_used = p11s_get32(value + 8);
  return true;
}

bool p11s_record_is_expired(const struct p11s_store_record *record, uint32_t now)
{
  uint32_t expiration;

  return record->message == NULL ||
         (p11s_message_expiration(record->message, record->message_len, &expiration) &&
          p11s_time_diff(now, expiration) > 0);
}

bool p11s_record_is_stale(const struct p11s_store_record *record, uint32_t now)
{
  return record->days_used == 0 ||
         now - record->last_used >= DAY; /* wraps to a large number when that is ahead */
}

uint32_t p11s_record_now(void)
{
  return (uint32_t)time(NULL);
}
