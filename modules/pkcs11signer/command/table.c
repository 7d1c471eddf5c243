/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "command/table.h"

#include "base/text.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Both forms are made when the cell is set, so that printing is only putting together. */
struct cell {
  struct p11s_buf text;
  struct p11s_buf json; /* empty: the cell is not set; "[" first: a list, whose ] is not there */
  bool right;
};

struct p11s_table {
  const char *const *columns;
  size_t width; /* number of columns */
  struct cell *cells;
  size_t rows;
  size_t capacity; /* of cells, in rows */
  bool failed;
};

struct p11s_table *p11s_table_new(const char *const *columns)
{
  struct p11s_table *t = calloc(1, sizeof *t);

  if (t == NULL)
    return NULL;
  t->columns = columns;
  while (columns[t->width] != NULL)
    t->width++;
  return t;
}

void p11s_table_free(struct p11s_table *t)
{
  if (t == NULL)
    return;
  for (size_t i = 0; i < t->rows * t->width; i++) {
    p11s_buf_clear(&t->cells[i].text);
    p11s_buf_clear(&t->cells[i].json);
  }
  free(t->cells);
  free(t);
}

void p11s_table_row(struct p11s_table *t)
{
  if (t == NULL || t->failed)
    return;
  if (t->rows == t->capacity) {
    size_t capacity = t->capacity == 0 ? 16 : t->capacity * 2;
    struct cell *cells = reallocarray(t->cells, capacity, t->width * sizeof *cells);

    t->failed = cells == NULL;
    if (cells == NULL)
      return;
    t->cells = cells;
    t->capacity = capacity;
  }
  memset(&t->cells[t->rows * t->width], 0, t->width * sizeof *t->cells);
  t->rows++;
}

/* The cell to set, or NULL when there is none: no memory, or no row. */
static struct cell *current(struct p11s_table *t, size_t column)
{
  if (t == NULL || t->failed || t->rows == 0 || column >= t->width)
    return NULL;
  return &t->cells[(t->rows - 1) * t->width + column];
}

static struct cell *current_empty(struct p11s_table *t, size_t column)
{
  struct cell *c = current(t, column);

  if (c != NULL) {
    p11s_buf_clear(&c->text);
    p11s_buf_clear(&c->json);
  }
  return c;
}

static void add_string(struct cell *c, const char *text)
{
  size_t before = c->text.len;

  p11s_buf_addstr(&c->text, text);
  if (c->text.len > before) {
    p11s_error_clean(c->text.data + before);
    c->text.len = before + strlen(c->text.data + before);
  }
  p11s_json_string(&c->json, text);
}

void p11s_table_string(struct p11s_table *t, size_t column, const char *text)
{
  struct cell *c = current_empty(t, column);

  if (c != NULL)
    add_string(c, text);
}

void p11s_table_number(struct p11s_table *t, size_t column, uint64_t number)
{
  struct cell *c = current_empty(t, column);

  if (c == NULL)
    return;
  c->right = true;
  p11s_buf_addf(&c->text, "%" PRIu64, number);
  p11s_buf_addf(&c->json, "%" PRIu64, number);
}

void p11s_table_decimal(struct p11s_table *t, size_t column, double number)
{
  struct cell *c = current_empty(t, column);
  uint64_t tenths = (uint64_t)(number * 10 + 0.5);

  if (c == NULL)
    return;
  c->right = true;
  if (tenths < 1000) /* not by %f: the locale may want a comma */
    p11s_buf_addf(&c->text, "%" PRIu64 ".%" PRIu64, tenths / 10, tenths % 10);
  else
    p11s_buf_addf(&c->text, "%" PRIu64, (tenths + 5) / 10);
  p11s_buf_addstr(&c->json, p11s_buf_text(&c->text));
}

void p11s_table_bool(struct p11s_table *t, size_t column, bool value)
{
  struct cell *c = current_empty(t, column);

  if (c == NULL)
    return;
  p11s_buf_addstr(&c->text, value ? "yes" : "no");
  p11s_buf_addstr(&c->json, value ? "true" : "false");
}

void p11s_table_item(struct p11s_table *t, size_t column, const char *text)
{
  struct cell *c = current(t, column);

  if (c == NULL)
    return;
  if (c->json.len == 0)
    p11s_buf_addstr(&c->json, "[");
  if (text == NULL)
    return;
  if (c->json.len > 1) {
    p11s_buf_addstr(&c->text, ", ");
    p11s_buf_addstr(&c->json, ", ");
  }
  add_string(c, text);
}

void p11s_table_items(struct p11s_table *t, size_t column, const struct p11s_buf *texts)
{
  for (const char *text = NULL; (text = p11s_buf_next_text(texts, text)) != NULL;)
    p11s_table_item(t, column, text);
}

