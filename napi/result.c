/*
** Results: numbers and tags are copied to the environment's scratch buffer,
** text becomes one JavaScript string and blobs one ArrayBuffer, which
** JavaScript cuts up. js/rows.ts reads this layout:
**
**   doubles   0 failed   1 rows     2 columns   3 shape   4 changes
**             5 last rowid, as a number   6 the same, as int64 bits
**             7 flags (FLAG_*)            8 epoch
**   then      rows*columns doubles, then rows*columns tag bytes
**
** The value returned is the text where that is all there is, else
** [text, names, blob, buffer], where text is an array of strings of TEXT_PIECE bytes
** if there are many texts, and buffer stands in for the scratch buffer
** if the result did not fit there; it is reused like that one if it is not huge.
** A batch is [buffer, item, ...] with the layouts of its items one after the
** other in buffer, each at a multiple of 8, and the values of those that have columns.
** A failure is [code, extended code, offset, message] and doubles 0, 7 and 8.
*/
#include <string.h>

#include "bridge.h"

#define HEAD            9 /* doubles before the cells */
#define FLAG_AUTOCOMMIT 1
#define FLAG_MORE       2
#define FLAG_INLINE     4
#define MAX_SAFE        9007199254740991
#define LARGE_KEEP      (4u << 20) /* bytes of a buffer that is kept */
#define TEXT_PIECE      (64u << 10) /* bytes of a string that texts are cut from */
#define TEXT_SHORT      (4u << 10)  /* bytes of a row's texts that are cut from pieces */

/* Bytes that an item's numbers take, a multiple of 8. */
static size_t item_bytes(const pw_item *it) {
  size_t cells = (size_t)it->rows.nrow * it->rows.ncol;
  return (HEAD + cells) * sizeof(double) + ((cells + 7) & ~(size_t)7);
}

/* Write the doubles that every result has. */
static void write_head(const pw_op *op, int failed, unsigned char *to) {
  double *head = (double *)to;
  memset(to, 0, HEAD * sizeof(double));
  head[0] = failed;
  head[7] = (op->autocommit ? FLAG_AUTOCOMMIT : 0) | (op->more ? FLAG_MORE : 0) |
            (op->ran_inline ? FLAG_INLINE : 0);
  head[8] = op->epoch;
}

/* Write an item's numbers and tags. */
static void write_item(const pw_op *op, const pw_item *it, unsigned char *to) {
  double *head = (double *)to;
  size_t cells = (size_t)it->rows.nrow * it->rows.ncol;
  write_head(op, 0, to);
  head[1] = it->rows.nrow;
  head[2] = it->ncol;
  head[3] = it->shape;
  head[4] = (double)it->changes;
  head[5] = (double)it->last_rowid;
  memcpy(&head[6], &it->last_rowid, sizeof(it->last_rowid));
  if (cells) {
    memcpy(&head[HEAD], it->rows.cells, cells * sizeof(double));
    memcpy(&head[HEAD + cells], it->rows.tags, cells);
  }
}

/*
** An ArrayBuffer of n bytes or more, to be read before the next result is made.
** New memory would be zeroed, and each of its pages cost a fault.
*/
static napi_status large_buffer(bridge *b, size_t n, void **to, napi_value *out) {
  size_t size = b->n_large ? b->n_large : 128 * 1024;
  napi_status status;
  if (n > LARGE_KEEP) return napi_create_arraybuffer(b->env, n, to, out);
  if (n > b->n_large) {
    while (size < n) size *= 2;
    status = napi_create_arraybuffer(b->env, size, to, out);
    if (status != napi_ok) return status;
    if (b->large_ref) napi_delete_reference(b->env, b->large_ref);
    b->large_ref = NULL;
    b->n_large = 0;
    status = napi_create_reference(b->env, *out, 1, &b->large_ref);
    if (status != napi_ok) return status;
    b->large = *to;
    b->n_large = size;
    return napi_ok;
  }
  *to = b->large;
  return napi_get_reference_value(b->env, b->large_ref, out);
}

/* The blobs of all cells as one ArrayBuffer. */
napi_status result_blobs(napi_env env, const pw_rows *rows, napi_value *out) {
  void *data;
  napi_status status = napi_create_arraybuffer(env, rows->n_blob, &data, out);
  if (status == napi_ok && rows->n_blob) memcpy(data, rows->blob, rows->n_blob);
  return status;
}

/* A part of the texts of all cells as a string. */
static napi_status texts_part(napi_env env, const pw_rows *rows, size_t from, size_t n,
                              napi_value *out) {
  if (rows->wide) return napi_create_string_utf16(env, (uint16_t *)rows->text + from, n, out);
  return napi_create_string_latin1(env, n ? (char *)rows->text + from : "", n, out);
}

/* The texts of all cells as one string. */
napi_status result_texts(napi_env env, const pw_rows *rows, napi_value *out) {
  return texts_part(env, rows, 0, rows->n_text, out);
}

/*
** Are the texts cut into pieces? V8 makes a string of more than 128 KiB in memory
** of its own, each page of which costs a fault, and all of it stays as long as one
** text of it is used.
*/
static bool in_pieces(const pw_rows *rows) {
  size_t n = rows->n_text * (rows->wide ? 2 : 1);
  return n > TEXT_PIECE && n / rows->nrow <= TEXT_SHORT;
}

