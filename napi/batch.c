/*
** Batches. js/batch.ts packs what a batch is made of into one buffer of doubles
** and one string, as results are packed, so that it crosses with a dozen calls
** of N-API instead of a dozen a value:
**
**   an item     statement, as an index into stmts   shape   number of values
**   a value     its type   PW_REAL: a number, which may turn out an integer
**                          PW_INT: int64 bits       PW_TEXT: UTF-16 units
**                          PW_NULL: anything
**
** The values of an item follow it; the texts of all values stand end to end in
** the string. An item with UNPACKED values takes the next of others, as run()
** takes its parameters.
**
** A batch may come in pieces: the first one with the number of items of all, and
** the engine begins with it, the others by batchMore().
*/
#include <stdlib.h>
#include <string.h>

#include "bridge.h"

#define ITEM     3  /* doubles */
#define VALUE    2
#define UNPACKED -1

typedef struct packed {
  uint32_t first, end_item; /* items that it holds */
  const double *start, *at, *end;
  const char *text, *end_text;
  int ascii;         /* a unit of text is a byte */
  pw_value *values;  /* room for what is left */
  size_t nvalue;
} packed;

/*
** The end of so many UTF-16 units of UTF-8, which holds no half of a surrogate
** pair; NULL if there are fewer.
*/
static const char *skip_units(const packed *p, double units) {
  const unsigned char *s = (const unsigned char *)p->text;
  size_t room = (size_t)(p->end_text - p->text), n = (size_t)units;
  if (!(units >= 0 && units <= (double)room)) return NULL;
  if (p->ascii) return p->text + n;
  while (n > 0) {
    size_t bytes = *s < 0x80 ? 1 : *s < 0xE0 ? 2 : *s < 0xF0 ? 3 : 4;
    size_t taken = bytes == 4 ? 2 : 1;
    if (taken > n || bytes > (size_t)(p->end_text - (const char *)s)) return NULL;
    n -= taken;
    s += bytes;
  }
  return (const char *)s;
}

/* Take the next value; 0 if there is none. */
static int take_value(packed *p, pw_value *out) {
  const char *end;
  if (p->end - p->at < VALUE) return 0;
  memset(out, 0, sizeof(*out));
  out->type = (int)p->at[0];
  switch (out->type) {
    case PW_INT:
      memcpy(&out->i, &p->at[1], sizeof(out->i));
      break;
    case PW_REAL:
      if (!params_number(p->at[1], out)) return 0;
      break;
    case PW_TEXT:
      if ((end = skip_units(p, p->at[1])) == NULL) return 0;
      out->p = p->text;
      out->n = (size_t)(end - p->text);
      p->text = end;
      break;
    default:
      out->type = PW_NULL;
  }
  p->at += VALUE;
  return 1;
}

/*
** Set the items of a piece, and the packed values where there is memory for them.
** Counts what is not packed. Runs no JavaScript.
*/
static int take_items(bridge *b, pw_op *op, packed *p, handle *const *stmts, uint32_t nstmt,
                      uint32_t *unpacked) {
  uint32_t i, k;
  *unpacked = 0;
  for (i = p->first; i < p->end_item; i++) {
    const double *item = p->at;
    uint32_t n;
    if (p->end - p->at < ITEM || !(item[0] >= 0 && item[0] < nstmt)) return 0;
    b->api->op_item(op, i, stmts[(uint32_t)item[0]]->stmt, (uint32_t)item[1]);
    p->at += ITEM;
    if (item[2] == UNPACKED) {
      ++*unpacked;
      continue;
    }
    if (!(item[2] >= 0 && item[2] <= (double)p->nvalue)) return 0;
    n = (uint32_t)item[2];
    if (p->values == NULL) {
      p->at += (size_t)n * VALUE;
      continue;
    }
    for (k = 0; k < n; k++) {
      if (!take_value(p, &p->values[k])) return 0;
    }
    b->api->op_params(op, i, p->values, n);
    p->values += n;
    p->nvalue -= n;
  }
  return 1;
}

