/*
** Databases, statements and operations as JavaScript sees them.
*/
#include <stdlib.h>
#include <string.h>

#include "bridge.h"

/* An operation in flight on a worker: the letter that tells of its end. */
typedef struct op_mail {
  mail base;
  mailbox *box;
  const pw_api *api;
  pw_op *op;
  uint32_t token;
} op_mail;

/* A new operation; NULL, and throws, if there is no memory for one. */
pw_op *ops_new(bridge *b, pw_db *db, int kind, uint32_t nitem) {
  pw_op *op = b->api->op_new(db, kind, nitem);
  if (op == NULL) bridge_throw(b->env, "out_of_memory", "no memory for an operation");
  return op;
}

/* The same for one item, in the memory of an earlier one. */
static pw_op *op_begin(bridge *b, pw_db *db, int kind) {
  pw_op *op = b->spare;
  if (op == NULL) return ops_new(b, db, kind, 1);
  b->spare = NULL;
  b->api->op_reuse(op, db, kind);
  return op;
}

static void op_end(bridge *b, pw_op *op) {
  if (b->spare) b->api->op_free(op);
  else if (b->api->op_spare(op)) b->spare = op;
}

/* Runs on any thread. */
static void op_discard(mail *m) {
  op_mail *letter = (op_mail *)m;
  mailbox *box = letter->box;
  letter->api->op_free(letter->op);
  free(letter);
  mailbox_unref(box);
}

static void op_deliver(bridge *b, mail *m, napi_value args[MAIL_ARGS]) {
  op_mail *letter = (op_mail *)m;
  napi_create_uint32(b->env, DISPATCH_OP, &args[0]);
  napi_create_uint32(b->env, letter->token, &args[1]);
  args[2] = result_of(b, letter->op);
  napi_get_undefined(b->env, &args[3]);
  if (args[2] == NULL) args[2] = args[3];
  token_release(b, letter->token);
  op_end(b, letter->op);
  mailbox_unref(letter->box);
  free(letter);
}

/* Called by the engine on any thread. */
static void op_done(pw_op *op, void *ctx) {
  op_mail *letter = ctx;
  (void)op;
  mailbox_post(letter->box, &letter->base);
}

/* Hand an operation to the engine's workers and return its token. */
static uint32_t op_send(bridge *b, pw_op *op) {
  op_mail *letter = bridge_alloc(sizeof(*letter));
  letter->base.deliver = op_deliver;
  letter->base.discard = op_discard;
  letter->box = b->box;
  letter->api = b->api;
  letter->op = op;
  letter->token = token_take(b, op);
  mailbox_ref(b->box);
  b->api->op_submit(op, op_done, letter);
  return letter->token;
}

/*
** Run an operation: on this thread if it may and can, else on a worker, or if
** wait is set in its turn while this thread waits. Returns the result or, for
** one that a worker runs, the token (a number) that dispatch() will name.
*/
napi_value ops_run(bridge *b, pw_op *op, int wait) {
  napi_value out = NULL;
  if (b->api->op_try(op) == PW_DEFER) {
    if (!wait) {
      napi_create_uint32(b->env, op_send(b, op), &out);
      return out;
    }
    b->api->op_wait(op);
  }
  out = result_of(b, op);
  op_end(b, op);
  return out;
}

static void handle_free(handle *h) {
  if (h->db == NULL) return;
  if (h->point) point_end(h);
  if (h->magic == HANDLE_STMT) h->api->stmt_free(h->stmt);
  else h->api->db_unref(h->db);
  h->stmt = NULL;
  h->db = NULL;
}

static void handle_finalize(napi_env env, void *data, void *hint) {
  (void)env;
  (void)hint;
  handle_free(data);
  free(data);
}

static napi_value handle_new(bridge *b, int magic, pw_db *db, pw_stmt *stmt) {
  napi_value out;
  handle *h = bridge_alloc(sizeof(*h));
  h->magic = magic;
  h->point = NULL;
  h->api = b->api;
  h->db = db;
  h->stmt = stmt;
  if (bridge_failed(b->env, napi_create_external(b->env, h, handle_finalize, NULL, &out))) {
    handle_free(h);
    free(h);
    return NULL;
  }
  return out;
}

