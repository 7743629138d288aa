/*
** What an operation runs, and the real cause when it fails. The thread that
** runs one owns the database (busy is set); the order is queue.c's matter.
*/
#include <stdio.h>
#include "internal.h"

#define STEP_BYTES     (256 * 1024)   /* text and blobs after which a step ends */
#define MAX_TEXT_UNITS 0x1FFFFFE8 /* longest JavaScript string */

/* Whether the guard's refusal is behind a result code. SQLite answers that of a
** function with SQLITE_ERROR. */
static int was_denied(const pw_db *db, int rc) {
  if (!db->denied[0]) return 0;
  return (rc & 0xFF) == SQLITE_AUTH ||
         (rc == SQLITE_ERROR &&
          strncmp(sqlite3_errmsg(db->conn), "not authorized to use function", 30) == 0);
}

/* Fails the operation with the real cause of an SQLite result code. */
static void fail_with(pw_op *op, int rc) {
  pw_db *db = op->db;
  pw_job *job = pw_job_of(op);
  int offset = sqlite3_error_offset(db->conn);

  if (op->failed) return;
  if (rc == SQLITE_NOMEM) {
    pw_op_fail(op, "out_of_memory", rc, "out of memory");
  } else if (atomic_load(&db->cancelled) && job->cancel[0]) {
    pw_op_fail(op, job->cancel, SQLITE_INTERRUPT, "the operation %s while it ran",
               pw_how_ended(job->cancel));
  } else if (db->io_error.sqlite) {
    op->failed = 1;
    pw_error_copy(&op->error, &db->io_error);
  } else if (was_denied(db, rc)) {
    pw_op_fail(op, "not_allowed", rc, "%s", db->denied);
  } else if ((rc & 0xFF) == SQLITE_INTERRUPT && db->until_ns) {
    pw_op_fail(op, "timeout", rc, "the statement did not finish within %lld ms",
               (long long)op->timeout_ms);
  } else {
    pw_op_fail(op, "", rc, "%s", sqlite3_errmsg(db->conn));
    op->error.offset = offset;
  }
}

static void fail_prepare(pw_op *op, const pw_stmt *stmt, int rc) {
  if (rc != SQLITE_MISUSE) {
    fail_with(op, rc);
  } else if (stmt->has_nul) {
    pw_op_fail(op, "nul_in_sql", 0, "the SQL text contains a NUL character; bind it as a value");
  } else if (sqlite3_errcode(op->db->conn) == SQLITE_OK &&
             stmt->n == strspn(stmt->sql, " \t\r\n;")) {
    pw_op_fail(op, "empty_statement", 0, "the SQL text holds no statement");
  } else {
    pw_op_fail(op, "multiple_statements", 0,
               "the SQL text is not exactly one statement; run several with exec() or batch()");
  }
}

static int prepare(pw_op *op, pw_item *item) {
  int rc = pw_stmt_prepare(item->stmt);
  if (rc != SQLITE_OK) fail_prepare(op, item->stmt, rc);
  else if (op->need_epoch && !op->db->inline_mode) pw_inline_note_write(op->db, item->stmt);
  return rc;
}

static int bind(pw_op *op, pw_item *item) {
  int rc;
  if (sqlite3_stmt_busy(item->stmt->st)) sqlite3_reset(item->stmt->st);
  rc = pw_stmt_bind(item->stmt, item->params, item->nparam, &op->error);
  if (rc != SQLITE_OK) {
    if (op->error.message) op->failed = 1;
    else fail_with(op, rc);
  }
  return rc;
}

int pw_step(pw_db *db, sqlite3_stmt *st) {
  int rc;
  db->stepping++;
  rc = sqlite3_step(st);
  db->stepping--;
  return rc;
}