/* Bind what is not packed. May run JavaScript. */
static int bind_others(bridge *b, pw_op *op, const packed *p, napi_value others) {
  const double *at = p->start;
  napi_env env = b->env;
  uint32_t i, k = 0;
  int ok = 1;
  for (i = p->first; i < p->end_item && ok; i++) {
    napi_handle_scope scope;
    napi_value params;
    double n = at[2];
    at += ITEM + (n == UNPACKED ? 0 : (size_t)n * VALUE);
    if (n != UNPACKED) continue;
    if (bridge_failed(env, napi_open_handle_scope(env, &scope))) return 0;
    ok = !bridge_failed(env, napi_get_element(env, others, k++, &params)) &&
         params_bind(b, op, i, params);
    napi_close_handle_scope(env, scope);
  }
  return ok;
}

/* Copy the text of all values, behind room for the values, into memory of op. */
static napi_status read_text(bridge *b, pw_op *op, napi_value text, packed *p) {
  size_t n, units, values = p->nvalue * sizeof(*p->values);
  napi_status status = napi_get_value_string_utf16(b->env, text, NULL, 0, &units);
  if (status == napi_ok) status = napi_get_value_string_utf8(b->env, text, NULL, 0, &n);
  if (status != napi_ok) return status;
  p->values = b->api->op_memory(op, values + n + 1);
  if (p->values == NULL) return napi_ok; /* the operation has failed by that */
  p->text = (char *)p->values + values;
  p->end_text = p->text + n;
  p->ascii = n == units;
  return napi_get_value_string_utf8(b->env, text, (char *)p->values + values, n + 1, &n);
}

/* The handles of an array of statements, to be freed; NULL, and throws, if one is none. */
static handle **read_stmts(napi_env env, napi_value array, uint32_t *n) {
  handle **out;
  uint32_t i;
  if (bridge_failed(env, napi_get_array_length(env, array, n))) return NULL;
  out = bridge_alloc(*n * sizeof(*out));
  for (i = 0; i < *n; i++) {
    napi_value stmt;
    if (bridge_failed(env, napi_get_element(env, array, i, &stmt)) ||
        (out[i] = ops_handle(env, stmt, HANDLE_STMT)) == NULL) {
      free(out);
      return NULL;
    }
  }
  return out;
}

/* Set and bind the items of a piece. Returns 0 with an exception pending if that is not possible. */
static int read_items(bridge *b, pw_op *op, packed *p, napi_value array, napi_value text,
                      napi_value others) {
  uint32_t nstmt, unpacked;
  handle **stmts;
  int ok;
  if (bridge_failed(b->env, read_text(b, op, text, p))) return 0;
  if ((stmts = read_stmts(b->env, array, &nstmt)) == NULL) return 0;
  ok = take_items(b, op, p, stmts, nstmt, &unpacked);
  free(stmts);
  if (!ok) bridge_throw(b->env, "internal_error", "a batch is not packed as it should be");
  return ok && (unpacked == 0 || bind_others(b, op, p, others));
}

/* Read the arguments buffer, nitem, nvalue of a piece of a batch. */
static int read_packed(bridge *b, const napi_value *argv, uint32_t first, packed *p) {
  uint32_t nitem, nvalue;
  size_t bytes, doubles;
  void *data;
  if (bridge_failed(b->env, napi_get_arraybuffer_info(b->env, argv[0], &data, &bytes)) ||
      bridge_failed(b->env, napi_get_value_uint32(b->env, argv[1], &nitem)) ||
      bridge_failed(b->env, napi_get_value_uint32(b->env, argv[2], &nvalue)))
    return 0;
  doubles = (size_t)nitem * ITEM + (size_t)nvalue * VALUE;
  if (doubles * sizeof(double) > bytes) {
    bridge_throw(b->env, "internal_error", "a batch is larger than its buffer");
    return 0;
  }
  memset(p, 0, sizeof(*p));
  p->first = first;
  p->end_item = first + nitem;
  p->start = p->at = data;
  p->end = p->at + doubles;
  p->nvalue = nvalue;
  return 1;
}

