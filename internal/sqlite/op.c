/*
** Operations as objects: making one, its parameters, its result, its error.
*/
#include <stdarg.h>
#include <stdio.h>
#include "internal.h"

void pw_error_clear(pw_error *error) {
  sqlite3_free(error->message);
  memset(error, 0, sizeof(*error));
  error->offset = -1;
}

void pw_error_set(pw_error *error, const char *code, int sqlite, const char *message) {
  size_t n = strlen(message);
  pw_error_clear(error);
  snprintf(error->code, sizeof(error->code), "%s", code);
  error->sqlite = sqlite;
  error->message = sqlite3_malloc64(n + 1);
  if (error->message) memcpy(error->message, message, n + 1);
}

void pw_error_copy(pw_error *to, const pw_error *from) {
  pw_error_set(to, from->code, from->sqlite, from->message ? from->message : "");
  to->offset = from->offset;
}

void pw_op_fail(pw_op *op, const char *code, int sqlite, const char *format, ...) {
  char message[1024];
  va_list args;
  va_start(args, format);
  vsnprintf(message, sizeof(message), format, args);
  va_end(args);
  op->failed = 1;
  pw_error_set(&op->error, code, sqlite, message);
}

pw_op *pw_op_new(pw_db *db, int kind, uint32_t nitem) {
  size_t extra = nitem > 1 ? (nitem - 1) * sizeof(pw_item) : 0;
  pw_job *job = sqlite3_malloc64(sizeof(*job) + extra);

  if (!job) return 0;
  memset(job, 0, sizeof(*job) + extra);
  pw_db_ref(db);
  job->op.db = db;
  job->op.kind = kind;
  job->op.items = &job->first;
  job->op.nitem = nitem;
  job->op.error.offset = -1;
  return &job->op;
}

void pw_op_item(pw_op *op, uint32_t i, pw_stmt *stmt, uint32_t shape) {
  op->items[i].stmt = pw_stmt_ref(stmt);
  op->items[i].shape = shape;
}

/* Copies the parameters, values and names into one piece of memory. */
void pw_op_bind(pw_op *op, uint32_t i, const pw_value *params, uint32_t n) {
  size_t bytes = n * sizeof(pw_value);
  pw_value *copy;
  uint8_t *at;
  uint32_t k;

  if (n == 0) return;
  for (k = 0; k < n; k++) {
    if (params[k].type == PW_TEXT || params[k].type == PW_BLOB) bytes += params[k].n;
    bytes += params[k].n_name;
  }
  copy = sqlite3_malloc64(bytes);
  if (!copy) {
    pw_op_fail(op, "out_of_memory", SQLITE_NOMEM, "no memory for %u parameters", n);
    return;
  }
  memcpy(copy, params, n * sizeof(pw_value));
  at = (uint8_t *)(copy + n);
  for (k = 0; k < n; k++) {
    if (copy[k].type == PW_TEXT || copy[k].type == PW_BLOB) {
      if (copy[k].n) memcpy(at, copy[k].p, copy[k].n);
      copy[k].p = copy[k].n ? (void *)at : (void *)"";
      at += copy[k].n;
    }
    if (copy[k].name) {
      memcpy(at, copy[k].name, copy[k].n_name);
      copy[k].name = (char *)at;
      at += copy[k].n_name;
    }
  }
  op->items[i].params = copy;
  op->items[i].nparam = n;
}

/* Before a rerun: what an interrupted run has left. */
void pw_op_clear_result(pw_op *op) {
  uint32_t i;
  for (i = 0; i < op->nitem; i++) {
    pw_rows_free(&op->items[i].rows);
    if (op->items[i].names) {
      sqlite3_free(op->items[i].names);
      op->items[i].names = 0;
      op->items[i].shape = 0;
    }
  }
  op->failed = 0;
  op->more = 0;
  pw_error_clear(&op->error);
}

void pw_op_free(pw_op *op) {
  uint32_t i;
  pw_db *db = op->db;
  pw_op_clear_result(op);
  for (i = 0; i < op->nitem; i++) {
    pw_stmt_free(op->items[i].stmt);
    sqlite3_free(op->items[i].params);
  }
  sqlite3_free(op);
  pw_db_unref(db);
}
