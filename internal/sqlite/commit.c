/*
** Transactions on their way to the server.
**
** At the end of a commit the pages of db->tx become a batch with the next
** token, and Go is told; SQLite and the next statement go on at once. A batch
** keeps its pages until the server has acknowledged it, so that they can be
** sent again, and db->pending finds the newest version of each for readers.
** Operations that ran after a commit wait for it at the gate (queue.c), so that
** nobody sees what could still be lost (I5).
**
** When a commit fails, SQLite's cache is ahead of what is stored. The database
** is then marked failed; before the next operation pw_commit_reload() makes
** SQLite forget its cache and start again from the server's state (I6).
*/
#include <stdio.h>
#include "internal.h"

/* SQLITE_FCNTL_SYNC: may the transaction in db->tx be committed? If not, SQLite
** rolls it back at once: it writes the pages as they were, and syncs those. That
** must not fail, or SQLite keeps the journal and plays it back into what comes
** after, on top of a reload even. */
int pw_commit_allowed(pw_db *db) {
  char message[200];
  uint64_t bytes = (uint64_t)db->tx.npage * PW_PAGE;
  int failed;

  if (db->refused) {
    db->refused = 0;
    return SQLITE_OK;
  }
  pw_lock(db);
  failed = db->failed || db->lost;
  if (failed) {
    pw_error_copy(&db->io_error, db->lost ? &db->loss : &db->failure);
    db->io_error.sqlite = SQLITE_IOERR_WRITE;
  }
  pthread_mutex_unlock(&db->mu);
  db->refused = failed || bytes > db->max_commit;
  if (failed) return SQLITE_IOERR_WRITE;
  if (bytes > db->max_commit) {
    snprintf(message, sizeof(message),
             "the transaction changes %llu bytes of pages, the server takes %llu at once: "
             "split it into smaller ones",
             (unsigned long long)bytes, (unsigned long long)db->max_commit);
    pw_error_set(&db->io_error, "payload_too_large", SQLITE_FULL, message);
    return SQLITE_FULL;
  }
  return SQLITE_OK;
}

static void free_batch(pw_db *db, pw_batch *batch) {
  uint32_t i;
  for (i = 0; i < batch->npage; i++) {
    pw_page *page = batch->pages[i];
    if (pw_pagemap_find(&db->pending, page->key) == page) pw_pagemap_take(&db->pending, page);
    sqlite3_free(page);
  }
  sqlite3_free(batch);
}

/* Moves the pages of db->tx into the batch, sorted as they were written, and
** makes them the newest pending ones. The caller holds db->mu. */
static int fill_batch(pw_db *db, pw_batch *batch) {
  pw_page *page;
  while ((page = db->tx.oldest) != 0) {
    pw_page *before = pw_pagemap_find(&db->pending, page->key);
    pw_page *staged = pw_pagemap_find(&db->staged, page->key);
    if (before) pw_pagemap_take(&db->pending, before); /* its own batch frees it */
    if (staged) {
      pw_pagemap_take(&db->staged, staged);
      if (!staged->asked) db->metrics.vfs_wasted++;
      sqlite3_free(staged);
    }
    pw_pagemap_take(&db->tx, page);
    batch->indexes[batch->npage] = (uint32_t)page->key;
    batch->pages[batch->npage++] = page;
    if (pw_pagemap_put(&db->pending, page) != SQLITE_OK) return SQLITE_IOERR_NOMEM;
  }
  return SQLITE_OK;
}

/* What is cut off must not come back, neither from staging nor from an earlier
** transaction, when the file grows again: Go knows that it reads as zeros. The
** caller holds db->mu. */
static void drop_past(pw_db *db, uint64_t size) {
  pw_page *page, *newer;

  for (page = db->staged.oldest; page; page = newer) {
    newer = page->newer;
    if (page->key >> 32 != PW_MAIN || (page->key & 0xFFFFFFFF) * PW_PAGE < size) continue;
    pw_pagemap_take(&db->staged, page);
    if (!page->asked) db->metrics.vfs_wasted++;
    sqlite3_free(page);
  }
  for (page = db->pending.oldest; page; page = newer) {
    newer = page->newer;
    if ((page->key & 0xFFFFFFFF) * PW_PAGE >= size) pw_pagemap_take(&db->pending, page);
  }
}

