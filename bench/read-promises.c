/*
** The least that a binding can do for a point read if it keeps what Pagewire
** promises, whoever wrote it. Each step names the promise that demands it, and
** takes the cheapest way that was found, not Pagewire's. What costs a read
** nothing (the guard, which works when a statement is prepared) is left out, and
** where a worker would have to wait or go on, the read fails instead.
**
**   the database is a file to SQLite,    its pages come from a server, and change
**     in EXCLUSIVE mode                  there; a memory database has no pager
**   it is taken and given back           workers run fetches, writes and commits
**   a statement knows whether it is      closing one is safe at any time
**     open
**   its schema's generation is compared  columns are those of the schema now
**   unacknowledged commits are looked    I5: no row is seen before it is durable
**     for
**   a progress handler, and its clock    a long read does not keep the event loop,
**     set back                           and close() and abort() end one
**   a miss is told from other errors     the read is run again where it may wait
**   parameters of any type               docs/api.md, "Values"
**   columns of any type and length       "
**   errors of step and reset             each fails with its own reason
**   statements, rows, time of use        metrics, and the budget of all caches
**
** Numbers cross in memory that JavaScript has as an ArrayBuffer, both ways:
** doubles, and behind them a byte each that tells what they are. That spares
** calls into N-API, each of which costs as much as packing a column or more.
** There are two a read: what is the statement, and here is the text.
*/
#include <math.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "read-floor.h"

#define SAFE_INTEGER 9007199254740991ll
#define MOST_VALUES  16
#define BUDGET_NS    2000000 /* of a read on JavaScript's thread */

/* What a double stands for. A parameter that does not fit into one is OTHER. */
enum { T_NULL, T_INT, T_REAL, T_TEXT, T_BLOB, T_BIGINT, T_OTHER };

enum { FREE, OWNED, AWAITED };

static struct {
  atomic_int owner;
  atomic_int pending;   /* commits that are not durable yet */
  atomic_int cancelled; /* what runs shall end */
  atomic_int used;      /* since whoever looks after the caches looked last */
  int missed;           /* a page was not here */
  int64_t until_ns;
  int64_t statements, rows;
  int generation;    /* of the schema */
  char *text, *blob; /* of the row, one after the other */
  size_t n_text, n_blob, cap_text, cap_blob;
  int wide; /* text is UTF-16: something in it is not ASCII */
} db;

typedef struct statement {
  sqlite3_stmt *st; /* NULL once it is closed */
  int generation, n_params, n_columns;
  double *cells;
  uint8_t *types;
} statement;

/* Most reads end before it is called once, so their time counts from there. */
static int on_progress(void *ctx) {
  struct timespec ts;
  int64_t now;
  (void)ctx;
  if (atomic_load(&db.owner) == FREE) return 0; /* exec(), which prepares the benchmark */
  clock_gettime(CLOCK_MONOTONIC, &ts);
  now = ts.tv_sec * 1000000000ll + ts.tv_nsec;
  if (!db.until_ns) db.until_ns = now + BUDGET_NS;
  return atomic_load(&db.cancelled) || now > db.until_ns;
}

/* Room for n bytes more behind the first `used`; 0 if there is no memory. */
static int reserve(char **buffer, size_t *capacity, size_t used, size_t n) {
  char *grown;
  if (n <= *capacity - used) return 1;
  grown = realloc(*buffer, 2 * (used + n));
  if (!grown) return 0;
  *buffer = grown;
  *capacity = 2 * (used + n);
  return 1;
}

static int is_ascii(const unsigned char *s, size_t n) {
  uint64_t any = 0, word;
  for (; n >= 8; s += 8, n -= 8) {
    memcpy(&word, s, 8);
    any |= word;
  }
  for (; n > 0; s++, n--) any |= *s;
  return (any & 0x8080808080808080ull) == 0;
}