/* Steps a bound statement. Keeps at most max_rows rows, 0 for all, and stops
** there if the statement only reads: what writes runs to its end. */
static int step_rows(pw_op *op, pw_item *item, uint32_t max_rows, int may_stop) {
  sqlite3_stmt *st = item->stmt->st;
  int described = 0, rc;

  for (;;) {
    rc = pw_step(op->db, st);
    if (!described && (rc == SQLITE_ROW || rc == SQLITE_DONE)) {
      pw_stmt_describe(item->stmt, item);
      described = 1;
    }
    if (rc != SQLITE_ROW && rc != SQLITE_DONE) pw_stmt_note_reprepare(item->stmt);
    if (rc != SQLITE_ROW) break;
    if (max_rows == 0 || item->rows.nrow < max_rows) {
      if ((rc = pw_pack_row(&item->rows, st, item->ncol)) != SQLITE_OK) break;
      if (item->rows.n_text > MAX_TEXT_UNITS) {
        pw_op_fail(op, "result_too_large", 0,
                   "the text of the result is longer than a JavaScript string can be; "
                   "read it in parts with iterate()");
        rc = SQLITE_TOOBIG;
        break;
      }
    }
    if (max_rows && item->rows.nrow >= max_rows && may_stop) break;
    if (op->kind == PW_STEP && item->rows.n_text + item->rows.n_blob > STEP_BYTES) break;
  }
  op->db->metrics.rows += item->rows.nrow;
  return rc == SQLITE_OK ? SQLITE_ROW : rc;
}

/* SQLite keeps some errors of the VFS to itself: integrity_check makes rows of
** them, and says that the database is damaged when a page could not be fetched.
** What only reads fails then. */
static void fail_unread(pw_op *op, const pw_stmt *stmt) {
  if (op->db->unread && stmt->readonly) fail_with(op, SQLITE_IOERR_READ);
}

/* Runs one prepared statement to its end. */
static int run_item(pw_op *op, pw_item *item, uint32_t max_rows) {
  pw_db *db = op->db;
  sqlite3_stmt *st = item->stmt->st;
  int64_t before = sqlite3_total_changes64(db->conn);
  int rc = bind(op, item), reset;

  if (rc != SQLITE_OK) return rc;
  db->metrics.statements++;
  rc = step_rows(op, item, max_rows, item->stmt->readonly);
  if (rc != SQLITE_ROW && rc != SQLITE_DONE) fail_with(op, rc);
  reset = sqlite3_reset(st);
  if (rc == SQLITE_ROW && reset != SQLITE_OK) fail_with(op, reset);
  fail_unread(op, item->stmt);
  if (op->failed) return SQLITE_ERROR;
  item->changes = sqlite3_total_changes64(db->conn) == before ? 0 : sqlite3_changes64(db->conn);
  item->last_rowid = sqlite3_last_insert_rowid(db->conn);
  if (sqlite3_get_autocommit(db->conn)) pw_commit_discard(db);
  return SQLITE_OK;
}

static void run_script(pw_op *op) {
  pw_db *db = op->db;
  pw_stmt *script = op->items[0].stmt;
  const char *at = script->sql, *tail;
  int64_t before = sqlite3_total_changes64(db->conn);

  if (script->has_nul) {
    fail_prepare(op, script, SQLITE_MISUSE);
    return;
  }
  if (op->need_epoch) pw_inline_note_write(db, 0);
  while (*at && !op->failed) {
    sqlite3_stmt *st = 0;
    int rc, end;
    db->compiled = 1;
    rc = sqlite3_prepare_v2(db->conn, at, -1, &st, &tail);
    if (rc == SQLITE_OK && st) {
      db->metrics.statements++;
      do {
        rc = pw_step(db, st);
      } while (rc == SQLITE_ROW);
      if (rc == SQLITE_DONE) rc = SQLITE_OK;
      if (rc != SQLITE_OK) fail_with(op, rc);
      end = sqlite3_finalize(st);
      if (rc == SQLITE_OK && end != SQLITE_OK) fail_with(op, end);
    } else if (rc != SQLITE_OK) {
      fail_with(op, rc);
    }
    if (op->failed && op->error.offset >= 0) op->error.offset += (int)(at - script->sql);
    if (sqlite3_get_autocommit(db->conn)) pw_commit_discard(db);
    at = tail;
  }
  op->items[0].changes = sqlite3_total_changes64(db->conn) - before;
  op->items[0].last_rowid = sqlite3_last_insert_rowid(db->conn);
}

static int trusted_exec(pw_op *op, const char *sql) {
  pw_db *db = op->db;
  int rc;
  db->trusted++;
  rc = sqlite3_exec(db->conn, sql, 0, 0, 0);
  db->trusted--;
  if (rc != SQLITE_OK) fail_with(op, rc);
  return rc;
}

/* Transaction control has no columns and reads only; in a batch it would break
** the batch's own transaction. */
static int is_transaction_control(sqlite3_stmt *st) {
  return sqlite3_stmt_readonly(st) && sqlite3_column_count(st) == 0;
}

