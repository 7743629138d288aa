/*
** Opening and closing a database.
*/
#include <stdio.h>
#include "internal.h"

#define STAGED_MAX     (8u * 1024 * 1024) /* two fetches of the largest kind */
#define PROGRESS_STEPS 1000 /* SQLite instructions between looks at the clock */

static void destroy(pw_db *db) {
  pw_pagemap_clear(&db->tx);
  pw_pagemap_clear(&db->staged);
  pw_budget_count(db);
  while (db->batches) {
    pw_batch *batch = db->batches;
    uint32_t i;
    db->batches = batch->next;
    for (i = 0; i < batch->npage; i++) sqlite3_free(batch->pages[i]);
    sqlite3_free(batch);
  }
  sqlite3_free(db->pending.bucket);
  pw_error_clear(&db->failure);
  pw_error_clear(&db->loss);
  pw_error_clear(&db->io_error);
  pthread_cond_destroy(&db->changed);
  pthread_mutex_destroy(&db->mu);
  sqlite3_free(db);
}

void pw_db_ref(pw_db *db) {
  atomic_fetch_add(&db->refs, 1);
}

void pw_db_unref(pw_db *db) {
  if (db && atomic_fetch_sub(&db->refs, 1) == 1) destroy(db);
}

uint64_t pw_db_id(const pw_db *db) {
  return db->id;
}

int pw_db_cancelled(pw_db *db) {
  return atomic_load(&db->cancelled);
}

/* The time of an inline read counts from the first look at the clock on: the
** short ones, which are most, never look. */
static int on_progress(void *ctx) {
  pw_db *db = ctx;
  int64_t now = db->until_ns || db->inline_mode == PW_INLINE_READ ? pw_now_ns() : 0;

  if (!db->until_ns && db->inline_mode == PW_INLINE_READ) {
    db->until_ns = now + PW_INLINE_BUDGET_NS;
  }
  if (atomic_load(&db->cancelled) || (db->until_ns && now > db->until_ns)) db->interrupted = 1;
  return db->interrupted;
}

static void note_rollback(void *arg) {
  ((pw_db *)arg)->rolled_back = 1;
}

/* Makes the database; pages may be staged from now on, SQL waits for
** pw_db_start(). journal_size is that of a foreign journal, 0 without one. */
pw_db *pw_db_open(uintptr_t handle, uint64_t size, uint64_t journal_size, uint64_t max_commit) {
  pw_db *db = pw_vfs_register() == SQLITE_OK ? sqlite3_malloc64(sizeof(*db)) : 0;

  if (!db) return 0;
  memset(db, 0, sizeof(*db));
  atomic_init(&db->refs, 1);
  pthread_mutex_init(&db->mu, 0);
  pw_cond_init(&db->changed);
  db->handle = handle;
  db->queue_tail = &db->queue;
  db->gated_tail = &db->gated;
  db->batches_tail = &db->batches;
  db->size = db->committed_size = size;
  db->journal_size = journal_size;
  db->max_commit = max_commit;
  db->staged_max = STAGED_MAX;
  atomic_init(&db->used, pw_now_ns());
  db->failure.offset = db->loss.offset = db->io_error.offset = -1;
  db->epoch = 1;
  return db;
}

static int run(pw_db *db, const char *sql) {
  return sqlite3_exec(db->conn, sql, 0, 0, 0);
}

/* The settings that everything else rests on (docs/architecture.md). */
static int configure(pw_db *db, uint64_t cache_bytes) {
  char sql[64];
  int rc = SQLITE_OK;

  sqlite3_extended_result_codes(db->conn, 1);
  sqlite3_rollback_hook(db->conn, note_rollback, db);
  sqlite3_progress_handler(db->conn, PROGRESS_STEPS, on_progress, db);
  /* A foreign journal is found, and rolled back, when the file is first read
  ** with a journal mode that has journals: the default. */
  if (db->journal_size) rc = run(db, "SELECT 1 FROM sqlite_schema LIMIT 1");
  if (rc == SQLITE_OK) {
    rc = run(db, "PRAGMA locking_mode=EXCLUSIVE;"
                 "PRAGMA journal_mode=MEMORY;"
                 "PRAGMA synchronous=NORMAL;"
                 "PRAGMA cache_spill=OFF;"
                 "PRAGMA temp_store=MEMORY");
  }
  snprintf(sql, sizeof(sql), "PRAGMA cache_size=-%llu", (unsigned long long)cache_bytes / 1024);
  db->cache_bytes = (int64_t)cache_bytes;
  if (rc == SQLITE_OK) rc = run(db, sql);
  if (rc == SQLITE_OK) rc = pw_guard_install(db);
  return rc;
}

/* Opens SQLite on the database. */
int pw_db_start(pw_db *db, uint64_t cache_bytes, pw_error *error) {
  char name[32];
  int rc;

  pw_lock(db);
  db->busy = 1;
  pthread_mutex_unlock(&db->mu);
  pw_registry_add(db);
  snprintf(name, sizeof(name), "pw%llu", (unsigned long long)db->id);
  rc = sqlite3_open_v2(name, &db->conn,
                       SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX |
                           SQLITE_OPEN_PRIVATECACHE,
                       PW_VFS_NAME);
  if (rc == SQLITE_OK) rc = configure(db, cache_bytes);
  if (rc != SQLITE_OK) {
    if (db->io_error.sqlite) pw_error_copy(error, &db->io_error);
    else pw_error_set(error, "", rc, db->conn ? sqlite3_errmsg(db->conn) : "out of memory");
    sqlite3_close_v2(db->conn);
    db->conn = 0;
    pw_registry_remove(db);
  }
  if (rc == SQLITE_OK) pw_budget_measure(db);
  pw_lock(db);
  pw_budget_count(db);
  db->busy = 0;
  if (rc == SQLITE_OK) pw_queue_unlock(db);
  else pthread_mutex_unlock(&db->mu);
  pw_budget_check();
  return rc;
}

/* Ends the use of the database: what is queued runs to its end, no operation
** begins any more, SQLite is closed. Commits that are on their way stay valid. */
void pw_db_stop(pw_db *db) {
  pw_queue_stop(db);
  pw_stmt_finalize_all(db);
  pw_inline_close(db);
  pw_point_close(db);
  sqlite3_close_v2(db->conn);
  pw_commit_discard(db);
  pw_registry_remove(db);

  pw_lock(db);
  db->conn = 0;
  db->closed = 1;
  db->busy = 0;
  db->cached = 0;
  pw_pagemap_clear(&db->staged);
  pw_budget_count(db);
  pthread_cond_broadcast(&db->changed);
  pthread_mutex_unlock(&db->mu);
  pw_stmt_collect(db);
}

uint32_t pw_db_hints(pw_db *db, uint32_t *out) {
  memcpy(out, db->hints, db->nhint * sizeof(*out));
  return db->nhint;
}

void pw_db_metrics(pw_db *db, pw_metrics *out) {
  int cache = 0, high = 0;

  pw_lock(db);
  *out = db->metrics;
  out->vfs_staged_bytes = (uint64_t)db->staged.npage * PW_PAGE;
  out->vfs_pending_bytes = (uint64_t)db->pending.npage * PW_PAGE;
  /* SQLite's own counter may only be read while nobody runs the connection. */
  if (!db->busy && db->conn) {
    sqlite3_db_status(db->conn, SQLITE_DBSTATUS_CACHE_USED, &cache, &high, 0);
  }
  out->cache_bytes = (uint64_t)cache;
  pthread_mutex_unlock(&db->mu);
}