/* Appends text as UTF-16, and makes what is there already so. SQLite converts. */
static int pack_wide(sqlite3_value *value, double *units) {
  const void *from = sqlite3_value_text16(value);
  size_t i, n = (size_t)sqlite3_value_bytes16(value) / 2;
  if (!from || !reserve(&db.text, &db.cap_text, 2 * db.n_text, 2 * n + db.n_text)) return 0;
  if (!db.wide) {
    for (i = db.n_text; i-- > 0;) ((uint16_t *)db.text)[i] = (unsigned char)db.text[i];
  }
  db.wide = 1;
  memcpy(db.text + 2 * db.n_text, from, 2 * n);
  db.n_text += n;
  *units = (double)n;
  return 1;
}

static int pack_text(sqlite3_value *value, double *units) {
  const unsigned char *from = sqlite3_value_text(value);
  size_t n = (size_t)sqlite3_value_bytes(value);
  if (!from) return 0;
  if (db.wide || !is_ascii(from, n)) return pack_wide(value, units);
  if (!reserve(&db.text, &db.cap_text, db.n_text, n)) return 0;
  memcpy(db.text + db.n_text, from, n);
  db.n_text += n;
  *units = (double)n;
  return 1;
}

static int pack_blob(sqlite3_value *value, double *length) {
  const void *from = sqlite3_value_blob(value);
  size_t n = (size_t)sqlite3_value_bytes(value);
  *length = (double)n;
  if (n == 0) return 1;
  if (!from || !reserve(&db.blob, &db.cap_blob, db.n_blob, n)) return 0;
  memcpy(db.blob + db.n_blob, from, n);
  db.n_blob += n;
  return 1;
}

/* Any value of any length comes back as what it was; 0 if there is no memory. */
static int pack_row(statement *s) {
  int i;
  db.n_text = db.n_blob = 0;
  db.wide = 0;
  for (i = 0; i < s->n_columns; i++) {
    sqlite3_value *value = sqlite3_column_value(s->st, i);
    int64_t n;
    switch (sqlite3_value_type(value)) {
      case SQLITE_INTEGER:
        n = sqlite3_value_int64(value);
        if (n >= -SAFE_INTEGER && n <= SAFE_INTEGER) {
          s->types[i] = T_INT;
          s->cells[i] = (double)n;
        } else {
          s->types[i] = T_BIGINT;
          memcpy(&s->cells[i], &n, sizeof(n));
        }
        break;
      case SQLITE_FLOAT:
        s->types[i] = T_REAL;
        s->cells[i] = sqlite3_value_double(value);
        break;
      case SQLITE_TEXT:
        s->types[i] = T_TEXT;
        if (!pack_text(value, &s->cells[i])) return 0;
        break;
      case SQLITE_BLOB:
        s->types[i] = T_BLOB;
        if (!pack_blob(value, &s->cells[i])) return 0;
        break;
      default:
        s->types[i] = T_NULL;
    }
  }
  return 1;
}

/* A parameter that no double holds: why it cannot be bound, or NULL. */
static const char *bind_other(napi_env env, sqlite3_stmt *st, int at, napi_value value) {
  napi_valuetype type;
  napi_typedarray_type kind;
  size_t n;
  napi_typeof(env, value, &type);
  if (type == napi_bigint) {
    int64_t i;
    bool exact;
    napi_get_value_bigint_int64(env, value, &i, &exact);
    if (!exact) return "a bigint of more than 64 bits";
    sqlite3_bind_int64(st, at, i);
  } else if (type == napi_string) {
    char *text;
    napi_get_value_string_utf8(env, value, NULL, 0, &n);
    text = malloc(n + 1);
    if (!text) return "out of memory";
    napi_get_value_string_utf8(env, value, text, n + 1, &n);
    if (sqlite3_bind_text64(st, at, text, n, free, SQLITE_UTF8) != SQLITE_OK) return "too long";
  } else {
    void *data;
    if (napi_get_typedarray_info(env, value, &kind, &n, &data, NULL, NULL) != napi_ok ||
        kind != napi_uint8_array)
      return "not a value that SQLite has";
    if (sqlite3_bind_blob64(st, at, n ? data : "", n, SQLITE_TRANSIENT) != SQLITE_OK)
      return "too long";
  }
  return NULL;
}

