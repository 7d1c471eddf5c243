/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "base/buf.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * A listing: named columns, rows of typed cells, printed as an aligned table
 * for a person or as JSON for a program.
 *
 * Cells are addressed by the column's index and belong to the row begun last.
 * A cell that was not set is blank in the table and left out in JSON; a column
 * without any cell is left out of the table. A failed allocation is remembered
 * and reported when printing. Not for secrets. No locks.
 */
struct p11s_table;

/* columns: names as JSON has them ("key_id"; the table shows KEY ID), NULL behind the last.
   Borrowed for the table's life. NULL when there is no memory: the calls below allow it. */
struct p11s_table *p11s_table_new(const char *const *columns);
void p11s_table_free(struct p11s_table *t);

/* Begins a row. */
void p11s_table_row(struct p11s_table *t);
/* Control characters and broken UTF-8 are replaced by '?' in the table; in JSON the former are
   escaped and the latter becomes U+FFFD. */
void p11s_table_string(struct p11s_table *t, size_t column, const char *text);
/* To the right in the table. */
void p11s_table_number(struct p11s_table *t, size_t column, uint64_t number);
/* The same for a number above 0, to a tenth up to 100, else to a whole. */
void p11s_table_decimal(struct p11s_table *t, size_t column, double number);
/* yes or no, true or false. */
void p11s_table_bool(struct p11s_table *t, size_t column, bool value);
/* Adds to a list of strings: "a, b", ["a", "b"]. NULL adds nothing, but makes it a list. */
void p11s_table_item(struct p11s_table *t, size_t column, const char *text);

/* Adds all texts of the buffer (p11s_buf_add_text()). */
void p11s_table_items(struct p11s_table *t, size_t column, const struct p11s_buf *texts);

size_t p11s_table_rows(const struct p11s_table *t);

/* Appends the table, or one JSON array of objects, a line each. A table without rows prints
   nothing; its JSON is []. P11S_ERR_NOMEM. */
enum p11s_err p11s_table_print(const struct p11s_table *t, bool json, struct p11s_buf *out,
                               struct p11s_error *e);

/* Appends text as a JSON string, with its quotes. */
void p11s_json_string(struct p11s_buf *out, const char *text);
