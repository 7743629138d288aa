/*
** The budget: how much memory the pages of all open databases of the process
** may take together, SQLite's caches and what is staged for them. Each database
** counts what it holds when an operation on it ends. When the sum is above the
** limit, those that have been idle give back what they hold, the longest idle
** first; if that is not enough, every database is cut down to an equal share,
** where those that hold less leave the rest of theirs to the others.
**
** What SQLite cannot do without stays: dirty pages, and those in use.
**
** Locks: the budget's own before the registry's and db->mu.
*/
#include <stdio.h>
#include <stdlib.h>
#include "internal.h"

#define DEFAULT_BYTES (256ll * 1024 * 1024)
#define IDLE_NS       1000000000ll /* without an operation: idle */
#define RETRY_NS      50000000ll   /* until the next attempt, if what there is was in use */
#define SLACK         8            /* of the limit, a part that is made free at once */

static pthread_mutex_t mu = PTHREAD_MUTEX_INITIALIZER;
static atomic_llong limit = DEFAULT_BYTES;
static atomic_llong sum;
static atomic_llong retry; /* no attempt before */
static atomic_ullong given_back;

void pw_budget_set(uint64_t bytes) {
  int64_t to = bytes && bytes < INT64_MAX ? (int64_t)bytes : DEFAULT_BYTES;
  atomic_store(&limit, to);
  atomic_store(&retry, 0);
}

void pw_budget_get(pw_budget *out) {
  out->limit = (uint64_t)atomic_load(&limit);
  out->used = (uint64_t)atomic_load(&sum);
  out->held = pw_pool_held();
  out->given_back = atomic_load(&given_back);
}

/* Adds what db holds now to the sum. The caller holds db->mu. */
void pw_budget_count(pw_db *db) {
  int64_t held = db->cached + (int64_t)db->staged.npage * PW_PAGE;
  if (held == db->counted) return;
  atomic_fetch_add(&sum, held - db->counted);
  db->counted = held;
}

/* Looks at SQLite's cache. The caller owns the database. */
void pw_budget_measure(pw_db *db) {
  int used = 0, high = 0;
  sqlite3_db_status(db->conn, SQLITE_DBSTATUS_CACHE_USED, &used, &high, 0);
  db->cached = used;
}

static int cache_size(sqlite3 *conn) {
  sqlite3_stmt *st = 0;
  int size = 0;
  if (sqlite3_prepare_v2(conn, "PRAGMA cache_size", -1, &st, 0) == SQLITE_OK &&
      sqlite3_step(st) == SQLITE_ROW) {
    size = sqlite3_column_int(st, 0);
  }
  sqlite3_finalize(st);
  return size;
}

static int set_cache_size(sqlite3 *conn, int size) {
  char sql[48];
  snprintf(sql, sizeof(sql), "PRAGMA cache_size=%d", size);
  return sqlite3_exec(conn, sql, 0, 0, 0);
}

/* Has SQLite drop the pages used least recently, down to some bytes. A smaller
** cache does that at once, and may grow again. The PRAGMA needs the schema,
** which is not fetched for it: without one, all is dropped. */
static void shrink_cache(pw_db *db, int64_t bytes) {
  int size, shrunk = 0;

  db->inline_mode = PW_INLINE_READ;
  db->missed = 0;
  db->trusted++;
  if (bytes >= 1024 && (size = cache_size(db->conn)) != 0) {
    shrunk = set_cache_size(db->conn, (int)-(bytes / 1024)) == SQLITE_OK;
    if (shrunk) set_cache_size(db->conn, size);
  }
  if (!shrunk) sqlite3_db_release_memory(db->conn);
  db->trusted--;
  if (db->missed) db->suspect = 1; /* see pw_note_suspect_schema() */
  db->missed = 0;
  db->inline_mode = 0;
}

/* Cuts what db holds down to some bytes. The caller owns the database. */
void pw_budget_give_back(pw_db *db) {
  int64_t keep, before;

  pw_lock(db);
  keep = db->give_back - 1;
  db->give_back = 0;
  before = db->counted;
  while (db->staged.oldest && db->cached + (int64_t)db->staged.npage * PW_PAGE > keep) {
    pw_page *oldest = db->staged.oldest;
    if (!oldest->asked) db->metrics.vfs_wasted++;
    pw_pagemap_take(&db->staged, oldest);
    sqlite3_free(oldest);
  }
  pthread_mutex_unlock(&db->mu);
  pw_point_let_go(db);
  if (db->cached > keep) {
    db->resident = 0;
    shrink_cache(db, keep);
    pw_budget_measure(db);
  }
  pw_lock(db);
  pw_budget_count(db);
  if (db->counted < before) atomic_fetch_add(&given_back, (uint64_t)(before - db->counted));
  pthread_mutex_unlock(&db->mu);
}

/* A database as the budget sees it. */
typedef struct holder {
  pw_db *db;
  int64_t used; /* when an operation on it ended last */
  int64_t held;
} holder;

static int by_use(const void *a, const void *b) {
  int64_t x = ((const holder *)a)->used, y = ((const holder *)b)->used;
  return (x > y) - (x < y);
}

/* The largest number of bytes that every database may keep so that they hold no
** more than want together. */
static int64_t fair_share(const holder *all, int n, int64_t want) {
  int64_t share = n ? want / n : 0, before = -1;

  while (share > before) {
    int64_t rest = want;
    int i, above = 0;
    before = share;
    for (i = 0; i < n; i++) {
      if (all[i].held > share) above++;
      else rest -= all[i].held;
    }
    if (above) share = rest / above;
  }
  return share;
}

static void give_back(holder *all, int n, int64_t want, int64_t now) {
  int64_t share;
  int i;

  if (n) qsort(all, (size_t)n, sizeof(*all), by_use);
  for (i = 0; i < n && atomic_load(&sum) > want && now - all[i].used >= IDLE_NS; i++) {
    if (all[i].held) all[i].held = pw_queue_give_back(all[i].db, 0);
  }
  if (atomic_load(&sum) <= want) return;
  share = fair_share(all, n, want);
  for (i = 0; i < n; i++) {
    if (all[i].held > share) pw_queue_give_back(all[i].db, share);
  }
}

/* Gives back what is above the limit. */
static void enforce(int64_t now) {
  int64_t most, want;
  pw_db **open;
  holder *all;
  int i, n = 0;

  if (pthread_mutex_trylock(&mu) != 0) return; /* another thread is at it */
  most = atomic_load(&limit);
  want = most - most / SLACK;
  open = pw_registry_all(&n);
  all = sqlite3_malloc64((uint64_t)n * sizeof(*all) + 1);
  for (i = 0; all && i < n; i++) {
    pw_lock(open[i]);
    all[i] = (holder){open[i], atomic_load(&open[i]->used), open[i]->counted};
    pthread_mutex_unlock(&open[i]->mu);
  }
  if (all) give_back(all, n, want, now);
  for (i = 0; i < n; i++) pw_db_unref(open[i]);
  sqlite3_free(open);
  sqlite3_free(all);
  atomic_store(&retry, atomic_load(&sum) > most ? now + RETRY_NS : 0);
  pthread_mutex_unlock(&mu);
}

/* Called where nothing is locked, and on a JavaScript thread only if it waits
** for its database anyway. */
void pw_budget_check(void) {
  int64_t now;

  if (atomic_load(&sum) <= atomic_load(&limit)) return;
  now = pw_now_ns();
  if (now >= atomic_load(&retry)) enforce(now);
}