static void run_batch(pw_op *op) {
  pw_db *db = op->db;
  int nested = !sqlite3_get_autocommit(db->conn), rc;
  uint32_t i, given = 0;

  if (trusted_exec(op, nested ? "SAVEPOINT pagewire_batch" : "BEGIN IMMEDIATE")) return;
  for (i = 0; i < op->nitem && !op->failed; i++) {
    pw_item *item = &op->items[i];
    if (i == given && (rc = pw_feed_wait(op, &given)) != SQLITE_OK) {
      if (rc == SQLITE_ABORT) pw_op_fail(op, "aborted", 0, "the rest of the batch never came");
      else fail_with(op, rc);
      break;
    }
    if (prepare(op, item) != SQLITE_OK) break;
    if (is_transaction_control(item->stmt->st)) {
      pw_op_fail(op, "not_allowed", 0,
                 "transaction control is not available in a batch, "
                 "which is a transaction of its own");
      break;
    }
    if (run_item(op, item, 0) != SQLITE_OK) break;
  }
  if (!op->failed) trusted_exec(op, nested ? "RELEASE pagewire_batch" : "COMMIT");
  if (op->failed && i < op->nitem && op->error.message) {
    char *message = sqlite3_mprintf("batch statement %u: %s", i + 1, op->error.message);
    sqlite3_free(op->error.message);
    op->error.message = message;
  }
  if (op->failed && !sqlite3_get_autocommit(db->conn)) {
    db->trusted++;
    sqlite3_exec(db->conn,
                 nested ? "ROLLBACK TO pagewire_batch; RELEASE pagewire_batch" : "ROLLBACK", 0, 0,
                 0);
    db->trusted--;
  }
}

/* The next rows of a cursor; its statement stays where it stands. */
static void run_cursor(pw_op *op) {
  pw_item *item = &op->items[0];
  pw_stmt *stmt = item->stmt;
  int rc;

  if (stmt->cursor < 0) {
    stmt->cursor = 0;
    pw_op_fail(op, "cursor_lost", 0,
               "the database was reloaded while the rows were being read, "
               "because a commit had failed");
    return;
  }
  if (!stmt->cursor) {
    if (prepare(op, item) != SQLITE_OK) return;
    stmt->cursor = 1;
    if (bind(op, item) != SQLITE_OK) {
      stmt->cursor = 0;
      return;
    }
    op->db->metrics.statements++;
  }
  rc = step_rows(op, item, op->max_rows ? op->max_rows : 1000, 1);
  fail_unread(op, stmt);
  op->more = rc == SQLITE_ROW && !op->failed;
  if (op->more) return;
  if (rc != SQLITE_DONE) fail_with(op, rc);
  stmt->cursor = 0;
  sqlite3_reset(stmt->st);
}

static void run_kind(pw_op *op) {
  switch (op->kind) {
    case PW_EXEC:
      run_script(op);
      break;
    case PW_BATCH:
      run_batch(op);
      break;
    case PW_STEP:
      run_cursor(op);
      break;
    default:
      if (prepare(op, op->items) != SQLITE_OK) break;
      if (op->db->may_hold == PW_IN_CROWD) pw_inline_classify(op->items[0].stmt);
      run_item(op, op->items, op->kind == PW_GET ? 1 : 0);
  }
}

/* Reload after a failed commit, and refuse what belonged to a transaction that
** went with it. */
static void recover(pw_op *op) {
  pw_db *db = op->db;
  pw_stmt *stmt;
  pw_error why = {.offset = -1};
  int in_transaction = !sqlite3_get_autocommit(db->conn);
  int failed, lost;

  pw_lock(db);
  failed = db->failed;
  lost = db->lost;
  if (failed || lost) pw_error_copy(&why, lost ? &db->loss : &db->failure);
  pthread_mutex_unlock(&db->mu);
  if (lost) {
    op->failed = 1;
    op->error = why;
    return;
  }
  if (failed) {
    for (stmt = db->stmts; stmt; stmt = stmt->next) {
      if (stmt->cursor > 0) stmt->cursor = -1;
    }
    if (pw_commit_reload(db, &op->error)) {
      op->failed = 1;
    } else if (in_transaction) {
      pw_op_fail(op, "transaction_lost", 0,
                 "the open transaction was rolled back, because an "
                 "earlier commit failed: %s",
                 why.message);
    }
  }
  if (!op->failed && op->need_epoch && op->need_epoch != db->epoch) {
    pw_op_fail(op, "transaction_lost", 0,
               "the transaction was rolled back, because an earlier commit failed");
  } else if (!op->failed && op->need_epoch && sqlite3_get_autocommit(db->conn)) {
    pw_op_fail(op, "transaction_lost", 0,
               "the transaction has ended already: an error in it rolled it back, or one of its "
               "own statements ended it");
  }
  pw_error_clear(&why);
}

