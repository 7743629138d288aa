/*
** The C interface of Pagewire's engine: databases, statements, operations and
** packed rows. It is what the N-API bridge (napi/) sees of the addon, through
** the one exported symbol pagewire_api(), and what internal/sqlite implements.
**
** Threads. A pw_db runs one operation at a time: inline on the thread that
** calls pw_op_try() or pw_op_wait(), or on one of the engine's own workers
** after pw_op_submit(). Everything else here may be called from any thread,
** unless it says otherwise. No function here touches JavaScript.
*/
#ifndef PAGEWIRE_H
#define PAGEWIRE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PW_API_VERSION 5

typedef struct pw_db pw_db;       /* an open database, reference counted */
typedef struct pw_stmt pw_stmt;   /* SQL text, prepared when first run */
typedef struct pw_op pw_op;       /* one operation and its result */

/* Types of values and tags of packed cells. */
#define PW_NULL   0
#define PW_INT    1   /* value: i; packed: double, the integer is safe */
#define PW_REAL   2   /* value: r; packed: double */
#define PW_TEXT   3   /* value: UTF-8 bytes; packed: length in UTF-16 units */
#define PW_BLOB   4   /* value: bytes; packed: length in bytes */
#define PW_BIGINT 5   /* packed only: 64 raw bits, beyond +-(2^53-1) */

/* A parameter to bind. Names come without their prefix (: @ $). */
typedef struct pw_value {
  int type;           /* PW_NULL ... PW_BLOB */
  int64_t i;
  double r;
  const void *p;      /* text or blob, copied by the callee */
  size_t n;           /* its length in bytes */
  const char *name;   /* NULL for a positional parameter */
  size_t n_name;
} pw_value;

/*
** Packed rows: cell c of row r has its type in tags[r*ncol+c] and its number
** or length in cells[r*ncol+c] (a PW_BIGINT's slot holds int64 bits). The text
** of all cells stands end to end in text, ASCII bytes if wide is 0 and UTF-16
** in native order if wide is 1; blobs stand end to end in blob. All memory
** belongs to the operation, and the caps are how much of it there is.
*/
typedef struct pw_rows {
  uint32_t nrow, ncol;
  uint8_t *tags;
  double *cells;
  void *text;
  size_t n_text;      /* in units: bytes, or 2 byte units if wide */
  int wide;
  uint8_t *blob;
  size_t n_blob;
  size_t cap_tag, cap_cell, cap_text, cap_blob; /* bytes */
} pw_rows;

/* Why an operation failed. code is "" where SQLite's own code says it all. */
typedef struct pw_error {
  char code[40];      /* stable Pagewire code: "storage_quota_exceeded", ... */
  int sqlite;         /* extended result code, 0 if SQLite took no part */
  int offset;         /* byte offset in the SQL text, -1 if unknown */
  char *message;      /* NUL-terminated UTF-8, belongs to the operation */
} pw_error;

/* Kinds of operations. */
#define PW_EXEC  1    /* all statements of the SQL text, rows dropped */
#define PW_RUN   2    /* one statement; rows are kept if it has columns */
#define PW_GET   3    /* one statement, its first row */
#define PW_ALL   4    /* one statement, all rows */
#define PW_BATCH 5    /* several statements in one transaction */
#define PW_STEP  6    /* the next rows of a cursor */

/* One statement of an operation: what to run, then what came out. */
typedef struct pw_item {
  pw_stmt *stmt;
  pw_value *params;
  uint32_t nparam;
  size_t cap_params;  /* bytes that params can hold, texts and blobs included;
                      ** 0 if they stand in memory of the operation */
  uint32_t shape;     /* in: the shape the caller knows; out: the real one */
  char *names;        /* out, if the shapes differ: ncol NUL-terminated names */
  size_t n_names;     /* bytes of names */
  uint32_t ncol;
  int64_t changes;
  int64_t last_rowid;
  pw_rows rows;
} pw_item;