/*
** batch(db, total, stmts, buffer, nitem, nvalue, text, others, needEpoch, timeoutMs):
** total is the number of items of the batch, nitem of which come with it.
*/
static napi_value batch(napi_env env, napi_callback_info info, int wait) {
  napi_value argv[10];
  uint32_t total;
  packed p;
  bridge *b = bridge_enter(env, info, 10, argv, NULL);
  handle *h;
  pw_op *op;
  if (b == NULL || (h = ops_handle(env, argv[0], HANDLE_DB)) == NULL ||
      bridge_failed(env, napi_get_value_uint32(env, argv[1], &total)) ||
      !read_packed(b, argv + 3, 0, &p))
    return NULL;
  if (p.end_item > total || (wait && p.end_item < total)) {
    bridge_throw(env, "internal_error", "a batch has another number of items than it should");
    return NULL;
  }
  if ((op = ops_new(b, h->db, PW_BATCH, total)) == NULL) return NULL;
  if (!read_items(b, op, &p, argv[2], argv[6], argv[7]) || !ops_limits(b, op, argv + 8)) {
    b->api->op_free(op);
    return NULL;
  }
  b->api->op_give(op, p.end_item);
  return ops_run(b, op, wait);
}

/* The batch in flight that a token stands for; NULL, and throws, if there is none. */
static pw_op *batch_of(bridge *b, napi_value value) {
  uint32_t token;
  pw_op *op;
  if (bridge_failed(b->env, napi_get_value_uint32(b->env, value, &token))) return NULL;
  op = token < b->n_tokens ? b->ops[token] : NULL;
  if (op == NULL) bridge_throw(b->env, "internal_error", "there is no such batch");
  return op;
}

/* batchMore(token, first, stmts, buffer, nitem, nvalue, text, others): items from first on. */
static napi_value js_batch_more(napi_env env, napi_callback_info info) {
  napi_value argv[8];
  uint32_t first;
  packed p;
  bridge *b = bridge_enter(env, info, 8, argv, NULL);
  pw_op *op;
  if (b == NULL || (op = batch_of(b, argv[0])) == NULL ||
      bridge_failed(env, napi_get_value_uint32(env, argv[1], &first)) ||
      !read_packed(b, argv + 3, first, &p))
    return NULL;
  if (p.end_item > op->nitem) {
    bridge_throw(env, "internal_error", "a batch has fewer items than it is given");
    return NULL;
  }
  if (read_items(b, op, &p, argv[2], argv[6], argv[7])) b->api->op_give(op, p.end_item);
  return NULL;
}

/* batchNoMore(token): the other items will not come, and the batch fails. */
static napi_value js_batch_no_more(napi_env env, napi_callback_info info) {
  napi_value argv[1];
  bridge *b = bridge_enter(env, info, 1, argv, NULL);
  pw_op *op = b ? batch_of(b, argv[0]) : NULL;
  if (op) b->api->op_give(op, 0);
  return NULL;
}

static napi_value js_batch(napi_env env, napi_callback_info info) {
  return batch(env, info, 0);
}
static napi_value js_batch_sync(napi_env env, napi_callback_info info) {
  return batch(env, info, 1);
}

napi_status batch_define(bridge *b, napi_value exports) {
  const napi_property_descriptor functions[] = {
      {"batch", NULL, js_batch, NULL, NULL, NULL, napi_enumerable, b},
      {"batchMore", NULL, js_batch_more, NULL, NULL, NULL, napi_enumerable, b},
      {"batchNoMore", NULL, js_batch_no_more, NULL, NULL, NULL, napi_enumerable, b},
      {"batchSync", NULL, js_batch_sync, NULL, NULL, NULL, napi_enumerable, b},
  };
  return napi_define_properties(b->env, exports, sizeof(functions) / sizeof(functions[0]),
                                functions);
}
