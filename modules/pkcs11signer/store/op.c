/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "store/op.h"

#include <stdlib.h>
#include <string.h>

#define QUEUE_MAX 10000
#define QUEUE_BYTES ((size_t)16 << 20)

struct p11s_op *p11s_op_new(enum p11s_op_kind kind, const unsigned char *key, size_t key_len,
                            const unsigned char *value, size_t len)
{
  struct p11s_op *op = calloc(1, sizeof *op + len);

  if (op == NULL)
    return NULL;
  op->kind = kind;
  memcpy(op->key, key, key_len);
  op->len = len;
  if (value != NULL)
    memcpy(op->value, value, len);
  return op;
}

struct p11s_op *p11s_op_new_put(const unsigned char *key, const struct p11s_store_record *record)
{
  size_t len = p11s_record_size(record->message_len, record->signature_len);
  struct p11s_op *op = p11s_op_new(P11S_OP_PUT, key, P11S_RECORD_KEY_LEN, NULL, len);

  if (op != NULL)
    p11s_record_format(record, op->value);
  return op;
}

void p11s_ops_free(struct p11s_ops *ops)
{
  struct p11s_op *op;

  while ((op = STAILQ_FIRST(ops)) != NULL) {
    STAILQ_REMOVE_HEAD(ops, link);
    free(op);
  }
}

void p11s_op_queue_init(struct p11s_op_queue *queue)
{
  *queue = (struct p11s_op_queue){.ops = STAILQ_HEAD_INITIALIZER(queue->ops)};
}

bool p11s_op_queue_add(struct p11s_op_queue *queue, struct p11s_op *op, size_t size)
{
  if (queue->count >= QUEUE_MAX || queue->bytes + size > QUEUE_BYTES)
    return false;
  op->size = size;
  STAILQ_INSERT_TAIL(&queue->ops, op, link);
  queue->count++;
  queue->bytes += size;
  queue->in++;
  return true;
}

size_t p11s_op_queue_take(struct p11s_op_queue *queue, struct p11s_ops *ops, size_t most,
                          size_t most_bytes, bool one_kind)
{
  size_t count = 0, bytes = 0;
  struct p11s_op *op;

  while ((op = STAILQ_FIRST(&queue->ops)) != NULL && count < most &&
         (count == 0 ||
          (bytes + op->size <= most_bytes && (!one_kind || op->kind == STAILQ_FIRST(ops)->kind)))) {
    STAILQ_REMOVE_HEAD(&queue->ops, link);
    STAILQ_INSERT_TAIL(ops, op, link);
    bytes += op->size;
    count++;
  }
  queue->count -= count;
  queue->bytes -= bytes;
  return count;
}
