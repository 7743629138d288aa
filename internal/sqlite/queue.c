/*
** The order of one database's operations. One runs at a time (busy); the others
** wait in db->queue, which a worker empties. What has run waits at the gate,
** db->gated, until every commit before its end is durable (I5).
**
** Locks: db->mu before the workers' own; never while SQLite or Go runs, nor
** while done() is called.
*/
#include <stdio.h>
#include <string.h>
#include "internal.h"

#define RUN_LIMIT     256   /* operations before a worker turns to other databases */
#define PENDING_PAGES 16384 /* unacknowledged ones (64 MiB) above which nothing is run */

static void append(pw_op ***tail, pw_op *op) {
  op->next = 0;
  **tail = op;
  *tail = &op->next;
}

/* Takes op out of a list; 0 if it is not there. */
static int take(pw_op **head, pw_op ***tail, pw_op *op) {
  pw_op **at;
  for (at = head; *at && *at != op; at = &(*at)->next) {}
  if (!*at) return 0;
  *at = op->next;
  if (*tail == &op->next) *tail = at;
  return 1;
}

static void finish(pw_job *job) {
  if (job->done) job->done(&job->op, job->ctx);
  else pw_op_free(&job->op); /* a cursor's reset: nobody waits */
}

static void finish_list(pw_op *list) {
  while (list) {
    pw_op *op = list;
    list = op->next;
    finish(pw_job_of(op));
  }
}

static int is_single(const pw_op *op) {
  return op->kind == PW_GET || op->kind == PW_ALL || op->kind == PW_RUN;
}

/* May another operation run? If handing over outruns a slow server, the next one
** stays in the queue until something is acknowledged, so that memory stays
** bounded. The caller holds db->mu. */
static int has_room(const pw_db *db) {
  return db->pending.npage <= PENDING_PAGES || db->handed == db->acked || db->failed;
}

/* Is a worker to be called, by pw_workers_schedule()? The caller holds db->mu. */
static int must_call(pw_db *db) {
  if (db->busy || db->scheduled) return 0;
  if (!db->give_back && (db->queue ? !has_room(db) : !db->garbage)) return 0;
  db->scheduled = 1;
  pw_db_ref(db);
  return 1;
}

/* May a thread take the database and read at once? The caller holds db->mu. */
static int is_idle(const pw_db *db) {
  return !(db->busy || db->queue || db->closing || db->failed || db->lost ||
           db->handed != db->acked);
}

/* Unlocks db->mu and calls a worker if there is something to do; in this order,
** since the worker would wake only to wait for the lock. */
void pw_queue_unlock(pw_db *db) {
  int call = must_call(db);
  if (is_idle(db)) pw_open_door(db);
  pthread_mutex_unlock(&db->mu);
  if (call) pw_workers_schedule(db);
}

static void begin(pw_db *db, pw_op *op) {
  db->busy = 1;
  db->rolled_back = 0;
  atomic_store_explicit(&db->cancelled, 0, memory_order_relaxed); /* set under db->mu, too */
  db->current = op;
  if (!op) return;
  pw_job_of(op)->was_autocommit = sqlite3_get_autocommit(db->conn);
  pw_job_of(op)->state = OP_RUNNING;
}

/* While a commit is held the database stays busy. */
static void end(pw_db *db) {
  pw_budget_count(db);
  db->busy = db->held;
  db->current = 0;
  pthread_cond_broadcast(&db->changed);
}

static void fail_with(pw_op *op, const pw_error *failure) {
  if (op->failed) return;
  op->failed = 1;
  pw_error_copy(&op->error, failure);
}

/* The token that op, which has run, waits for. What only began a transaction or
** rolled one back tells nothing that could vanish, and must not be cancelled
** after it took effect: its caller would not know whether one is open. */
static uint64_t gate_of(const pw_db *db, const pw_job *job) {
  const pw_op *op = &job->op;
  int began = job->was_autocommit && !op->autocommit;
  int ended = !job->was_autocommit && op->autocommit && db->rolled_back;
  return op->kind == PW_RUN && !op->failed && (began || ended) ? 0 : db->handed;
}

