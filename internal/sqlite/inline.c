/*
** Operations on the thread that asks for them, which is JavaScript's: it must
** neither wait nor work long. A run that misses a page is undone, and the
** operation is run again on a worker, where a miss may wait.
**
** A read is ended by SQLITE_INTERRUPT, at a miss or after its time. That would
** roll back the whole transaction of a write. So a write runs in a savepoint, a
** miss ends it with SQLITE_BUSY, and the savepoint undoes what it did; it does
** without where there is nothing to miss (resident.c). Nothing ends it for taking
** long: only what cannot, by its program, is run so. It must be inside a
** transaction of JavaScript's, whose COMMIT is a worker's matter.
*/
#include "internal.h"

#define MAX_BYTES 65536u /* of parameters of a write */

enum { SAVE, RELEASE, UNDO };

static int savepoint(pw_db *db, int what) {
  static const char *const sql[] = {"SAVEPOINT pagewire_inline", "RELEASE pagewire_inline",
                                    "ROLLBACK TO pagewire_inline"};
  int rc = SQLITE_OK;

  if (!db->savepoint[what]) {
    rc = sqlite3_prepare_v3(db->conn, sql[what], -1, SQLITE_PREPARE_PERSISTENT,
                            &db->savepoint[what], 0);
  }
  if (rc != SQLITE_OK) return rc;
  sqlite3_step(db->savepoint[what]);
  return sqlite3_reset(db->savepoint[what]);
}

void pw_inline_close(pw_db *db) {
  int i;
  for (i = SAVE; i <= UNDO; i++) sqlite3_finalize(db->savepoint[i]);
}

static int is_one_of(const char *name, const char *const *names, size_t n) {
  size_t i;
  for (i = 0; i < n && strcmp(name, names[i]) != 0; i++) {}
  return i < n;
}

/* The root page of sqlite_sequence, which an INSERT with AUTOINCREMENT scans: it
** has a row a table. 0 if there is none. */
static int sequence_root(pw_db *db) {
  sqlite3_stmt *st = 0;
  int root = 0;

  if (sqlite3_prepare_v2(db->conn,
                         "SELECT rootpage FROM sqlite_schema WHERE name='sqlite_sequence'", -1, &st,
                         0) == SQLITE_OK &&
      sqlite3_step(st) == SQLITE_ROW) {
    root = sqlite3_column_int(st, 0);
  }
  sqlite3_finalize(st);
  return root;
}

/* A program as its instructions tell it; sets of cursors are bits by number. */
typedef struct program {
  int sequence_root;
  uint64_t sequence; /* now open on sqlite_sequence */
  uint64_t memory;   /* opened on tables in memory, which only a loop could fill with much */
  uint64_t stored;   /* opened on anything else */
  uint64_t looped;   /* looped over, not as sqlite_sequence */
  int writes;
} program;

static void judge(program *program, sqlite3_stmt *explain) {
  static const char *const loops[] = {"Prev",    "SorterNext", "VNext", "Yield",
                                      "Program", "RowSetRead", "Clear"};
  int addr = sqlite3_column_int(explain, 0), p1 = sqlite3_column_int(explain, 2),
      p2 = sqlite3_column_int(explain, 3), p3 = sqlite3_column_int(explain, 4);
  const char *name = (const char *)sqlite3_column_text(explain, 1);
  uint64_t cursor = p1 >= 0 && p1 < 64 ? 1ull << p1 : 0;

  if (!name) return;
  if (strcmp(name, "OpenEphemeral") == 0) {
    program->memory |= cursor;
  } else if (strncmp(name, "Open", 4) == 0) {
    program->sequence &= ~cursor;
    if (p3 == 0 && program->sequence_root && p2 == program->sequence_root) {
      program->sequence |= cursor;
    } else {
      program->stored |= cursor;
    }
  } else if (strcmp(name, "Next") == 0) {
    if (!cursor) program->writes |= PW_LONG;
    if (!(program->sequence & cursor)) program->looped |= cursor;
  } else if (strcmp(name, "VBegin") == 0 || strcmp(name, "VUpdate") == 0) {
    program->writes |= PW_VIRTUAL;
  } else if (is_one_of(name, loops, sizeof(loops) / sizeof(loops[0])) ||
             (strcmp(name, "Goto") == 0 && p2 < addr && p2 != 1)) {
    program->writes |= PW_LONG;
  }
}

/* Finds out what a statement that writes is like: whether its program may loop,
** and whether it writes to virtual tables, triggers included. What cannot be
** found out, or is no INSERT, UPDATE or DELETE, counts as both. */
static void classify(pw_stmt *stmt) {
  static const char *const verbs[] = {"INSERT", "UPDATE", "DELETE", "REPLACE", "WITH"};
  const char *text = stmt->sql + strspn(stmt->sql, " \t\r\n");
  program program = {.writes = PW_KNOWN};
  sqlite3_stmt *explain = 0;
  char *sql = 0;
  int rc = SQLITE_ERROR;
  size_t i;

  for (i = 0; i < sizeof(verbs) / sizeof(verbs[0]) && !sql; i++) {
    if (sqlite3_strnicmp(text, verbs[i], (int)strlen(verbs[i])) == 0) {
      sql = sqlite3_mprintf("EXPLAIN %s", text);
    }
  }
  if (sql) {
    stmt->db->compiled = 1;
    program.sequence_root = sequence_root(stmt->db);
    rc = sqlite3_prepare_v2(stmt->db->conn, sql, -1, &explain, 0);
    while (rc == SQLITE_OK && sqlite3_step(explain) == SQLITE_ROW) judge(&program, explain);
    if (rc == SQLITE_OK) rc = sqlite3_finalize(explain);
    sqlite3_free(sql);
  }
  if (program.looped & ~(program.memory & ~program.stored)) program.writes |= PW_LONG;
  if (rc != SQLITE_OK) program.writes |= PW_LONG | PW_VIRTUAL;
  stmt->writes = stmt->db->missed ? 0 : program.writes;
}

