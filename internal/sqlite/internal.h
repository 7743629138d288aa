/*
** Private declarations of the engine. The files:
**
**   pagemap.c   pages by file and index, in insertion order
**   registry.c  the open databases by number
**   budget.c    the memory of pages that all databases share
**   vfs.c       the VFS: SQLite's file calls on top of page maps and fetches
**   commit.c    transactions handed over, acknowledged, failed, reloaded
**   guard.c     what SQL may not do (invariant I7)
**   stmt.c      statements: prepare, bind, shape
**   rows.c      packing of result rows
**   op.c        operations: making one, its parameters, result and error
**   feed.c      batches whose items come while they run
**   run.c       what an operation runs
**   inline.c    runs on the thread that asks
**   point.c     reads of one row there, without an operation
**   resident.c  whether all pages are in SQLite's cache
**   queue.c     the order of operations of one database, and sync runs
**   workers.c   the threads that run what is queued
**   db.c        open and close
**
** Go is entered through the go* functions at the end, and calls back
** through the pw_db_* functions.
*/
#ifndef PAGEWIRE_INTERNAL_H
#define PAGEWIRE_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include "pagewire.h"
#include "sqlite3-binding.h"

#define PW_PAGE             4096u
#define PW_MAX_PAGES        0xFFFFFFFEu /* SQLite's own bound */
#define PW_MAIN             0
#define PW_JOURNAL          1
#define PW_MAX_HINTS        128
#define PW_INLINE_BUDGET_NS 1000000

/* A page in memory, in one page map or in one batch. */
typedef struct pw_page pw_page;
struct pw_page {
  pw_page *next;            /* in its hash bucket, or in its batch */
  pw_page *newer, *older;   /* in insertion order of its map */
  uint64_t key;             /* file << 32 | index */
  int asked;                /* SQLite waits for it: not a prefetched one */
  uint8_t data[PW_PAGE];
};

/* Pages by key. A zeroed one is empty. */
typedef struct pw_pagemap {
  pw_page **bucket;
  uint32_t nbucket, npage;
  pw_page *newest, *oldest;
} pw_pagemap;

/* A transaction handed over to Go: its pages stay readable and valid until the
** server acknowledges it. */
typedef struct pw_batch pw_batch;
struct pw_batch {
  pw_batch *next;
  uint64_t token;
  uint32_t npage;
  uint32_t *indexes;
  pw_page **pages;
};

struct pw_db {
  atomic_int refs;
  uintptr_t handle;              /* of the Go side */
  uint64_t id;                   /* its handle; names the file to the VFS */
  pw_db *next_db;                /* in the registry */
  sqlite3 *conn;

  pthread_mutex_t mu;            /* guards everything up to the next blank line */
  pthread_cond_t changed;        /* busy, acked, failed or closed changed */
  int busy;                      /* a thread runs an operation */
  atomic_int door;               /* see lock.c; not guarded */
  int scheduled;                 /* in the workers' list */
  int closing, closed;
  pw_op *queue, **queue_tail;
  pw_op *gated, **gated_tail;    /* run, but an earlier commit is not durable */
  pw_op *current;                /* what runs */
  pw_stmt *garbage;              /* freed, not finalized yet */
  pw_db *next_ready;             /* in the workers' list */
  uint64_t handed, acked;        /* commit tokens */
  int failed;                    /* a commit failed: reload before anything else */
  int lost;                      /* for good: every operation fails with failure */
  pw_error failure;
  pw_error loss;                 /* why lost is set */
  pw_pagemap staged;             /* fetched, not read by SQLite yet */
  pw_pagemap pending;            /* newest unacknowledged version of pages */
  pw_batch *batches, **batches_tail;
  pw_metrics metrics;
  int64_t counted;               /* in the budget: bytes of pages */
  int64_t give_back;             /* not 0: keep only one byte less than that */
  atomic_llong used;             /* when an operation began last, or it was opened */