const char *pw_how_ended(const char *code) {
  if (strcmp(code, "timeout") == 0) return "timed out";
  if (strcmp(code, "closed") == 0) return "was given up, because the database was closed";
  return "was aborted";
}

static void fail_queued(pw_op *op, const char *code) {
  pw_op_fail(op, code, 0, "the operation %s before its turn came; it did not run",
             pw_how_ended(code));
}

static void fail_gated(pw_op *op, const char *code) {
  pw_op_fail(op, code, 0,
             "the operation %s while its commit, or one before it, was on its way; "
             "the commit may still become durable",
             pw_how_ended(code));
}

/* Is op done, or must it wait at the gate? A cancel may have come after its commit
** was handed over and before it ended. The caller holds db->mu. */
static int settle(pw_db *db, pw_job *job) {
  job->gate = gate_of(db, job);
  if (job->gate > db->acked) {
    if (db->failed) {
      fail_with(&job->op, &db->failure);
    } else if (!job->cancel[0]) {
      job->state = OP_GATED;
      return 0;
    } else if (!job->op.failed) {
      fail_gated(&job->op, job->cancel);
    }
  }
  job->state = OP_FINISHED;
  return 1;
}

/* Counts an operation's timeout from now on. */
static void start_timeout(pw_op *op) {
  if (op->timeout_ms) pw_job_of(op)->until_ns = pw_now_ns() + op->timeout_ms * 1000000;
}

static void fail_closed(pw_op *op) {
  pw_op_fail(op, "closed", 0, "the database is closed");
}

void pw_op_submit(pw_op *op, pw_done_fn done, void *ctx) {
  pw_db *db = op->db;
  pw_job *job = pw_job_of(op);
  int refused;

  job->done = done;
  job->ctx = ctx;
  job->sent = 1;
  start_timeout(op);
  pw_lock(db);
  refused = db->closing || op->failed;
  if (refused) {
    if (!op->failed) fail_closed(op);
    job->state = OP_FINISHED;
  } else {
    job->state = OP_QUEUED;
    append(&db->queue_tail, op);
  }
  pw_queue_unlock(db);
  if (refused) finish(job);
}

/* Between operations: frees statements, and pages that are to be given back. The
** caller holds db->mu, and nobody owns the database. */
static void tidy(pw_db *db) {
  int64_t give_back = db->give_back;

  db->busy = 1;
  pthread_mutex_unlock(&db->mu);
  pw_stmt_collect(db);
  if (give_back) pw_budget_give_back(db);
  pw_lock(db);
  end(db);
}

/* Has the database give back its pages but for so many bytes: now, or by a worker
** once it is not busy. Returns what it holds now. */
int64_t pw_queue_give_back(pw_db *db, int64_t keep) {
  int64_t held;

  pw_lock(db);
  if (!db->closing) db->give_back = keep + 1;
  if (!db->busy && !db->closing) tidy(db);
  held = db->counted;
  pw_queue_unlock(db);
  return held;
}

/* Will the next operation soon be at its end, and commit by itself? The caller
** holds db->mu, and owns the database. */
int pw_queue_goes_on(const pw_db *db) {
  const pw_op *next = db->queue;
  return next && is_single(next) && !next->need_epoch && next->items[0].stmt->writes == PW_KNOWN &&
         has_room(db);
}

