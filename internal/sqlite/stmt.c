/*
** Statements: SQL text that is prepared when it first runs, and stays prepared.
** The JavaScript side keeps a cache of them by text, so the hot path never
** looks at the text again.
*/
#include <stdarg.h>
#include <stdio.h>
#include "internal.h"

pw_stmt *pw_stmt_new(pw_db *db, const char *sql, size_t n) {
  pw_stmt *stmt = sqlite3_malloc64(sizeof(*stmt) + n + 1);

  if (!stmt) return 0;
  memset(stmt, 0, sizeof(*stmt));
  atomic_init(&stmt->refs, 1);
  pw_db_ref(db);
  stmt->db = db;
  stmt->sql = (char *)(stmt + 1);
  memcpy(stmt->sql, sql, n);
  stmt->sql[n] = 0;
  stmt->n = n;
  stmt->has_nul = memchr(sql, 0, n) != 0;
  return stmt;
}

pw_stmt *pw_stmt_ref(pw_stmt *stmt) {
  atomic_fetch_add(&stmt->refs, 1);
  return stmt;
}

/* Finalizes what SQLite holds; the owner of busy, or nobody else left. */
static void finalize(pw_stmt *stmt) {
  if (stmt->st) sqlite3_finalize(stmt->st);
  stmt->st = 0;
  stmt->cursor = 0;
  if (stmt->link) {
    *stmt->link = stmt->next;
    if (stmt->next) stmt->next->link = stmt->link;
    stmt->link = 0;
  }
}

/* Drops a reference. The last one may be dropped on any thread while another
** runs the database, so the statement waits as garbage for a quiet moment. */
void pw_stmt_free(pw_stmt *stmt) {
  pw_db *db;
  int now;

  if (!stmt || atomic_fetch_sub(&stmt->refs, 1) != 1) return;
  db = stmt->db;
  pw_lock(db);
  now = db->closed || !stmt->st || (!db->busy && !stmt->cursor);
  if (now) {
    finalize(stmt);
  } else {
    stmt->next_garbage = db->garbage;
    db->garbage = stmt;
  }
  pw_queue_unlock(db);
  if (now) sqlite3_free(stmt);
  if (now) pw_db_unref(db);
}

/* Frees the garbage. The caller owns busy, or closes the database. */
void pw_stmt_collect(pw_db *db) {
  pw_stmt *garbage;

  pw_lock(db);
  garbage = db->garbage;
  db->garbage = 0;
  pthread_mutex_unlock(&db->mu);
  while (garbage) {
    pw_stmt *stmt = garbage;
    garbage = stmt->next_garbage;
    finalize(stmt);
    sqlite3_free(stmt);
    pw_db_unref(db);
  }
}

/* Before the connection closes; the statements themselves live on, unprepared. */
void pw_stmt_finalize_all(pw_db *db) {
  while (db->stmts) finalize(db->stmts);
}

/* Prepares the statement if it is not. Returns an SQLite code, SQLITE_MISUSE
** for a text that is not exactly one statement. */
int pw_stmt_prepare(pw_stmt *stmt) {
  pw_db *db = stmt->db;
  const char *tail = stmt->sql;
  sqlite3_stmt *more = 0;
  int rc = SQLITE_OK;

  if (stmt->st) return SQLITE_OK;
  if (stmt->has_nul) return SQLITE_MISUSE;
  db->compiled = 1;
  while (!stmt->st && *tail && rc == SQLITE_OK) { /* skips leading comments */
    const char *from = tail;
    rc = sqlite3_prepare_v3(db->conn, from, -1, SQLITE_PREPARE_PERSISTENT, &stmt->st, &tail);
    if (tail == from) break;
  }
  if (rc != SQLITE_OK) return rc;
  if (!stmt->st) return SQLITE_MISUSE;
  while (*tail && rc == SQLITE_OK && !more) {
    const char *from = tail;
    rc = sqlite3_prepare_v3(db->conn, from, -1, 0, &more, &tail);
    if (tail == from) break;
  }
  if (more || rc != SQLITE_OK) {
    sqlite3_finalize(more);
    sqlite3_finalize(stmt->st);
    stmt->st = 0;
    /* A second statement that cannot be prepared may refer to the first. */
    return db->missed ? rc : SQLITE_MISUSE;
  }
  stmt->readonly = sqlite3_stmt_readonly(stmt->st) && sqlite3_column_count(stmt->st) > 0;
  stmt->shape++;
  stmt->writes = 0;
  stmt->reprepares = 0;
  stmt->next = db->stmts;
  stmt->link = &db->stmts;
  if (stmt->next) stmt->next->link = &stmt->next;
  db->stmts = stmt;
  return SQLITE_OK;
}

static int find_parameter(sqlite3_stmt *st, const pw_value *value) {
  static const char prefixes[] = ":$@";
  char name[256];
  int i, index = 0;

  if (value->n_name + 2 > sizeof(name)) return 0;
  memcpy(name + 1, value->name, value->n_name);
  name[value->n_name + 1] = 0;
  for (i = 0; !index && prefixes[i]; i++) {
    name[0] = prefixes[i];
    index = sqlite3_bind_parameter_index(st, name);
  }
  return index;
}