/* The handle behind an external; NULL, and throws, if it is none or closed. */
handle *ops_handle(napi_env env, napi_value v, int magic) {
  void *data = NULL;
  handle *h;
  if (napi_get_value_external(env, v, &data) != napi_ok || data == NULL ||
      ((handle *)data)->magic != magic) {
    bridge_throw(env, "internal_error",
                 magic == HANDLE_DB ? "not a database handle" : "not a statement handle");
    return NULL;
  }
  h = data;
  if (h->db == NULL) {
    bridge_throw(env, "closed",
                 magic == HANDLE_DB ? "the database is closed" : "the statement is closed");
    return NULL;
  }
  return h;
}

/* Read epoch and timeout. */
int ops_limits(bridge *b, pw_op *op, napi_value *argv) {
  napi_status status = napi_get_value_uint32(b->env, argv[0], &op->need_epoch);
  if (status == napi_ok) status = napi_get_value_int64(b->env, argv[1], &op->timeout_ms);
  return !bridge_failed(b->env, status);
}

/*
** run(stmt, what, [needEpoch, timeoutMs, maxRows,] params), where what is the
** shape times WHAT_SHAPE, plus the kind of operation, plus
**
**   WHAT_VALUES   instead of params there follow the values of positional
**                 parameters, MOST_VALUES at most
**   WHAT_LIMITS   the three limits are given
**   WHAT_WAIT     this thread waits for the result, if it cannot run it at once
**
** The hot path: a call into N-API costs as much as a good part of SQLite's share
** of a point read, and those for the elements of an array cost most.
*/
#define WHAT_KIND   7
#define WHAT_VALUES 8
#define WHAT_LIMITS 16
#define WHAT_WAIT   32
#define WHAT_SHAPE  64
static napi_value js_run(napi_env env, napi_callback_info info) {
  napi_value argv[5 + MOST_VALUES];
  size_t argc, at = 2;
  uint32_t what;
  bridge *b = bridge_enter(env, info, 5 + MOST_VALUES, argv, &argc);
  handle *h;
  pw_op *op;
  int ok = 1;
  if (b == NULL) return NULL;
  if ((h = ops_handle(env, argv[0], HANDLE_STMT)) == NULL) return NULL;
  if (bridge_failed(env, napi_get_value_uint32(env, argv[1], &what))) return NULL;
  if (argc > 5 + MOST_VALUES) { /* of an array with an iterator of its own */
    bridge_throw(env, "internal_error", "too many values");
    return NULL;
  }
  if ((op = op_begin(b, h->db, (int)(what & WHAT_KIND))) == NULL) return NULL;
  b->api->op_item(op, 0, h->stmt, what / WHAT_SHAPE);
  if (what & WHAT_LIMITS) {
    at = 5;
    ok = ops_limits(b, op, argv + 2) &&
         !bridge_failed(env, napi_get_value_uint32(env, argv[4], &op->max_rows));
  }
  if (ok && what & WHAT_VALUES) ok = params_bind_values(b, op, argv + at, argc - at);
  else if (ok) ok = params_bind(b, op, 0, argv[at]);
  if (!ok) {
    b->api->op_free(op);
    return NULL;
  }
  return ops_run(b, op, what & WHAT_WAIT);
}

/* cancel(token, code): end an operation in flight soon, with that code. */
static napi_value js_cancel(napi_env env, napi_callback_info info) {
  napi_value argv[2];
  uint32_t token;
  char code[40];
  bridge *b = bridge_enter(env, info, 2, argv, NULL);
  if (b == NULL || bridge_failed(env, napi_get_value_uint32(env, argv[0], &token)) ||
      bridge_failed(env, napi_get_value_string_utf8(env, argv[1], code, sizeof(code), NULL)))
    return NULL;
  if (token < b->n_tokens && b->ops[token]) b->api->op_cancel(b->ops[token], code);
  return NULL;
}