/* Results of pw_op_try(). */
#define PW_DONE  0   /* finished, with a result or an error */
#define PW_DEFER 1   /* untouched: submit it */

typedef void (*pw_done_fn)(pw_op *op, void *ctx);

struct pw_op {
  pw_op *next;        /* free for whoever owns the operation at the time */
  pw_db *db;
  int kind;
  pw_item *items;     /* one, but for PW_BATCH */
  uint32_t nitem;
  uint32_t max_rows;  /* PW_STEP: rows a step at most; 0 means 1,000 */
  uint32_t need_epoch;/* not 0: fail with transaction_lost unless it is the
                      ** database's epoch and a transaction is open */
  int64_t timeout_ms; /* not 0: give up after as long (code "timeout") */
  /* results */
  int failed;         /* error says why */
  int more;           /* PW_STEP: the cursor has not ended */
  int autocommit;     /* no transaction is open after this operation */
  uint32_t epoch;     /* rises when a failed commit made the database reload */
  int ran_inline;
  pw_error error;
  void *user;         /* the submitter's own */
};

/* Counters of one database since it was opened; durations in nanoseconds. */
typedef struct pw_duration {
  uint64_t count, total_ns, max_ns;
} pw_duration;

typedef struct pw_metrics {
  pw_duration op[7];        /* by kind, 0 unused */
  uint64_t statements;      /* statements run, those of scripts included */
  uint64_t errors;
  uint64_t inline_hits;     /* reads answered on the calling thread */
  uint64_t inline_reruns;   /* reads begun there and rerun on a worker */
  uint64_t rows;
  uint64_t vfs_reads;       /* pages SQLite asked the VFS for */
  uint64_t vfs_hits;        /* of those: staged or pending */
  uint64_t vfs_misses;      /* of those: fetched over the channel */
  uint64_t vfs_prefetched;  /* pages staged that nobody had asked for yet */
  uint64_t vfs_wasted;      /* of those: dropped unread */
  uint64_t vfs_commits;
  uint64_t vfs_commit_pages;
  uint64_t vfs_staged_bytes;   /* now */
  uint64_t vfs_pending_bytes;  /* now: handed over, not acknowledged */
  uint64_t cache_bytes;        /* now: SQLite's page cache */
} pw_metrics;

/*
** An answer or an event of the Go side: JSON text, and byte strings beside it
** as a sequence of {u32 LE length, bytes}, length 0xFFFFFFFF for an absent one.
** ok is 0 when json is {"code", "message", ...} of an error. The memory is
** valid during the call only. Called on any thread.
*/
typedef void (*pw_reply_fn)(void *ctx, int ok, const char *json, size_t n_json, const uint8_t *bin,
                            size_t n_bin);

/* Drops what ctx stands for. */
typedef void (*pw_release_fn)(void *ctx);

