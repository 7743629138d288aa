/*
** The least that a binding can do for a point read: an addon of Node.js that
** keeps none of Pagewire's promises and checks nothing. It runs on SQLite in
** memory, the one that Pagewire is built from, with the same options, packs
** rows as Pagewire does, and tells what its two halves take alone.
** floor.mjs (adapters) compiles and loads it.
**
** It holds one database, and one statement: five columns (INTEGER, TEXT, TEXT,
** REAL, INTEGER) of the row whose number is its parameter.
*/
#include <string.h>
#include <time.h>

#include "read-floor.h"

#define COLUMNS 5

/* What a row is packed into. JavaScript has the same memory as an ArrayBuffer. */
typedef struct row {
  double cells[COLUMNS]; /* of a text its length */
  unsigned char types[8];
} row;

sqlite3 *read_db;
static sqlite3_stmt *st;
static row *packed;
static char text[4096]; /* all texts of the row, one after the other */
static size_t n_text;

napi_value read_fail(napi_env env, const char *why) {
  napi_throw_error(env, NULL, why);
  return NULL;
}

/* Binds, steps, reads the columns where SQLite has them, resets. */
static int read_row(sqlite3_int64 id) {
  int i, found;
  n_text = 0;
  sqlite3_bind_int64(st, 1, id);
  found = sqlite3_step(st) == SQLITE_ROW;
  for (i = 0; found && i < COLUMNS; i++) {
    sqlite3_value *value = sqlite3_column_value(st, i);
    packed->types[i] = (unsigned char)sqlite3_value_type(value);
    if (packed->types[i] == SQLITE_TEXT) {
      const unsigned char *from = sqlite3_value_text(value);
      size_t n = (size_t)sqlite3_value_bytes(value);
      if (n > sizeof(text) - n_text) n = sizeof(text) - n_text;
      memcpy(text + n_text, from, n);
      n_text += n;
      packed->cells[i] = (double)n;
    } else if (packed->types[i] == SQLITE_INTEGER) {
      packed->cells[i] = (double)sqlite3_value_int64(value);
    } else {
      packed->cells[i] = sqlite3_value_double(value);
    }
  }
  sqlite3_reset(st);
  return found;
}

/* exec(sql) */
static napi_value js_exec(napi_env env, napi_callback_info info) {
  static char sql[1 << 20];
  size_t argc = 1;
  napi_value argv[1];
  napi_get_cb_info(env, info, &argc, argv, NULL, NULL);
  napi_get_value_string_utf8(env, argv[0], sql, sizeof(sql), NULL);
  if (!read_db)
    sqlite3_open_v2(":memory:", &read_db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
  return sqlite3_exec(read_db, sql, 0, 0, 0) == SQLITE_OK ? NULL
                                                          : read_fail(env, sqlite3_errmsg(read_db));
}

/* prepare(sql) -> the ArrayBuffer that rows are packed into */
static napi_value js_prepare(napi_env env, napi_callback_info info) {
  char sql[200];
  size_t argc = 1;
  napi_value argv[1], buffer;
  void *data;
  napi_get_cb_info(env, info, &argc, argv, NULL, NULL);
  napi_get_value_string_utf8(env, argv[0], sql, sizeof(sql), NULL);
  if (sqlite3_prepare_v3(read_db, sql, -1, SQLITE_PREPARE_PERSISTENT, &st, NULL) != SQLITE_OK ||
      sqlite3_column_count(st) != COLUMNS)
    return read_fail(env, "not the statement that this is made for");
  napi_create_arraybuffer(env, sizeof(row), &data, &buffer);
  packed = data;
  return buffer;
}

/* What every call that answers a row does: takes a handle and a number, answers text. */
static napi_value answer(napi_env env, napi_callback_info info, int (*read)(sqlite3_int64)) {
  size_t argc = 2;
  napi_value argv[2], out;
  void *handle;
  double id;
  napi_get_cb_info(env, info, &argc, argv, NULL, NULL);
  napi_get_value_external(env, argv[0], &handle);
  napi_get_value_double(env, argv[1], &id);
  if (!read((sqlite3_int64)id)) return NULL;
  napi_create_string_latin1(env, text, n_text, &out);
  return out;
}

/* get(handle, id) -> the texts of the row; the rest is in the buffer */
static napi_value js_get(napi_env env, napi_callback_info info) {
  return answer(env, info, read_row);
}

static int read_nothing(sqlite3_int64 id) {
  (void)id;
  return 1;
}

/* again(handle, id): the same without SQLite: the row that get() has left */
static napi_value js_again(napi_env env, napi_callback_info info) {
  return answer(env, info, read_nothing);
}

/* loop(n) -> nanoseconds of a read of SQLite alone, without JavaScript */
static napi_value js_loop(napi_env env, napi_callback_info info) {
  size_t argc = 1;
  napi_value argv[1], out;
  struct timespec from, to;
  uint32_t i, n;
  napi_get_cb_info(env, info, &argc, argv, NULL, NULL);
  napi_get_value_uint32(env, argv[0], &n);
  clock_gettime(CLOCK_MONOTONIC, &from);
  for (i = 0; i < n; i++) read_row(1 + i * 7919ll % 1000);
  clock_gettime(CLOCK_MONOTONIC, &to);
  napi_create_double(env,
                     ((double)(to.tv_sec - from.tv_sec) * 1e9 +
                      (double)(to.tv_nsec - from.tv_nsec)) /
                         n,
                     &out);
  return out;
}

NAPI_MODULE_INIT() {
  napi_value handle;
  const napi_property_descriptor functions[] = {
      {"exec", NULL, js_exec, NULL, NULL, NULL, napi_enumerable, NULL},
      {"prepare", NULL, js_prepare, NULL, NULL, NULL, napi_enumerable, NULL},
      {"get", NULL, js_get, NULL, NULL, NULL, napi_enumerable, NULL},
      {"again", NULL, js_again, NULL, NULL, NULL, napi_enumerable, NULL},
      {"loop", NULL, js_loop, NULL, NULL, NULL, napi_enumerable, NULL},
  };
  napi_define_properties(env, exports, sizeof(functions) / sizeof(functions[0]), functions);
  napi_create_external(env, NULL, NULL, NULL, &handle);
  napi_set_named_property(env, exports, "handle", handle);
  read_promises(env, exports);
  return exports;
}