/* SQLITE_FCNTL_COMMIT_PHASETWO, or a foreign journal was rolled back. */
int pw_commit_hand_over(pw_db *db, int drop_journal) {
  uint32_t n = db->tx.npage;
  pw_batch *batch;
  size_t bytes;
  int rc, more;

  if (n == 0 && db->size == db->committed_size && !drop_journal) return SQLITE_OK;
  /* A foreign journal that is still there was not hot when the database was
  ** opened: nobody needs it, and it would only take space. */
  if (db->journal_size) drop_journal = 1;
  db->journal_size = 0;
  bytes = sizeof(*batch) + n * (sizeof(pw_page *) + sizeof(uint32_t));
  batch = sqlite3_malloc64(bytes);
  if (!batch) return SQLITE_IOERR_NOMEM;
  memset(batch, 0, bytes);
  batch->pages = (pw_page **)(batch + 1);
  batch->indexes = (uint32_t *)(batch->pages + n);

  pw_lock(db);
  rc = fill_batch(db, batch);
  if (db->size < db->committed_size) drop_past(db, db->size);
  batch->token = ++db->handed;
  *db->batches_tail = batch;
  db->batches_tail = &batch->next;
  db->metrics.vfs_commits++;
  db->metrics.vfs_commit_pages += batch->npage;
  more = db->may_hold && pw_queue_goes_on(db);
  pthread_mutex_unlock(&db->mu);
  if (rc != SQLITE_OK) {
    pw_db_failed(db, batch->token, "out_of_memory", "no memory for the pages of a commit");
    return rc;
  }
  db->committed_size = db->size;
  goCommit(db->handle, batch->token, db->size, batch->npage, batch->indexes, batch->pages,
           drop_journal, more);
  db->held = more;
  return SQLITE_OK;
}

/* A transaction ended without being handed over: SQLite has rolled it back, and
** what it wrote meanwhile equals what is stored. */
void pw_commit_discard(pw_db *db) {
  if (db->tx.npage) pw_pagemap_clear(&db->tx);
  db->size = db->committed_size;
  db->refused = 0;
}

/* Go: every batch up to token is durable. */
void pw_db_committed(pw_db *db, uint64_t token) {
  pw_lock(db);
  if (token > db->acked) db->acked = token;
  while (db->batches && db->batches->token <= token) {
    pw_batch *batch = db->batches;
    db->batches = batch->next;
    if (!db->batches) db->batches_tail = &db->batches;
    free_batch(db, batch);
  }
  if (db->pending.npage == 0) pw_pagemap_clear(&db->pending);
  pw_queue_tell(db, pw_queue_open_gate(db, 0, 0));
}

/* Go: the batch token and those after it are not durable. Their pages stay
** readable until the reload, so that an operation under way reads one state. If
** a later one has failed already, this one still fails with its own reason. */
void pw_db_failed(pw_db *db, uint64_t token, const char *code, const char *message) {
  pw_error why = {.offset = -1};
  pw_op *told;

  pw_error_set(&why, code, 0, message);
  pw_lock(db);
  if (!db->failed) pw_error_copy(&db->failure, &why);
  db->failed = 1;
  told = pw_queue_open_gate(db, token, &why);
  pw_queue_tell(db, told);
  pw_error_clear(&why);
}

/* Go: the lock is lost, for good. */
void pw_db_lost(pw_db *db, const pw_error *error) {
  pw_lock(db);
  db->lost = 1;
  pw_error_copy(&db->loss, error);
  pthread_mutex_unlock(&db->mu);
}