  /* Owned by the thread that has set busy. */
  pw_pagemap tx;                 /* written by the transaction under commit */
  uint64_t size;                 /* of the main file, as SQLite sees it */
  uint64_t committed_size;       /* the same, without the transaction */
  uint64_t journal_size;         /* of a foreign journal, 0 if there is none */
  uint64_t max_commit;           /* bytes of pages in one transaction */
  uint64_t staged_max;           /* bytes */
  int refused;                   /* the commit was: what is synced next is its rollback */
  pw_stmt *stmts;                /* all that belong to this database */
  int inline_mode;               /* PW_INLINE_READ ..., 0 on a worker: what a miss does */
  int missed;                    /* ... and it has ended the run */
  int unread;                    /* a page could not be fetched during the operation */
  int interrupted;               /* the progress handler has ended the run */
  int stepping;                  /* inside sqlite3_step: the guard wants to know */
  int trusted;                   /* our own SQL: the guard lets it pass */
  int has_virtual;               /* the transaction may have written to a virtual table */
  int resident;                  /* its writes miss no page: resident.c */
  int64_t cache_bytes;           /* size of SQLite's cache; 0 if SQL has changed it */
  sqlite3_stmt *savepoint[3];    /* inline.c: what undoes a write, prepared when needed */
  sqlite3_stmt *holder;          /* point.c: keeps a read transaction open, likewise */
  int holds;                     /* ... and does */
  int points;                    /* point reads in a row that ended without one */
  int compiled;                  /* a statement was: the schema may have been loaded */
  int suspect;                   /* the schema may lack statistics: load it again */
  int invalidate;                /* make SQLite drop its cache at the next lock */
  int64_t until_ns;              /* when to interrupt; 0 never, but see on_progress() */
  int may_hold;                  /* a commit may wait for the next one: PW_MAY_HOLD ... */
  int held;                      /* ... and one does */
  int rolled_back;               /* SQLite did, in the running operation */
  atomic_int cancelled;          /* the running operation was cancelled */
  uint32_t epoch;
  uint32_t untimed[7];           /* inline operations since one was timed, by kind */
  char denied[160];              /* why the guard refused, "" if it did not */
  pw_error io_error;             /* why the VFS failed, sqlite != 0 if it did */
  uint32_t hints[PW_MAX_HINTS];  /* pages in the order of their first use */
  uint32_t nhint;
  atomic_llong cached;           /* bytes in SQLite's cache when last measured */
};

struct pw_stmt {
  atomic_int refs;
  pw_db *db;
  char *sql;
  size_t n;
  pw_stmt *next, **link;         /* in db->stmts; owner of busy only */
  pw_stmt *next_garbage;
  sqlite3_stmt *st;
  int readonly;                  /* may run inline */
  int lengthy;                   /* as a read it has outlasted its time inline */
  int writes;                    /* PW_KNOWN ..., 0 if not found out yet; see inline.c */
  int has_nul;                   /* the text cannot be prepared */
  int cursor;                    /* 1: a PW_STEP has begun, -1: a reload ended it */
  uint32_t shape;                /* version of the column names, from 1 */
  int reprepares;                /* sqlite3_stmt_status() when shape was set */
};

/* How far an operation has come; guarded by db->mu. */
enum { OP_NEW, OP_QUEUED, OP_RUNNING, OP_GATED, OP_FINISHED };

typedef struct pw_chunk pw_chunk; /* op.c */

/* An operation with what its submitter need not see. */
typedef struct pw_job {
  pw_op op;                      /* first: a pw_op* is a pw_job* */
  int state;
  int reset_only;                /* ends a cursor */
  int waits;                     /* its submitter waits for its state, instead of done() */
  int was_autocommit;            /* no transaction was open before it ran */
  uint64_t gate;                 /* commit token to wait for */
  int64_t until_ns;              /* when its timeout ends it; 0 never */
  pw_done_fn done;
  void *ctx;
  char cancel[40];               /* code it was cancelled with, "" if not */
  pw_chunk *memory;              /* parameters of items, see pw_op_memory() */
  int sent;                      /* it was submitted: owned by who does */
  int starved;                   /* ... and then there was no memory for items; likewise */
  uint32_t given;                /* items that may be run, or PW_NO_MORE; guarded by db->mu */
  pw_item first;                 /* where items points if there is one */
} pw_job;

/* queue.c */
const char *pw_how_ended(const char *code); /* of an operation, by the code it is cancelled with */

static inline pw_job *pw_job_of(pw_op *op) {
  return (pw_job *)op;
}

/* pagepool.c */
void pw_pool_init(void);
uint64_t pw_pool_held(void);