/* Looking at the clock twice costs a tenth of a point read. So of what runs on
** the calling thread, one operation stands for SAMPLE when it has been many. */
#define SAMPLE 64

/* An operation of a kind begins: when, or 0 if it is not timed. What earlier ones have
** left to tell is forgotten. */
int64_t pw_run_begin(pw_db *db, int kind) {
  int sampled = db->inline_mode && db->metrics.op[kind].count >= SAMPLE;
  int64_t began = sampled && db->untimed[kind] < SAMPLE - 1 ? 0 : pw_now_ns();

  if (began) atomic_store_explicit(&db->used, began, memory_order_relaxed);
  db->denied[0] = 0;
  if (db->io_error.sqlite) pw_error_clear(&db->io_error);
  db->missed = db->unread = 0;
  return began;
}

/* It has ended. Returns the nanoseconds that it took, 0 if it was not timed. */
uint64_t pw_run_end(pw_db *db, int kind, int64_t began) {
  pw_duration *duration = &db->metrics.op[kind];
  uint64_t ns, times = 1;

  duration->count++;
  if (!began) {
    db->untimed[kind]++;
    return 0;
  }
  ns = (uint64_t)(pw_now_ns() - began);
  if (db->inline_mode) {
    times += db->untimed[kind];
    db->untimed[kind] = 0;
  }
  duration->total_ns += ns * times;
  if (ns > duration->max_ns) duration->max_ns = ns;
  return ns;
}

static void measure(pw_op *op, int64_t began) {
  uint64_t ns = pw_run_end(op->db, op->kind, began);

  if (op->failed) op->db->metrics.errors++;
  if (!op->db->inline_mode && ns <= PW_INLINE_BUDGET_NS && op->nitem) {
    op->items[0].stmt->lengthy = 0;
  }
}

/* SQLite takes a schema for loaded even if it could not read the statistics of
** ANALYZE, and then plans without them. After a read that failed while it may
** have been loading them, it shall load the schema again. It loads one while it
** compiles, and asks no authorizer about that. */
void pw_note_suspect_schema(pw_db *db) {
  int cut = db->missed || db->interrupted || db->io_error.sqlite;
  if (db->compiled && cut) db->suspect = 1;
  db->compiled = 0;
}

static void reset_suspect_schema(pw_db *db) {
  pw_stmt *stmt;
  if (!db->suspect) return;
  for (stmt = db->stmts; stmt; stmt = stmt->next) {
    if (stmt->cursor) return; /* not under a running statement */
  }
  db->suspect = 0;
  db->trusted++;
  sqlite3_exec(db->conn, "PRAGMA writable_schema=RESET", 0, 0, 0);
  db->trusted--;
}

/* Runs the operation on this thread, which owns the database. */
void pw_op_run(pw_op *op) {
  pw_db *db = op->db;
  int64_t began = pw_run_begin(db, op->kind);

  if (!db->inline_mode) {
    pw_point_let_go(db);
    db->until_ns = pw_job_of(op)->until_ns;
    pw_stmt_collect(db);
    db->compiled = 0;
    db->interrupted = 0;
    recover(op);
    reset_suspect_schema(db);
  }
  if (!op->failed) {
    if (pw_job_of(op)->reset_only) {
      if (op->items[0].stmt->st) sqlite3_reset(op->items[0].stmt->st);
      op->items[0].stmt->cursor = 0;
    } else {
      run_kind(op);
    }
  }
  op->autocommit = sqlite3_get_autocommit(db->conn);
  op->epoch = db->epoch;
  db->until_ns = 0;
  if (op->autocommit) {
    pw_commit_discard(db);
    db->has_virtual = db->resident = 0;
  } else if (pw_job_of(op)->was_autocommit && op->kind != PW_EXEC) {
    pw_resident_begin(db); /* a statement that begins a transaction does nothing else */
  }
  pw_note_suspect_schema(db);
  if (!db->missed) measure(op, began);
}