/* stmtNew(db, sql) */
static napi_value js_stmt_new(napi_env env, napi_callback_info info) {
  napi_value argv[2];
  size_t n;
  char *sql;
  bridge *b = bridge_enter(env, info, 2, argv, NULL);
  handle *h;
  pw_stmt *stmt;
  if (b == NULL) return NULL;
  if ((h = ops_handle(env, argv[0], HANDLE_DB)) == NULL) return NULL;
  if (bridge_failed(env, napi_get_value_string_utf8(env, argv[1], NULL, 0, &n))) return NULL;
  sql = bridge_alloc(n + 1);
  if (bridge_failed(env, napi_get_value_string_utf8(env, argv[1], sql, n + 1, &n))) {
    free(sql);
    return NULL;
  }
  stmt = b->api->stmt_new(h->db, sql, n);
  free(sql);
  return handle_new(b, HANDLE_STMT, h->db, stmt);
}

/* The handle that a function's only argument is. */
static handle *only_handle(napi_env env, napi_callback_info info, int magic) {
  napi_value argv[1];
  if (bridge_enter(env, info, 1, argv, NULL) == NULL) return NULL;
  return ops_handle(env, argv[0], magic);
}

static napi_value js_stmt_free(napi_env env, napi_callback_info info) {
  handle *h = only_handle(env, info, HANDLE_STMT);
  if (h) handle_free(h);
  return NULL;
}

static napi_value js_cursor_reset(napi_env env, napi_callback_info info) {
  handle *h = only_handle(env, info, HANDLE_STMT);
  if (h) h->api->cursor_reset(h->stmt);
  return NULL;
}

static napi_value js_db_unref(napi_env env, napi_callback_info info) {
  handle *h = only_handle(env, info, HANDLE_DB);
  if (h) handle_free(h);
  return NULL;
}

/* dbGet(number) -> handle, or null if there is no such database */
static napi_value js_db_get(napi_env env, napi_callback_info info) {
  napi_value argv[1], none;
  int64_t number;
  bridge *b = bridge_enter(env, info, 1, argv, NULL);
  pw_db *db;
  if (b == NULL || bridge_failed(env, napi_get_value_int64(env, argv[0], &number))) return NULL;
  db = b->api->db_get((uint64_t)number);
  if (db) return handle_new(b, HANDLE_DB, db, NULL);
  return bridge_failed(env, napi_get_null(env, &none)) ? NULL : none;
}

/* dbMetrics(db) -> the members of pw_metrics in order, as an array of numbers */
static napi_value js_db_metrics(napi_env env, napi_callback_info info) {
  pw_metrics metrics;
  uint64_t all[sizeof(metrics) / sizeof(uint64_t)];
  napi_value out, number;
  uint32_t i;
  handle *h = only_handle(env, info, HANDLE_DB);
  if (h == NULL) return NULL;
  h->api->db_metrics(h->db, &metrics);
  memcpy(all, &metrics, sizeof(all));
  if (bridge_failed(env, napi_create_array_with_length(env, sizeof(all) / sizeof(all[0]), &out)))
    return NULL;
  for (i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
    if (bridge_failed(env, napi_create_double(env, (double)all[i], &number)) ||
        bridge_failed(env, napi_set_element(env, out, i, number)))
      return NULL;
  }
  return out;
}

napi_status ops_define(bridge *b, napi_value exports) {
  const napi_property_descriptor functions[] = {
      {"run", NULL, js_run, NULL, NULL, NULL, napi_enumerable, b},
      {"cancel", NULL, js_cancel, NULL, NULL, NULL, napi_enumerable, b},
      {"stmtNew", NULL, js_stmt_new, NULL, NULL, NULL, napi_enumerable, b},
      {"stmtFree", NULL, js_stmt_free, NULL, NULL, NULL, napi_enumerable, b},
      {"cursorReset", NULL, js_cursor_reset, NULL, NULL, NULL, napi_enumerable, b},
      {"dbGet", NULL, js_db_get, NULL, NULL, NULL, napi_enumerable, b},
      {"dbUnref", NULL, js_db_unref, NULL, NULL, NULL, napi_enumerable, b},
      {"dbMetrics", NULL, js_db_metrics, NULL, NULL, NULL, napi_enumerable, b},
  };
  return napi_define_properties(b->env, exports, sizeof(functions) / sizeof(functions[0]),
                                functions);
}
