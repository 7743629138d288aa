/*
** A durable commit with the hops of Pagewire's and nothing else of it, both ends
** in Go (echo-go/): JavaScript hands INSERTs to a worker thread, which runs them
** on SQLite in memory and enters Go, which writes pages to the server; a
** goroutine of the client reads the answer and wakes JavaScript. Without rows
** the worker enters Go at once. In line, JavaScript's own thread does
** what the worker does. No checksums, nothing that tells actors apart, orders
** commits or finds one again; core, what Pagewire is made of (WebSocket, CBOR,
** Pebble), else bytes on a socket and in a file.
*/
#include <node_api.h>
#include <pthread.h>
#include <sqlite3-binding.h>
#include <string.h>

/* echo-go/client */
extern int echoConnect(int port, int core, void (*answered)(void *), void *ctx);
extern int echoSend(int pages);
extern void echoClose(void);

/* What is under way: INSERTs of data.mjs, in a transaction if there are many,
** and how many pages they change. */
static struct {
  int pages, rows;
  char text[1 << 20];    /* of each row key and value, one behind the other */
  const double *numbers; /* of each row the lengths of key and value, num, created_at */
} request;

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int handed; /* to the worker */
static sqlite3 *db;
static sqlite3_stmt *insert;

static napi_value fail(napi_env env, const char *what) {
  napi_throw_error(env, NULL, what);
  return NULL;
}

static int insert_rows(void) {
  const char *text = request.text;
  const double *n = request.numbers;
  int i;
  for (i = 0; i < request.rows; i++, n += 4) {
    sqlite3_bind_text64(insert, 1, text, n[0], SQLITE_STATIC, SQLITE_UTF8);
    text += (size_t)n[0];
    sqlite3_bind_text64(insert, 2, text, n[1], SQLITE_STATIC, SQLITE_UTF8);
    text += (size_t)n[1];
    sqlite3_bind_double(insert, 3, n[2]);
    sqlite3_bind_int64(insert, 4, n[3]);
    sqlite3_step(insert);
    if (sqlite3_reset(insert) != SQLITE_OK) return 0;
  }
  return 1;
}

static int run(const char *sql) {
  return sqlite3_exec(db, sql, 0, 0, 0) == SQLITE_OK;
}

/* What fails closes the connection, so that the run does not end. */
static void commit(void) {
  int many = request.rows > 1;
  if ((many && !run("BEGIN")) || !insert_rows() || (many && !run("COMMIT")) ||
      !echoSend(request.pages))
    echoClose();
}

static void *work(void *arg) {
  (void)arg;
  for (;;) {
    pthread_mutex_lock(&mutex);
    while (!handed) pthread_cond_wait(&changed, &mutex);
    handed = 0;
    pthread_mutex_unlock(&mutex);
    commit();
  }
  return NULL;
}

static void hand_over(void) {
  pthread_mutex_lock(&mutex);
  handed = 1;
  pthread_cond_signal(&changed);
  pthread_mutex_unlock(&mutex);
}

/* On a thread of Go's. */
static void on_answer(void *ctx) {
  napi_call_threadsafe_function(ctx, NULL, napi_tsfn_blocking);
}

/* connect(port, core, answered) */
static napi_value js_connect(napi_env env, napi_callback_info info) {
  size_t argc = 3;
  napi_value argv[3], name;
  bool core = false;
  napi_threadsafe_function answered;
  static pthread_t worker;
  int32_t port;
  napi_get_cb_info(env, info, &argc, argv, NULL, NULL);
  napi_get_value_int32(env, argv[0], &port);
  napi_get_value_bool(env, argv[1], &core);
  napi_create_string_utf8(env, "answered", NAPI_AUTO_LENGTH, &name);
  napi_create_threadsafe_function(env, argv[2], NULL, name, 0, 1, NULL, NULL, NULL, NULL,
                                  &answered);
  if (!echoConnect(port, core, on_answer, answered)) return fail(env, "the connection");
  if (!worker && pthread_create(&worker, NULL, work, NULL) != 0) return fail(env, "the thread");
  return NULL;
}