/* A worker: runs what is queued, for a while. A commit may wait for those of the
** short writes behind it, to be sent as one with them: between such operations the
** database stays busy, so that the last of them, or the end here, sends it. */
void pw_queue_run(pw_db *db) {
  int n, owned = 0; /* between operations, for the commit that is held */

  pw_lock(db);
  db->scheduled = 0;
  if (!db->busy && !db->closing && (db->give_back || (db->garbage && !db->queue))) tidy(db);
  for (n = 0; n < RUN_LIMIT; n++) {
    pw_op *op = db->queue;
    if (owned ? !pw_queue_goes_on(db) : db->busy || !op || !has_room(db)) break;
    take(&db->queue, &db->queue_tail, op);
    begin(db, op);
    if (n < RUN_LIMIT - 1) db->may_hold = db->queue ? PW_IN_CROWD : PW_MAY_HOLD;
    pthread_mutex_unlock(&db->mu);
    pw_op_run(op);
    pw_budget_measure(db);
    pw_lock(db);
    db->may_hold = 0;
    end(db);
    owned = db->held;
    if (settle(db, pw_job_of(op))) {
      pthread_mutex_unlock(&db->mu);
      finish(pw_job_of(op));
      pw_lock(db);
    } else {
      append(&db->gated_tail, op);
    }
  }
  if (owned) {
    pthread_mutex_unlock(&db->mu);
    goRelease(db->handle);
    pw_lock(db);
    db->held = 0;
    end(db);
  }
  pw_queue_unlock(db);
  pw_budget_check();
}

/* Acknowledged commits, or failed ones from a token on: takes from the gate who
** waits no longer. In the same breath as acked or failed is set, or a reload might
** forget first what has failed. The caller holds db->mu, and then tells those
** returned with pw_queue_tell(). */
pw_op *pw_queue_open_gate(pw_db *db, uint64_t failed_from, const pw_error *failure) {
  pw_op *list = 0, **tail = &list;

  while (db->gated) {
    pw_op *op = db->gated;
    pw_job *job = pw_job_of(op);
    if (job->gate > db->acked) {
      if (!failed_from || job->gate < failed_from) break;
      fail_with(op, failure);
    }
    take(&db->gated, &db->gated_tail, op);
    job->state = OP_FINISHED;
    if (!job->waits) append(&tail, op);
  }
  pthread_cond_broadcast(&db->changed);
  return list;
}

/* Unlocks db->mu, has run what waited for room, and tells the submitters. */
void pw_queue_tell(pw_db *db, pw_op *list) {
  pw_queue_unlock(db);
  finish_list(list);
}

/* Takes the database for the calling thread if nothing stands in the way, for op or,
** if that is NULL, for what needs none. 0 if something does. */
static int enter(pw_db *db, pw_op *op) {
  int idle;

  pw_lock(db);
  idle = is_idle(db);
  if (idle) begin(db, op);
  pthread_mutex_unlock(&db->mu);
  return idle;
}

/* Gives it back. SQLite had read so many pages before. */
static void leave(pw_db *db, uint64_t reads) {
  if (db->metrics.vfs_reads != reads) pw_budget_measure(db);
  pw_lock(db);
  end(db);
  pw_queue_unlock(db);
}

/* Runs op on this thread if nothing stands in the way. */
int pw_op_try(pw_op *op) {
  pw_db *db = op->db;
  uint64_t reads = db->metrics.vfs_reads;
  int ran;

  if (op->failed) {
    pw_job_of(op)->state = OP_FINISHED;
    return PW_DONE;
  }
  if (!is_single(op)) return PW_DEFER;
  if (op->need_epoch && op->need_epoch != db->epoch) return PW_DEFER;
  if (!enter(db, op)) return PW_DEFER;
  ran = pw_inline_run(op);
  leave(db, reads);
  pw_job_of(op)->state = ran ? OP_FINISHED : OP_NEW; /* no other thread knows it any more */
  return ran ? PW_DONE : PW_DEFER;
}

/* Reads on this thread if nothing stands in the way; see point.c. */
int pw_stmt_read(pw_stmt *stmt, const pw_value *params, uint32_t n, uint32_t shape, pw_rows *row) {
  pw_db *db = stmt->db;
  uint64_t reads = db->metrics.vfs_reads;
  int ran;

  if (pw_enter_as_guest(db)) {
    atomic_store_explicit(&db->cancelled, 0, memory_order_relaxed); /* as begin() does */
  } else if (!enter(db, 0)) {
    return PW_DEFER;
  }
  ran = pw_point_run(stmt, params, n, shape, row);
  if (db->metrics.vfs_reads != reads || !pw_leave_as_guest(db)) leave(db, reads);
  return ran ? PW_DONE : PW_DEFER;
}