/* Any value can be a parameter, and a number keeps its kind. */
static const char *bind(napi_env env, napi_callback_info info, statement *s) {
  int i;
  for (i = 0; i < s->n_params; i++) {
    double d = s->cells[i];
    if (s->types[i] == T_REAL) {
      if (d >= -SAFE_INTEGER && d <= SAFE_INTEGER && (double)(int64_t)d == d &&
          !(d == 0 && signbit(d)))
        sqlite3_bind_int64(s->st, i + 1, (int64_t)d);
      else if (isnan(d)) return "NaN";
      else sqlite3_bind_double(s->st, i + 1, d);
    } else if (s->types[i] == T_NULL) {
      sqlite3_bind_null(s->st, i + 1);
    } else {
      size_t argc = MOST_VALUES;
      napi_value argv[MOST_VALUES];
      const char *why;
      napi_get_cb_info(env, info, &argc, argv, NULL, NULL);
      why = bind_other(env, s->st, i + 1, argv[i]);
      if (why) return why;
    }
  }
  return NULL;
}

/* The text of the row, or [text, blobs] if it has blobs. */
static napi_value texts(napi_env env) {
  napi_value text, blob, both;
  napi_status status = db.wide ? napi_create_string_utf16(env, (void *)db.text, db.n_text, &text)
                               : napi_create_string_latin1(env, db.text, db.n_text, &text);
  void *data;
  if (status != napi_ok) return read_fail(env, "the text is too long for a string");
  if (db.n_blob == 0) return text;
  napi_create_arraybuffer(env, db.n_blob, &data, &blob);
  memcpy(data, db.blob, db.n_blob);
  napi_create_array_with_length(env, 2, &both);
  napi_set_element(env, both, 0, text);
  napi_set_element(env, both, 1, blob);
  return both;
}

/* One row while the database is ours: why there can be none, or NULL. */
static const char *read_row(napi_env env, napi_callback_info info, statement *s, int *rc) {
  const char *why;
  if (atomic_load_explicit(&db.pending, memory_order_relaxed)) return "waits for a commit";
  db.until_ns = 0;
  db.missed = 0;
  db.statements++;
  why = bind(env, info, s);
  if (why) return why;
  *rc = sqlite3_step(s->st);
  if (*rc == SQLITE_ROW) {
    db.rows++;
    if (!pack_row(s)) *rc = SQLITE_NOMEM;
  }
  if (*rc != SQLITE_ROW && *rc != SQLITE_DONE)
    why = db.missed ? "waits for a page" : sqlite3_errmsg(read_db);
  if (sqlite3_reset(s->st) != SQLITE_OK && !why) why = sqlite3_errmsg(read_db);
  return why;
}

/* The function of a statement -> its text (see texts()), undefined for no row,
** false if it must be prepared anew. Parameters are in its memory; those that
** are T_OTHER there are arguments. */
static napi_value js_get(napi_env env, napi_callback_info info) {
  statement *s;
  const char *why;
  int rc = SQLITE_DONE;
  napi_value out = NULL;
  napi_get_cb_info(env, info, NULL, NULL, NULL, (void **)&s);
  if (!s->st) return read_fail(env, "the statement is closed");
  if (s->generation != db.generation) {
    napi_get_boolean(env, 0, &out);
    return out;
  }
  if (atomic_exchange_explicit(&db.owner, OWNED, memory_order_acquire) != FREE)
    return read_fail(env, "waits for a worker");
  why = read_row(env, info, s, &rc);
  if (why) out = read_fail(env, why);
  else if (rc == SQLITE_ROW) out = texts(env);
  atomic_store_explicit(&db.used, 1, memory_order_relaxed);
  if (atomic_exchange_explicit(&db.owner, FREE, memory_order_release) == AWAITED)
    return read_fail(env, "must wake a worker");
  return out;
}

static void finalize(napi_env env, void *data, void *hint) {
  statement *s = data;
  (void)env;
  (void)hint;
  sqlite3_finalize(s->st);
  free(s);
}

