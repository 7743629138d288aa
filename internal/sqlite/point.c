/*
** Point reads: the first row of a statement that was run before, on the thread
** that asks, and nothing made for it but the row. Whatever is in the way (a page
** that is not here, a schema that has changed, an error of any kind) ends it
** without a trace, since it only reads. The same read as an operation then waits,
** is run again or tells what is wrong.
**
** After some in a row a read transaction stays open between them, so that each need
** not begin and end its own, a tenth of what it costs. Anything else on the
** connection begins with letting go of it.
*/
#include "internal.h"

#define IN_A_ROW 2 /* point reads, from where on a transaction is held */

/* Keeps a read transaction open: a statement that stands on a row does. */
static void hold(pw_db *db) {
  static const char sql[] = "SELECT 1 FROM sqlite_schema";
  int rc = SQLITE_OK;

  if (db->holds || ++db->points < IN_A_ROW || !sqlite3_get_autocommit(db->conn)) return;
  if (pw_tuned_off(PW_TUNE_HELD_READS)) return;
  db->trusted++;
  if (!db->holder) {
    rc = sqlite3_prepare_v3(db->conn, sql, -1, SQLITE_PREPARE_PERSISTENT, &db->holder, 0);
  }
  db->holds = rc == SQLITE_OK && sqlite3_step(db->holder) == SQLITE_ROW;
  if (db->holder && !db->holds) sqlite3_reset(db->holder);
  db->trusted--;
  db->points = 0;
}

/* Lets go of it. The caller owns the database. */
void pw_point_let_go(pw_db *db) {
  if (db->holds) sqlite3_reset(db->holder);
  db->holds = db->points = 0;
}

void pw_point_close(pw_db *db) {
  sqlite3_finalize(db->holder);
}

/* Is it a statement that may run here, and known to its caller as it is? */
static int may_run(const pw_stmt *stmt, uint32_t shape, const pw_rows *row) {
  return stmt->st && stmt->readonly && !stmt->cursor && !stmt->lengthy && stmt->shape == shape &&
         sqlite3_column_count(stmt->st) == (int)row->ncol && !stmt->db->suspect &&
         !pw_tuned_off(PW_TUNE_INLINE_READS) && !pw_tuned_off(PW_TUNE_POINT_READS);
}

/* Runs a bound statement up to its first row. Returns an SQLite code. */
static int read_row(pw_stmt *stmt, uint32_t shape, pw_rows *row) {
  uint32_t ncol = row->ncol;
  int rc = pw_step(stmt->db, stmt->st), reset;

  pw_rows_clear(row);

  pw_stmt_note_reprepare(stmt);
  if (rc == SQLITE_ROW) {
    rc = stmt->shape == shape ? pw_pack_row(row, stmt->st, ncol) : SQLITE_SCHEMA;
  } else if (rc == SQLITE_DONE) {
    rc = SQLITE_OK;
  }
  reset = sqlite3_reset(stmt->st);
  if ((rc & 0xFF) == SQLITE_INTERRUPT && !stmt->db->missed) stmt->lengthy = 1;
  return rc == SQLITE_OK ? reset : rc;
}

/* Reads the first row on this thread, which owns the database; 0 if an operation
** must. */
int pw_point_run(pw_stmt *stmt, const pw_value *params, uint32_t n, uint32_t shape, pw_rows *row) {
  pw_db *db = stmt->db;
  pw_error error = {.offset = -1};
  int64_t began;
  int ran;

  if (!may_run(stmt, shape, row)) return 0;
  db->inline_mode = PW_INLINE_READ;
  db->until_ns = 0;
  db->compiled = db->interrupted = 0;
  began = pw_run_begin(db, PW_GET);
  ran = pw_stmt_bind(stmt, params, n, &error) == SQLITE_OK &&
        read_row(stmt, shape, row) == SQLITE_OK && !db->missed && !db->unread;
  if (error.message) pw_error_clear(&error);
  pw_note_suspect_schema(db);
  db->until_ns = 0;
  if (ran) {
    pw_run_end(db, PW_GET, began);
    db->metrics.statements++;
    db->metrics.rows += row->nrow;
    db->metrics.inline_hits++;
    hold(db);
  }
  db->inline_mode = 0;
  return ran;
}