/* pagemap.c */
pw_page *pw_pagemap_find(const pw_pagemap *map, uint64_t key);
int pw_pagemap_put(pw_pagemap *map, pw_page *page); /* replaces; SQLITE_NOMEM */
void pw_pagemap_take(pw_pagemap *map, pw_page *page);
void pw_pagemap_clear(pw_pagemap *map);
static inline uint64_t pw_key(int file, uint32_t index) {
  return (uint64_t)file << 32 | index;
}

/* vfs.c */
#define PW_VFS_NAME "pagewire"
int pw_vfs_register(void);
int64_t pw_now_ns(void);
void pw_cond_init(pthread_cond_t *cond);
int pw_cond_wait_until(pthread_cond_t *cond, pthread_mutex_t *mu, int64_t until_ns);

/* lock.c */
void pw_lock(pw_db *db);
int pw_wait(pw_db *db, int64_t until_ns);
void pw_open_door(pw_db *db);
int pw_enter_as_guest(pw_db *db);
int pw_leave_as_guest(pw_db *db);

/* tune.c */
#define PW_TUNE_INLINE_READS    0
#define PW_TUNE_INLINE_WRITES   1
#define PW_TUNE_POINT_READS     2
#define PW_TUNE_HELD_READS      3
#define PW_TUNE_RESIDENT_WRITES 4
#define PW_TUNE_PAGE_POOL       5
#define PW_TUNE_FED_BATCHES     6
void pw_tune_init(void);
int pw_tuned_off(int technique);

/* registry.c */
void pw_registry_add(pw_db *db);
void pw_registry_remove(pw_db *db);
pw_db *pw_db_find(uint64_t id);
pw_db **pw_registry_all(int *n);

/* budget.c */
typedef struct pw_budget {
  uint64_t limit, used; /* bytes, now */
  uint64_t held; /* see pw_pool_held() */
  uint64_t given_back; /* bytes, ever */
} pw_budget;
void pw_budget_set(uint64_t bytes); /* 0: the default */
void pw_budget_get(pw_budget *out);
void pw_budget_measure(pw_db *db);
void pw_budget_count(pw_db *db);
void pw_budget_give_back(pw_db *db);
void pw_budget_check(void);

/* commit.c */
int pw_commit_allowed(pw_db *db);
int pw_commit_hand_over(pw_db *db, int drop_journal);
void pw_commit_discard(pw_db *db);
int pw_commit_reload(pw_db *db, pw_error *error);

/* guard.c */
int pw_guard_install(pw_db *db);

/* stmt.c */
int pw_stmt_prepare(pw_stmt *stmt);
int pw_stmt_bind(pw_stmt *stmt, const pw_value *params, uint32_t n, pw_error *error);
void pw_stmt_note_reprepare(pw_stmt *stmt);
void pw_stmt_describe(pw_stmt *stmt, pw_item *item);
void pw_stmt_collect(pw_db *db);
void pw_stmt_finalize_all(pw_db *db);
pw_stmt *pw_stmt_new(pw_db *db, const char *sql, size_t n);
pw_stmt *pw_stmt_ref(pw_stmt *stmt);
void pw_stmt_free(pw_stmt *stmt);

/* rows.c */
int pw_pack_row(pw_rows *rows, sqlite3_stmt *st, uint32_t ncol);
void pw_rows_clear(pw_rows *rows);
void pw_rows_free(pw_rows *rows);
size_t pw_rows_memory(const pw_rows *rows);

/* op.c */
pw_op *pw_op_new(pw_db *db, int kind, uint32_t nitem);
void pw_op_item(pw_op *op, uint32_t item, pw_stmt *stmt, uint32_t shape);
void pw_op_bind(pw_op *op, uint32_t item, const pw_value *params, uint32_t n);
void *pw_op_memory(pw_op *op, size_t bytes);
void pw_op_params(pw_op *op, uint32_t item, pw_value *params, uint32_t n);
void pw_op_free(pw_op *op);
int pw_op_spare(pw_op *op);
void pw_op_reuse(pw_op *op, pw_db *db, int kind);
void pw_op_clear_result(pw_op *op);
void pw_op_fail(pw_op *op, const char *code, int sqlite, const char *format, ...);
void pw_error_set(pw_error *error, const char *code, int sqlite, const char *message);
void pw_error_copy(pw_error *to, const pw_error *from);
void pw_error_clear(pw_error *error);

/* feed.c */
#define PW_NO_MORE 0xFFFFFFFFu
void pw_op_give(pw_op *op, uint32_t n);
int pw_feed_wait(pw_op *op, uint32_t *given);