/* Go: a fetched page, NULL for one of zeros. */
void pw_db_stage(pw_db *db, int file, uint32_t index, const void *data, int asked) {
  pw_page *page = sqlite3_malloc64(sizeof(pw_page));

  if (!page) return; /* the reader finds it missing and says so */
  page->key = pw_key(file, index);
  page->asked = asked;
  if (data) memcpy(page->data, data, PW_PAGE);
  else memset(page->data, 0, PW_PAGE);
  pw_lock(db);
  if (pw_pagemap_find(&db->pending, page->key) ||
      (!asked && pw_pagemap_find(&db->staged, page->key)) ||
      pw_pagemap_put(&db->staged, page) != SQLITE_OK) {
    sqlite3_free(page);
    page = 0;
  }
  if (page && !asked) db->metrics.vfs_prefetched++;
  while ((uint64_t)db->staged.npage * PW_PAGE > db->staged_max && db->staged.oldest != page) {
    pw_page *oldest = db->staged.oldest;
    if (oldest->asked && oldest->newer) oldest = oldest->newer; /* about to be read */
    if (!oldest->asked) db->metrics.vfs_wasted++;
    pw_pagemap_take(&db->staged, oldest);
    sqlite3_free(oldest);
  }
  pw_budget_count(db);
  pthread_mutex_unlock(&db->mu);
}

static void forget_unacknowledged(pw_db *db) {
  pw_lock(db);
  while (db->batches) {
    pw_batch *batch = db->batches;
    db->batches = batch->next;
    free_batch(db, batch);
  }
  db->batches_tail = &db->batches;
  pw_pagemap_clear(&db->pending);
  pw_pagemap_clear(&db->staged);
  pthread_mutex_unlock(&db->mu);
}

/* Makes the pager drop its cache: it compares page 1 with its own copy when it
** takes a lock, so the exclusive lock is given up (the first statement) and
** taken anew (the second). Statements, settings and temporary tables survive. */
static int drop_cache(pw_db *db) {
  int rc;
  db->trusted++;
  rc = sqlite3_exec(db->conn, "PRAGMA locking_mode=NORMAL; SELECT 1 FROM sqlite_schema LIMIT 1", 0,
                    0, 0);
  if (rc == SQLITE_OK) {
    db->invalidate = 1;
    rc =
        sqlite3_exec(db->conn, "SELECT 1 FROM sqlite_schema LIMIT 1; PRAGMA locking_mode=EXCLUSIVE",
                     0, 0, 0);
    db->invalidate = 0; /* an empty file is not read at all */
  }
  db->trusted--;
  return rc;
}

/* Starts again from the server's state. The running thread owns the database. */
int pw_commit_reload(pw_db *db, pw_error *error) {
  sqlite3_stmt *st;
  int lost = 0;
  uint64_t size = 0;

  for (st = sqlite3_next_stmt(db->conn, 0); st; st = sqlite3_next_stmt(db->conn, st)) {
    sqlite3_reset(st);
  }
  if (!sqlite3_get_autocommit(db->conn)) {
    db->trusted++;
    sqlite3_exec(db->conn, "ROLLBACK", 0, 0, 0);
    db->trusted--;
  }
  pw_pagemap_clear(&db->tx);
  goSettle(db->handle); /* pages of older commits are Go's until those are resolved */
  forget_unacknowledged(db);
  if (goReload(db->handle, &size, &lost, error)) {
    if (lost) pw_db_lost(db, error);
    return 1;
  }
  db->size = db->committed_size = size;
  if (drop_cache(db) != SQLITE_OK) {
    pw_error_set(error, "reload_failed", sqlite3_extended_errcode(db->conn),
                 sqlite3_errmsg(db->conn));
    return 1;
  }
  db->epoch++;
  pw_lock(db);
  db->failed = 0;
  db->acked = db->handed; /* whoever waited for one that failed has been told */
  pw_error_clear(&db->failure);
  pthread_mutex_unlock(&db->mu);
  return 0;
}