/* promisePrepare(sql) -> [function, memory, room, parameters, name of a column, ...],
** where room is how many doubles the memory has */
static napi_value js_prepare(napi_env env, napi_callback_info info) {
  char sql[1000];
  size_t argc = 1;
  napi_value argv[1], out, part;
  statement *s = calloc(1, sizeof(*s));
  void *data;
  int i, room;
  napi_get_cb_info(env, info, &argc, argv, NULL, NULL);
  napi_get_value_string_utf8(env, argv[0], sql, sizeof(sql), NULL);
  if (sqlite3_prepare_v3(read_db, sql, -1, SQLITE_PREPARE_PERSISTENT, &s->st, NULL) != SQLITE_OK ||
      sqlite3_bind_parameter_count(s->st) > MOST_VALUES) {
    finalize(env, s, NULL);
    return read_fail(env, "the SQL is wrong, or has too many parameters for this");
  }
  s->generation = db.generation;
  s->n_params = sqlite3_bind_parameter_count(s->st);
  s->n_columns = sqlite3_column_count(s->st);
  room = s->n_params > s->n_columns ? s->n_params : s->n_columns;
  napi_create_array(env, &out);
  napi_create_function(env, "get", NAPI_AUTO_LENGTH, js_get, s, &part);
  napi_add_finalizer(env, part, s, finalize, NULL, NULL);
  napi_set_element(env, out, 0, part);
  napi_create_arraybuffer(env, 2 * sizeof(double) * (size_t)room, &data, &part);
  s->cells = data;
  s->types = (uint8_t *)(s->cells + room);
  napi_set_element(env, out, 1, part);
  napi_create_int32(env, room, &part);
  napi_set_element(env, out, 2, part);
  napi_create_int32(env, s->n_params, &part);
  napi_set_element(env, out, 3, part);
  for (i = 0; i < s->n_columns; i++) {
    napi_create_string_utf8(env, sqlite3_column_name(s->st, i), NAPI_AUTO_LENGTH, &part);
    napi_set_element(env, out, 4 + (uint32_t)i, part);
  }
  return out;
}

/* promiseOpen(): a file in SQLite's own VFS in memory, with the settings of
** internal/sqlite/db.c. */
static napi_value js_open(napi_env env, napi_callback_info info) {
  const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
  (void)info;
  if (sqlite3_open_v2("bench", &read_db, flags, "memdb") != SQLITE_OK ||
      sqlite3_exec(read_db,
                   "PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=MEMORY;"
                   "PRAGMA synchronous=NORMAL; PRAGMA cache_spill=OFF; PRAGMA cache_size=-16384",
                   0, 0, 0) != SQLITE_OK)
    return read_fail(env, sqlite3_errmsg(read_db));
  sqlite3_extended_result_codes(read_db, 1);
  sqlite3_progress_handler(read_db, 1000, on_progress, NULL);
  return NULL;
}

/* promiseHold(): a read transaction that stays open, so that a read need not begin
** and end its own. Nobody else writes the file. A statement that is not a read
** would have to let go of it before, and to take it again. */
static napi_value js_hold(napi_env env, napi_callback_info info) {
  static sqlite3_stmt *held;
  (void)info;
  if (sqlite3_prepare_v2(read_db, "SELECT 1 FROM sqlite_schema", -1, &held, NULL) != SQLITE_OK ||
      sqlite3_step(held) != SQLITE_ROW)
    return read_fail(env, "nothing to hold");
  return NULL;
}

/* promiseChanged(): the schema may be another one */
static napi_value js_changed(napi_env env, napi_callback_info info) {
  (void)env;
  (void)info;
  db.generation++;
  return NULL;
}

void read_promises(napi_env env, napi_value exports) {
  const napi_property_descriptor functions[] = {
      {"promiseOpen", NULL, js_open, NULL, NULL, NULL, napi_enumerable, NULL},
      {"promiseHold", NULL, js_hold, NULL, NULL, NULL, napi_enumerable, NULL},
      {"promisePrepare", NULL, js_prepare, NULL, NULL, NULL, napi_enumerable, NULL},
      {"promiseChanged", NULL, js_changed, NULL, NULL, NULL, napi_enumerable, NULL},
  };
  napi_define_properties(env, exports, sizeof(functions) / sizeof(functions[0]), functions);
}