static int parameter_error(pw_error *error, const char *format, ...) {
  char message[400];
  va_list args;
  va_start(args, format);
  vsnprintf(message, sizeof(message), format, args);
  va_end(args);
  pw_error_set(error, "parameter", 0, message);
  return SQLITE_RANGE;
}

/* Text and blobs are kept by the caller (SQLITE_STATIC) until the run is done, or
** by SQLite, for a cursor that outlives the operation. */
static int bind_value(pw_stmt *stmt, int index, const pw_value *value, pw_error *error) {
  sqlite3_destructor_type keep = stmt->cursor ? SQLITE_TRANSIENT : SQLITE_STATIC;
  int rc;

  switch (value->type) {
    case PW_INT:
      return sqlite3_bind_int64(stmt->st, index, value->i);
    case PW_REAL:
      return sqlite3_bind_double(stmt->st, index, value->r);
    case PW_TEXT:
      rc = sqlite3_bind_text64(stmt->st, index, value->p, value->n, keep, SQLITE_UTF8);
      break;
    case PW_BLOB:
      rc = sqlite3_bind_blob64(stmt->st, index, value->p, value->n, keep);
      break;
    default:
      return sqlite3_bind_null(stmt->st, index);
  }
  if (rc == SQLITE_TOOBIG) {
    pw_error_set(error, "", SQLITE_TOOBIG, "a value is larger than SQLite's limit of 1 GB");
  }
  return rc;
}

static int bind_named(pw_stmt *stmt, const pw_value *params, uint32_t n, int want,
                      pw_error *error) {
  uint64_t seen[16] = {0};
  int rc, index;
  uint32_t i;

  if (want > 1024) {
    return parameter_error(error, "%d parameters are too many to bind by name, 1,024 can be", want);
  }
  for (i = 0; i < n; i++) {
    const pw_value *value = &params[i];
    index = find_parameter(stmt->st, value);
    if (index == 0) {
      return parameter_error(error, "the statement has no parameter named \"%.*s\"",
                             (int)value->n_name, value->name);
    }
    seen[(index - 1) / 64] |= 1ull << ((index - 1) % 64);
    if ((rc = bind_value(stmt, index, value, error)) != SQLITE_OK) return rc;
  }
  for (index = 1; index <= want; index++) {
    const char *name = sqlite3_bind_parameter_name(stmt->st, index);
    if (seen[(index - 1) / 64] >> ((index - 1) % 64) & 1) continue;
    return parameter_error(error, "parameter %s has no value", name ? name : "?");
  }
  return SQLITE_OK;
}

/* Binds all parameters; each must have a value and each value a parameter. The
** values belong to the caller, and outlive the statement's run. */
int pw_stmt_bind(pw_stmt *stmt, const pw_value *params, uint32_t n, pw_error *error) {
  int want = sqlite3_bind_parameter_count(stmt->st), rc;
  uint32_t i;

  if (n > 0 && params[0].name) return bind_named(stmt, params, n, want, error);
  if (n != (uint32_t)want) {
    return parameter_error(error, "the statement has %d parameter%s, %u value%s given", want,
                           want == 1 ? "" : "s", n, n == 1 ? " was" : "s were");
  }
  for (i = 0; i < n; i++) {
    if ((rc = bind_value(stmt, (int)i + 1, &params[i], error)) != SQLITE_OK) return rc;
  }
  return SQLITE_OK;
}

/* Notes that SQLite has prepared the statement again by itself, as it does when
** the schema has changed. */
void pw_stmt_note_reprepare(pw_stmt *stmt) {
  int reprepares = sqlite3_stmt_status(stmt->st, SQLITE_STMTSTATUS_REPREPARE, 0);

  if (reprepares == stmt->reprepares) return;
  stmt->reprepares = reprepares;
  stmt->writes = 0;
  stmt->shape++;
  stmt->db->compiled = 1;
}

/* Tells the caller the column names if it does not know them. */
void pw_stmt_describe(pw_stmt *stmt, pw_item *item) {
  int i, n = sqlite3_column_count(stmt->st);
  uint32_t known = item->shape;
  size_t bytes = 0;
  char *at;

  pw_stmt_note_reprepare(stmt);
  item->shape = stmt->shape;
  item->ncol = (uint32_t)n;
  if (n == 0 || known == stmt->shape) return;
  for (i = 0; i < n; i++) {
    const char *name = sqlite3_column_name(stmt->st, i);
    bytes += strlen(name ? name : "") + 1;
  }
  item->names = sqlite3_malloc64(bytes + 1);
  if (!item->names) return;
  for (i = 0, at = item->names; i < n; i++) {
    const char *name = sqlite3_column_name(stmt->st, i);
    size_t length = strlen(name ? name : "") + 1;
    memcpy(at, name ? name : "", length);
    at += length;
  }
  item->n_names = bytes;
}