static int writes(const pw_stmt *stmt) {
  return stmt->st && !sqlite3_stmt_readonly(stmt->st);
}

/* Finds out what a prepared statement writes, unless that is known. */
void pw_inline_classify(pw_stmt *stmt) {
  if (!stmt->writes && writes(stmt)) classify(stmt);
}

/* A statement of a transaction is about to run on a worker. A virtual table that
** was written to has its own idea of a savepoint (FTS5 writes out what it has
** gathered), so from here on the transaction is not to have one a statement. */
void pw_inline_note_write(pw_db *db, pw_stmt *stmt) {
  if (db->has_virtual || (stmt && !writes(stmt))) return;
  if (stmt && !stmt->writes) classify(stmt);
  if (!stmt || stmt->writes & PW_VIRTUAL) db->has_virtual = 1;
}

static int may_write(const pw_op *op) {
  const pw_item *item = &op->items[0];
  size_t bytes = 0;
  uint32_t i;

  if (!op->need_epoch || op->db->has_virtual) return 0;
  if (pw_tuned_off(PW_TUNE_INLINE_WRITES)) return 0;
  for (i = 0; i < item->nparam; i++) bytes += item->params[i].n;
  if (bytes > MAX_BYTES) return 0;
  if (!item->stmt->writes) classify(item->stmt);
  return item->stmt->writes == PW_KNOWN;
}

/* Is it a statement that may run on the calling thread? It is prepared for
** that, with the same rule for misses as its run: inline_mode is set. */
static int may_run(pw_op *op) {
  pw_stmt *stmt = op->items[0].stmt;
  int rc, may;

  op->db->denied[0] = 0;
  op->db->compiled = op->db->interrupted = 0;
  rc = pw_stmt_prepare(stmt);
  may = rc != SQLITE_OK /* to say what is wrong */ ||
        (!stmt->cursor && ((stmt->readonly && !pw_tuned_off(PW_TUNE_INLINE_READS)) ||
                           (writes(stmt) && may_write(op))));
  pw_note_suspect_schema(op->db); /* before its run, whose misses say nothing about the schema */
  return may && !op->db->missed && !op->db->suspect;
}

/* Runs a write in a savepoint; 0 if it must be run again. */
static int run_saved(pw_op *op) {
  pw_db *db = op->db;
  sqlite3_int64 rowid = sqlite3_last_insert_rowid(db->conn);

  if (savepoint(db, SAVE) != SQLITE_OK) return 0;
  db->inline_mode = PW_INLINE_WRITE;
  pw_op_run(op);
  if (sqlite3_get_autocommit(db->conn)) return 1; /* it was OR ROLLBACK, for one */
  if (!db->missed && savepoint(db, RELEASE) == SQLITE_OK) return 1;
  sqlite3_set_last_insert_rowid(db->conn, rowid);
  if (savepoint(db, UNDO) != SQLITE_OK || savepoint(db, RELEASE) != SQLITE_OK) {
    db->trusted++;
    sqlite3_exec(db->conn, "ROLLBACK", 0, 0, 0); /* the caller is told that it is lost */
    db->trusted--;
  }
  return 0;
}

/* Runs a write; 0 if it must be run again. */
static int run_write(pw_op *op) {
  op->db->until_ns = 0; /* what came before may have looked at the clock */
  if (!pw_resident_holds(op->db)) return run_saved(op);
  op->db->inline_mode = PW_INLINE_SURE;
  pw_op_run(op);
  return 1;
}

/* Runs a read; 0 if it must be run again, by a worker. One that has outlasted its
** time is not begun here again before a worker has seen it end within that. */
static int run_read(pw_op *op) {
  pw_op_run(op);
  if (op->db->missed) return 0;
  if (!op->failed || (op->error.sqlite & 0xFF) != SQLITE_INTERRUPT) return 1;
  op->items[0].stmt->lengthy = 1;
  return 0;
}

/* Runs op on this thread, which owns the database; 0 if a worker must. */
int pw_inline_run(pw_op *op) {
  pw_db *db = op->db;
  int ran = 0;

  pw_point_let_go(db);
  db->inline_mode = PW_INLINE_READ;
  db->missed = 0;
  db->until_ns = 0;
  if (!op->items[0].stmt->lengthy && (!op->need_epoch || !sqlite3_get_autocommit(db->conn)) &&
      may_run(op)) {
    ran = writes(op->items[0].stmt) ? run_write(op) : run_read(op);
    if (ran) {
      db->metrics.inline_hits++;
      op->ran_inline = 1;
    } else {
      db->metrics.inline_reruns++;
      pw_op_clear_result(op);
    }
  }
  db->until_ns = 0;
  db->inline_mode = 0;
  return ran;
}