/* The texts of all cells as an array of strings; a text may stand in two. */
static napi_status text_pieces(napi_env env, const pw_rows *rows, napi_value *out) {
  size_t piece = rows->wide ? TEXT_PIECE / 2 : TEXT_PIECE, at;
  napi_value part;
  napi_status status = napi_create_array(env, out);
  uint32_t k = 0;
  for (at = 0; at < rows->n_text && status == napi_ok; at += piece) {
    size_t left = rows->n_text - at;
    status = texts_part(env, rows, at, left < piece ? left : piece, &part);
    if (status == napi_ok) status = napi_set_element(env, *out, k++, part);
  }
  return status;
}

/*
** The value of an item: its text alone or [text, names, blob, buffer];
** buffer may be NULL.
*/
static napi_status item_value(napi_env env, const pw_item *it, napi_value buffer, napi_value *out) {
  napi_value part;
  bool pieces = in_pieces(&it->rows);
  napi_status status =
      pieces ? text_pieces(env, &it->rows, &part) : result_texts(env, &it->rows, &part);
  if (status != napi_ok || !(it->names || it->rows.n_blob || buffer || pieces)) {
    *out = part;
    return status;
  }
  status = napi_create_array_with_length(env, 4, out);
  if (status == napi_ok) status = napi_set_element(env, *out, 0, part);
  if (status == napi_ok && it->names) {
    status = napi_create_string_utf8(env, it->names, it->n_names, &part);
    if (status == napi_ok) status = napi_set_element(env, *out, 1, part);
  }
  if (status == napi_ok && it->rows.n_blob) {
    status = result_blobs(env, &it->rows, &part);
    if (status == napi_ok) status = napi_set_element(env, *out, 2, part);
  }
  if (status == napi_ok && buffer) status = napi_set_element(env, *out, 3, buffer);
  return status;
}

static napi_status single_value(bridge *b, pw_op *op, napi_value *out) {
  const pw_item *it = &op->items[0];
  size_t n = item_bytes(it);
  napi_value buffer = NULL;
  void *to = b->scratch;
  if (n > b->n_scratch) {
    napi_status status = large_buffer(b, n, &to, &buffer);
    if (status != napi_ok) return status;
    write_head(op, 0, b->scratch);
  }
  write_item(op, it, to);
  return item_value(b->env, it, buffer, out);
}

static napi_status batch_value(bridge *b, pw_op *op, napi_value *out) {
  napi_env env = b->env;
  napi_value buffer;
  napi_status status;
  unsigned char *to;
  void *memory;
  size_t n = 0;
  uint32_t i, k = 0;
  for (i = 0; i < op->nitem; i++) n += item_bytes(&op->items[i]);
  write_head(op, 0, b->scratch);
  status = large_buffer(b, n, &memory, &buffer);
  to = memory;
  if (status == napi_ok) status = napi_create_array(env, out);
  if (status == napi_ok) status = napi_set_element(env, *out, k++, buffer);
  for (i = 0; i < op->nitem && status == napi_ok; i++) {
    napi_handle_scope scope;
    napi_value value;
    write_item(op, &op->items[i], to);
    to += item_bytes(&op->items[i]);
    if (op->items[i].ncol == 0) continue;
    status = napi_open_handle_scope(env, &scope);
    if (status != napi_ok) break;
    status = item_value(env, &op->items[i], NULL, &value);
    if (status == napi_ok) status = napi_set_element(env, *out, k++, value);
    napi_close_handle_scope(env, scope);
  }
  return status;
}

static napi_status error_value(bridge *b, const pw_op *op, const char *code, int sqlite, int offset,
                               const char *message, napi_value *out) {
  napi_env env = b->env;
  napi_value part;
  napi_status status = napi_create_array_with_length(env, 4, out);
  write_head(op, 1, b->scratch);
  if (status == napi_ok) status = napi_create_string_utf8(env, code, NAPI_AUTO_LENGTH, &part);
  if (status == napi_ok) status = napi_set_element(env, *out, 0, part);
  if (status == napi_ok) status = napi_create_int32(env, sqlite, &part);
  if (status == napi_ok) status = napi_set_element(env, *out, 1, part);
  if (status == napi_ok) status = napi_create_int32(env, offset, &part);
  if (status == napi_ok) status = napi_set_element(env, *out, 2, part);
  if (status == napi_ok) status = napi_create_string_utf8(env, message, NAPI_AUTO_LENGTH, &part);
  if (status == napi_ok) status = napi_set_element(env, *out, 3, part);
  return status;
}

/*
** The value of a finished operation. A result that JavaScript cannot hold (a
** string beyond V8's limit, no memory for a buffer) becomes a failure, so that
** whoever waits is always told. NULL only when the environment is ending.
*/
napi_value result_of(bridge *b, pw_op *op) {
  napi_value out, thrown;
  napi_status status;
  bool pending = false;
  if (op->failed) {
    const pw_error *e = &op->error;
    status = error_value(b, op, e->code, e->sqlite, e->offset, e->message ? e->message : "", &out);
    return status == napi_ok ? out : NULL;
  }
  status = op->kind == PW_BATCH ? batch_value(b, op, &out) : single_value(b, op, &out);
  if (status == napi_ok) return out;
  if (napi_is_exception_pending(b->env, &pending) == napi_ok && pending) {
    napi_get_and_clear_last_exception(b->env, &thrown);
  }
  status = error_value(b, op, "result_too_large", 0, -1,
                       "the result is too large for one JavaScript string or buffer;"
                       " select fewer rows or use iterate()",
                       &out);
  return status == napi_ok ? out : NULL;
}