size_t p11s_table_rows(const struct p11s_table *t)
{
  return t == NULL ? 0 : t->rows;
}

void p11s_json_string(struct p11s_buf *out, const char *text)
{
  p11s_buf_addstr(out, "\"");
  while (*text != '\0') {
    uint32_t code = 0;
    size_t len = p11s_utf8_decode(text, &code);

    if (len == 0) {
      p11s_buf_addstr(out, "\xef\xbf\xbd");
      len = 1;
    } else if (code == '"' || code == '\\') {
      p11s_buf_addf(out, "\\%c", (char)code);
    } else if (p11s_error_is_control(code)) { /* none needs more than four digits */
      p11s_buf_addf(out, "\\u%04x", (unsigned)code);
    } else {
      p11s_buf_add(out, text, len);
    }
    text += len;
  }
  p11s_buf_addstr(out, "\"");
}

static void print_json(const struct p11s_table *t, struct p11s_buf *out)
{
  p11s_buf_addstr(out, "[");
  for (size_t r = 0; r < t->rows; r++) {
    const char *sep = "";

    p11s_buf_addstr(out, r == 0 ? "\n  {" : ",\n  {");
    for (size_t i = 0; i < t->width; i++) {
      const struct p11s_buf *json = &t->cells[r * t->width + i].json;

      if (json->len == 0)
        continue;
      p11s_buf_addstr(out, sep);
      p11s_json_string(out, t->columns[i]);
      p11s_buf_addf(out, ": %s%s", json->data, json->data[0] == '[' ? "]" : "");
      sep = ", ";
    }
    p11s_buf_addstr(out, "}");
  }
  p11s_buf_addstr(out, t->rows == 0 ? "]\n" : "\n]\n");
}

/* How a column is laid out. */
struct layout {
  size_t width; /* 0: left out */
  bool right;
};

/* Appends text, padded to the column's width on one side; blanks are owed until something follows.
 */
static void add_padded(struct p11s_buf *out, const char *text, const struct layout *layout,
                       size_t *owed)
{
  size_t used = p11s_utf8_width(text), pad = layout->width - used;

  if (layout->right)
    *owed += pad;
  if (used > 0) {
    p11s_buf_addf(out, "%*s%s", (int)*owed, "", text);
    *owed = 0;
  }
  *owed += layout->right ? 2 : pad + 2;
}

static void lay_out(const struct p11s_table *t, struct layout *layout)
{
  for (size_t i = 0; i < t->width; i++)
    for (size_t r = 0; r < t->rows; r++) {
      const struct cell *c = &t->cells[r * t->width + i];
      size_t used = p11s_utf8_width(p11s_buf_text(&c->text));

      if (c->json.len > 0 && layout[i].width == 0)
        layout[i].width = strlen(t->columns[i]);
      layout[i].width = used > layout[i].width ? used : layout[i].width;
      layout[i].right |= c->right;
    }
}

static void print_header(const struct p11s_table *t, const struct layout *layout,
                         struct p11s_buf *out)
{
  size_t owed = 0;

  for (size_t i = 0; i < t->width; i++) {
    struct p11s_buf title = P11S_BUF_INIT;

    for (const char *p = t->columns[i]; *p != '\0'; p++)
      p11s_buf_addf(&title, "%c", *p == '_' ? ' ' : toupper((unsigned char)*p));
    if (layout[i].width > 0)
      add_padded(out, p11s_buf_text(&title), &layout[i], &owed);
    out->failed |= title.failed;
    p11s_buf_clear(&title);
  }
  p11s_buf_addstr(out, "\n");
}

static void print_text(const struct p11s_table *t, const struct layout *layout,
                       struct p11s_buf *out)
{
  print_header(t, layout, out);
  for (size_t r = 0; r < t->rows; r++) {
    size_t owed = 0;

    for (size_t i = 0; i < t->width; i++)
      if (layout[i].width > 0)
        add_padded(out, p11s_buf_text(&t->cells[r * t->width + i].text), &layout[i], &owed);
    p11s_buf_addstr(out, "\n");
  }
}

enum p11s_err p11s_table_print(const struct p11s_table *t, bool json, struct p11s_buf *out,
                               struct p11s_error *e)
{
  bool failed = t == NULL || t->failed;

  for (size_t i = 0; !failed && i < t->rows * t->width; i++)
    failed = t->cells[i].text.failed || t->cells[i].json.failed;
  if (!failed && json) {
    print_json(t, out);
  } else if (!failed && t->rows > 0) {
    struct layout *layout = calloc(t->width + 1, sizeof *layout);

    failed = layout == NULL;
    if (!failed) {
      lay_out(t, layout);
      print_text(t, layout, out);
    }
    free(layout);
  }
  return failed || out->failed ? p11s_error_no_memory(e) : P11S_OK;
}