/* The table. Every member is set. */
typedef struct pw_api {
  uint32_t version;   /* PW_API_VERSION */

  /*
  ** Environments. env_open() makes a scope for the channels of one JavaScript
  ** environment; on_event(ctx, ...) is called for their events. env_close()
  ** returns at once, closes what the scope still has open in the background,
  ** and calls release(ctx) when on_event will not be called again. 0 is no
  ** environment: there was no memory for one.
  */
  uint64_t (*env_open)(pw_reply_fn on_event, pw_release_fn release, void *ctx);
  void (*env_close)(uint64_t env);

  /*
  ** call() runs a method of the Go side: see addon/methods.go for their names,
  ** requests and results. It returns at once, and the calling thread never
  ** enters Go; reply(ctx, ...) is called exactly once.
  */
  void (*call)(uint64_t env, const char *method, const char *json, size_t n_json,
               const uint8_t *bin, size_t n_bin, pw_reply_fn reply, void *ctx);

  /*
  ** Databases. call("open") answers a handle; db_get() finds the database by
  ** it and adds a reference, NULL if there is none. db_unref() drops one.
  */
  pw_db *(*db_get)(uint64_t handle);
  void (*db_unref)(pw_db *db);
  void (*db_metrics)(pw_db *db, pw_metrics *out);

  /* Statements. A statement belongs to its database and holds a reference to
  ** it; it may be freed while an operation uses it. */
  pw_stmt *(*stmt_new)(pw_db *db, const char *sql, size_t n);
  void (*stmt_free)(pw_stmt *stmt);

  /*
  ** Operations. op_new() makes one with nitem items; op_bind() copies
  ** parameters into an item; op_item() sets its statement, which the operation
  ** holds a reference to. op_memory() gives out memory that is the operation's
  ** own, or fails it and answers NULL; op_params() sets parameters that stand
  ** there with all they point to.
  **
  ** A batch may be submitted before all its items are set: op_give() says, before
  ** and then after each piece, that those below n are. Who has submitted it goes on
  ** until all are given, whatever becomes of it meanwhile, or gives 0, and it fails
  ** for want of the others; it must not be freed before.
  **
  ** op_try() runs a read on the calling thread if nothing stands in the way:
  ** no other operation, no unacknowledged commit, no page miss, at most about
  ** a millisecond. op_submit() queues the operation; done(op, ctx) is called
  ** exactly once, on any thread, after every commit before it is durable.
  ** op_wait() is submit and wait in one, on the calling thread, in its turn
  ** behind what is queued.
  ** op_cancel() makes a submitted operation that is not done yet finish soon
  ** with the code given; op must not have been freed.
  */
  pw_op *(*op_new)(pw_db *db, int kind, uint32_t nitem);
  void (*op_item)(pw_op *op, uint32_t item, pw_stmt *stmt, uint32_t shape);
  void (*op_bind)(pw_op *op, uint32_t item, const pw_value *params, uint32_t n);
  void *(*op_memory)(pw_op *op, size_t bytes);
  void (*op_params)(pw_op *op, uint32_t item, pw_value *params, uint32_t n);
  void (*op_give)(pw_op *op, uint32_t n);
  int (*op_try)(pw_op *op);
  void (*op_submit)(pw_op *op, pw_done_fn done, void *ctx);
  void (*op_wait)(pw_op *op);
  void (*op_cancel)(pw_op *op, const char *code);
  void (*op_free)(pw_op *op);

  /*
  ** An operation that is done may be kept for another one of one item, which
  ** then needs no memory of its own: op_spare() takes from it what it held, or
  ** frees it and answers 0 if there is too much of it; op_reuse() is op_new().
  */
  int (*op_spare)(pw_op *op);
  void (*op_reuse)(pw_op *op, pw_db *db, int kind);

  /*
  ** Point reads. stmt_read() is op_try() for the first row of a statement that has
  ** been run before, without an operation: row holds it, or no row. shape is the one
  ** that the caller knows, of row->ncol columns; tags and cells have room for that
  ** many, and text and blob belong to row, for the next read too. PW_DEFER means that
  ** nothing has happened: make it an operation, which also tells what is wrong.
  */
  int (*stmt_read)(pw_stmt *stmt, const pw_value *params, uint32_t n, uint32_t shape, pw_rows *row);
  void (*rows_free)(pw_rows *rows);

  /*
  ** Cursors. A PW_STEP operation runs its statement as a cursor: the first
  ** one binds and starts it, the following ones, with the same statement and
  ** no parameters, go on where it stood. The statement should be one of its
  ** own. cursor_reset() ends it early; it is queued like an operation.
  */
  void (*cursor_reset)(pw_stmt *stmt);
} pw_api;

/* The one exported symbol of the addon. */
const pw_api *pagewire_api(void);

#ifdef __cplusplus
}
#endif
#endif /* PAGEWIRE_H */