/* run.c */
void pw_op_run(pw_op *op);
int pw_step(pw_db *db, sqlite3_stmt *st);
int64_t pw_run_begin(pw_db *db, int kind);
uint64_t pw_run_end(pw_db *db, int kind, int64_t began);
void pw_note_suspect_schema(pw_db *db);

/* inline.c */
#define PW_INLINE_READ  1 /* inline_mode: a miss ends the run with SQLITE_INTERRUPT */
#define PW_INLINE_WRITE 2 /* ... with SQLITE_BUSY */
#define PW_INLINE_SURE  3 /* ... is fetched, as on a worker: none is expected */
#define PW_KNOWN        1 /* what a statement writes: nothing that follows, or */
#define PW_LONG         2 /* ... possibly much */
#define PW_VIRTUAL      4 /* ... to virtual tables */
int pw_inline_run(pw_op *op);
void pw_inline_note_write(pw_db *db, pw_stmt *stmt);
void pw_inline_classify(pw_stmt *stmt);
void pw_inline_close(pw_db *db);

/* point.c */
int pw_point_run(pw_stmt *stmt, const pw_value *params, uint32_t n, uint32_t shape, pw_rows *row);
void pw_point_let_go(pw_db *db);
void pw_point_close(pw_db *db);

/* resident.c */
uint64_t pw_resident_pages(pw_db *db);
void pw_resident_begin(pw_db *db);
int pw_resident_holds(pw_db *db);

/* queue.c */
#define PW_MAY_HOLD 1
#define PW_IN_CROWD 2 /* ... and there is a next one already */
int pw_op_try(pw_op *op);
int pw_stmt_read(pw_stmt *stmt, const pw_value *params, uint32_t n, uint32_t shape, pw_rows *row);
void pw_op_submit(pw_op *op, pw_done_fn done, void *ctx);
void pw_op_wait(pw_op *op);
void pw_op_cancel(pw_op *op, const char *code);
void pw_cursor_reset(pw_stmt *stmt);
void pw_queue_run(pw_db *db);
int64_t pw_queue_give_back(pw_db *db, int64_t keep);
void pw_queue_unlock(pw_db *db);
int pw_queue_goes_on(const pw_db *db);
void pw_queue_stop(pw_db *db);
void pw_queue_cancel(pw_db *db);
pw_op *pw_queue_open_gate(pw_db *db, uint64_t failed_from, const pw_error *failure);
void pw_queue_tell(pw_db *db, pw_op *list);

/* workers.c */
extern atomic_int pw_simulated; /* Go runs what is queued, and tells the time */
void pw_workers_schedule(pw_db *db);

/* db.c: called by Go */
pw_db *pw_db_open(uintptr_t handle, uint64_t size, uint64_t journal_size, uint64_t max_commit);
int pw_db_start(pw_db *db, uint64_t cache_bytes, pw_error *error);
void pw_db_stop(pw_db *db);
void pw_db_ref(pw_db *db);
void pw_db_unref(pw_db *db);
uint64_t pw_db_id(const pw_db *db);
int pw_db_cancelled(pw_db *db);
uint32_t pw_db_hints(pw_db *db, uint32_t *out);
void pw_db_metrics(pw_db *db, pw_metrics *out);
void pw_db_stage(pw_db *db, int file, uint32_t index, const void *page, int asked);
void pw_db_committed(pw_db *db, uint64_t token);
void pw_db_lost(pw_db *db, const pw_error *error);
void pw_db_failed(pw_db *db, uint64_t token, const char *code, const char *message);

/* Go, called by the engine; see callbacks.go. */
int goFetch(uintptr_t handle, int file, uint32_t index, int64_t timeout_ms, pw_error *error);
void goInterrupt(uintptr_t handle);
void goCommit(uintptr_t handle, uint64_t token, uint64_t size, uint32_t npage, uint32_t *indexes,
              pw_page **pages, int drop_journal, int more);
void goRelease(uintptr_t handle);
void goSettle(uintptr_t handle);
int goReload(uintptr_t handle, uint64_t *size, int *lost, pw_error *error);
void goDone(pw_op *op, uintptr_t submitted);

/* Go, called instead of the workers and the clock if pw_simulated is set; see
** simulate.go. goWork() is called with db->mu held and returns at once. */
void goWork(pw_db *db);
int64_t goNow(void);

#endif /* PAGEWIRE_INTERNAL_H */