/* send(inline, pages, rows, text, numbers): answered() is called when it is
** durable; until then numbers must live. */
static napi_value js_send(napi_env env, napi_callback_info info) {
  size_t argc = 5;
  napi_value argv[5];
  bool in_line = false;
  void *numbers = NULL;
  napi_get_cb_info(env, info, &argc, argv, NULL, NULL);
  napi_get_value_bool(env, argv[0], &in_line);
  napi_get_value_int32(env, argv[1], &request.pages);
  napi_get_value_int32(env, argv[2], &request.rows);
  napi_get_value_string_utf8(env, argv[3], request.text, sizeof(request.text), NULL);
  napi_get_typedarray_info(env, argv[4], NULL, NULL, &numbers, NULL, NULL);
  request.numbers = numbers;
  if (in_line) commit();
  else hand_over();
  return NULL;
}

/* close(): the connection and the database, while nothing is under way */
static napi_value js_close(napi_env env, napi_callback_info info) {
  (void)env;
  (void)info;
  echoClose();
  if (db) { /* not when only loading is measured: that would enter SQLite */
    sqlite3_finalize(insert);
    sqlite3_close(db);
    insert = NULL;
    db = NULL;
  }
  return NULL;
}

static const char *sql_of(napi_env env, napi_callback_info info) {
  static char sql[1 << 20];
  size_t argc = 1;
  napi_value argv[1];
  napi_get_cb_info(env, info, &argc, argv, NULL, NULL);
  napi_get_value_string_utf8(env, argv[0], sql, sizeof(sql), NULL);
  return sql;
}

/* exec(sql), while nothing is under way */
static napi_value js_exec(napi_env env, napi_callback_info info) {
  const char *sql = sql_of(env, info);
  if (!db) sqlite3_open_v2(":memory:", &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
  return run(sql) ? NULL : fail(env, sqlite3_errmsg(db));
}

/* prepare(sql): the statement that send() runs for each row */
static napi_value js_prepare(napi_env env, napi_callback_info info) {
  const char *sql = sql_of(env, info);
  if (sqlite3_prepare_v3(db, sql, -1, SQLITE_PREPARE_PERSISTENT, &insert, NULL) != SQLITE_OK)
    return fail(env, sqlite3_errmsg(db));
  return NULL;
}

/* numbers(sql) -> the first row, all of whose columns are numbers, while nothing is under way */
static napi_value js_numbers(napi_env env, napi_callback_info info) {
  sqlite3_stmt *st = NULL;
  napi_value out, number;
  int i;
  if (sqlite3_prepare_v2(db, sql_of(env, info), -1, &st, NULL) != SQLITE_OK ||
      sqlite3_step(st) != SQLITE_ROW)
    return fail(env, sqlite3_errmsg(db));
  napi_create_object(env, &out);
  for (i = 0; i < sqlite3_column_count(st); i++) {
    napi_create_double(env, sqlite3_column_double(st, i), &number);
    napi_set_named_property(env, out, sqlite3_column_name(st, i), number);
  }
  sqlite3_finalize(st);
  return out;
}

NAPI_MODULE_INIT() {
  const napi_property_descriptor functions[] = {
      {"connect", NULL, js_connect, NULL, NULL, NULL, napi_enumerable, NULL},
      {"send", NULL, js_send, NULL, NULL, NULL, napi_enumerable, NULL},
      {"close", NULL, js_close, NULL, NULL, NULL, napi_enumerable, NULL},
      {"exec", NULL, js_exec, NULL, NULL, NULL, napi_enumerable, NULL},
      {"prepare", NULL, js_prepare, NULL, NULL, NULL, napi_enumerable, NULL},
      {"numbers", NULL, js_numbers, NULL, NULL, NULL, napi_enumerable, NULL},
  };
  napi_define_properties(env, exports, sizeof(functions) / sizeof(functions[0]), functions);
  return exports;
}
