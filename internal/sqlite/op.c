/*
** Operations as objects: making one, its parameters, its result, its error.
*/
#include <stdarg.h>
#include <stdio.h>
#include "internal.h"

#define SPARE_BYTES (4u << 20) /* memory of an operation that is kept for another */

/* Memory of an operation's own: the header, then what was asked for. */
struct pw_chunk {
  pw_chunk *next;
};

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

/* Makes job, of which only the first item's memory means something, into an
** operation that nothing is known of yet. */
static pw_op *start(pw_job *job, pw_db *db, int kind, uint32_t nitem) {
  pw_op *op = &job->op;

  pw_db_ref(db);
  op->db = db;
  op->kind = kind;
  op->items = &job->first;
  op->nitem = nitem;
  op->max_rows = op->need_epoch = 0;
  op->timeout_ms = 0;
  op->ran_inline = op->autocommit = 0;
  op->epoch = 0;
  job->state = OP_NEW;
  job->reset_only = job->waits = job->sent = job->starved = 0;
  job->given = nitem;
  job->until_ns = 0;
  job->cancel[0] = 0;
  return op;
}

pw_op *pw_op_new(pw_db *db, int kind, uint32_t nitem) {
  size_t extra = nitem > 1 ? (nitem - 1) * sizeof(pw_item) : 0;
  pw_job *job = sqlite3_malloc64(sizeof(*job) + extra);

  if (!job) return 0;
  memset(job, 0, sizeof(*job) + extra);
  job->op.error.offset = -1;
  return start(job, db, kind, nitem);
}

/* Before a rerun, or at the end: what a run has left. */
void pw_op_clear_result(pw_op *op) {
  uint32_t i;
  for (i = 0; i < op->nitem; i++) {
    pw_rows_clear(&op->items[i].rows);
    if (op->items[i].names) {
      sqlite3_free(op->items[i].names);
      op->items[i].names = 0;
      op->items[i].shape = 0;
    }
  }
  if (op->failed || op->error.message) pw_error_clear(&op->error);
  op->failed = 0;
  op->more = 0;
}

/* Lets go of what it was about. Its memory stays. */
static void leave(pw_op *op) {
  uint32_t i;
  pw_op_clear_result(op);
  for (i = 0; i < op->nitem; i++) {
    pw_item *item = &op->items[i];
    pw_stmt_free(item->stmt);
    item->stmt = 0;
    item->nparam = item->ncol = 0;
    item->changes = item->last_rowid = 0;
  }
  pw_db_unref(op->db);
  op->db = 0;
}

static void free_memory(pw_op *op) {
  pw_chunk *chunk = pw_job_of(op)->memory;
  uint32_t i;
  for (i = 0; i < op->nitem; i++) {
    pw_rows_free(&op->items[i].rows);
    if (op->items[i].cap_params) sqlite3_free(op->items[i].params);
  }
  while (chunk) {
    pw_chunk *next = chunk->next;
    sqlite3_free(chunk);
    chunk = next;
  }
  sqlite3_free(op);
}

void pw_op_free(pw_op *op) {
  if (op->db) leave(op);
  free_memory(op);
}

/* Lets go of everything but the memory, for pw_op_reuse(); 0 if that is not
** worth it, and op has been freed. */
int pw_op_spare(pw_op *op) {
  const pw_item *item = op->items;
  leave(op);
  if (op->nitem == 1 && !pw_job_of(op)->memory &&
      item->cap_params + pw_rows_memory(&item->rows) <= SPARE_BYTES)
    return 1;
  free_memory(op);
  return 0;
}

void pw_op_reuse(pw_op *op, pw_db *db, int kind) {
  start(pw_job_of(op), db, kind, 1);
}

void pw_op_item(pw_op *op, uint32_t i, pw_stmt *stmt, uint32_t shape) {
  op->items[i].stmt = pw_stmt_ref(stmt);
  op->items[i].shape = shape;
}

/* There was no memory for parameters. A thread may run the operation already: it
** is told by the item that never comes. */
static void fail_params(pw_op *op) {
  pw_job *job = pw_job_of(op);
  if (job->sent) job->starved = 1;
  else pw_op_fail(op, "out_of_memory", SQLITE_NOMEM, "no memory for parameters");
}

/* Copies the parameters, values and names into one piece of memory. */
void pw_op_bind(pw_op *op, uint32_t i, const pw_value *params, uint32_t n) {
  pw_item *item = &op->items[i];
  size_t bytes = n * sizeof(pw_value);
  pw_value *copy;
  uint8_t *at;
  uint32_t k;

  if (n == 0) return;
  for (k = 0; k < n; k++) {
    if (params[k].type == PW_TEXT || params[k].type == PW_BLOB) bytes += params[k].n;
    bytes += params[k].n_name;
  }
  if (bytes > item->cap_params) {
    if (item->cap_params) sqlite3_free(item->params);
    item->params = sqlite3_malloc64(bytes);
    item->cap_params = item->params ? bytes : 0;
  }
  copy = item->params;
  if (!copy) {
    fail_params(op);
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
  item->nparam = n;
}

/* Memory of the operation's own, for parameters that need not be copied. */
void *pw_op_memory(pw_op *op, size_t bytes) {
  pw_job *job = pw_job_of(op);
  pw_chunk *chunk = sqlite3_malloc64(sizeof(*chunk) + bytes);

  if (!chunk) {
    fail_params(op);
    return 0;
  }
  chunk->next = job->memory;
  job->memory = chunk;
  return chunk + 1;
}

void pw_op_params(pw_op *op, uint32_t i, pw_value *params, uint32_t n) {
  op->items[i].params = params;
  op->items[i].nparam = n;
}