/* Runs the operation on this thread, in its turn, and waits at the gate. */
void pw_op_wait(pw_op *op) {
  pw_db *db = op->db;
  pw_job *job = pw_job_of(op);

  int in_time = 1;

  if (op->failed) return;
  job->waits = 1;
  start_timeout(op);
  pw_lock(db);
  while (in_time && (db->busy || db->queue) && !db->closing) in_time = pw_wait(db, job->until_ns);
  if (db->closing) {
    fail_closed(op);
  } else if (db->busy || db->queue) {
    fail_queued(op, "timeout");
  } else {
    begin(db, op);
    pthread_mutex_unlock(&db->mu);
    pw_op_run(op);
    pw_budget_measure(db);
    pw_lock(db);
    end(db);
    if (!settle(db, job)) append(&db->gated_tail, op);
    if (must_call(db)) pw_workers_schedule(db); /* the lock is kept until it waits */
    in_time = 1;
    while (in_time && job->state == OP_GATED) in_time = pw_wait(db, job->until_ns);
    if (job->state == OP_GATED) {
      take(&db->gated, &db->gated_tail, op);
      fail_gated(op, "timeout");
    }
  }
  job->state = OP_FINISHED;
  pthread_mutex_unlock(&db->mu);
  pw_budget_check();
}

/* Cancels op, which is under way; 1 if it is finished by that and finish() must
** follow, 0 if it runs and *interrupt says so. The caller holds db->mu. */
static int cancel(pw_db *db, pw_op *op, const char *code, int *interrupt) {
  pw_job *job = pw_job_of(op);

  if (job->state == OP_FINISHED || job->state == OP_NEW) return 0;
  snprintf(job->cancel, sizeof(job->cancel), "%s", code);
  if (job->state == OP_RUNNING) {
    atomic_store(&db->cancelled, 1);
    pthread_cond_broadcast(&db->changed); /* it may wait for items */
    *interrupt = 1;
    return 0;
  }
  if (take(&db->queue, &db->queue_tail, op)) {
    fail_queued(op, code);
  } else {
    take(&db->gated, &db->gated_tail, op);
    fail_gated(op, code);
  }
  job->state = OP_FINISHED;
  pthread_cond_broadcast(&db->changed);
  return 1;
}

/* Makes a submitted operation finish soon. What has been handed over may still
** become durable; the message says so. */
void pw_op_cancel(pw_op *op, const char *code) {
  pw_db *db = op->db;
  int finished, interrupt = 0;

  pw_db_ref(db);
  pw_lock(db);
  finished = cancel(db, op, code, &interrupt);
  pthread_mutex_unlock(&db->mu);
  if (interrupt) goInterrupt(db->handle);
  if (finished) finish(pw_job_of(op));
  pw_db_unref(db);
}

/* Waits until what is queued has run, and lets no operation begin any more. */
void pw_queue_stop(pw_db *db) {
  pw_lock(db);
  while (db->busy || db->queue) pw_wait(db, 0);
  db->closing = 1;
  db->give_back = 0;
  db->busy = 1;
  pthread_mutex_unlock(&db->mu);
}

/* Cancels what is queued or runs, so that pw_queue_stop has not long to wait. */
void pw_queue_cancel(pw_db *db) {
  int interrupt = 0;

  pw_lock(db);
  while (db->queue) {
    pw_op *op = db->queue;
    cancel(db, op, "closed", &interrupt);
    pthread_mutex_unlock(&db->mu);
    finish(pw_job_of(op));
    pw_lock(db);
  }
  if (db->current) cancel(db, db->current, "closed", &interrupt);
  pthread_mutex_unlock(&db->mu);
  if (interrupt) goInterrupt(db->handle);
}

/* Ends a cursor early, behind what is queued. */
void pw_cursor_reset(pw_stmt *stmt) {
  pw_op *op = pw_op_new(stmt->db, PW_STEP, 1);
  if (!op) return;
  pw_op_item(op, 0, stmt, 0);
  pw_job_of(op)->reset_only = 1;
  pw_op_submit(op, 0, 0);
}
