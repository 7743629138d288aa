/*
** The threads that run queued operations. A worker blocks while a page is being
** fetched, so there are as many as databases wait at once, up to a limit; one
** that has had nothing to do for a while ends.
**
** One is called at a time. It calls the next when it has come and there is more to
** do than it takes itself. So what comes at once is done by as many workers as find
** a processor, and not by one each, of which most would wake to find a lock held.
** Each waits for a condition of its own: glibc before 2.41 may lose a signal where
** several threads wait for one (its bug 25847), and a call that is lost would hold
** up all the others.
*/
#define _GNU_SOURCE
#ifdef __linux__
#include <sys/resource.h>
#include <unistd.h>
#endif
#include "internal.h"

#define MAX_WORKERS 256
#define IDLE_NS     10000000000
#define STACK_BYTES (1024 * 1024)
#define NICE        5

typedef struct worker worker;
struct worker {
  pthread_cond_t wake;
  int called;
  worker *next; /* in pool.idle or pool.spare */
};

static struct {
  pthread_mutex_t mu;
  pw_db *first, **last; /* databases with something queued, each referenced */
  worker *idle;         /* those that wait, the last one to begin in front */
  worker *spare;        /* those without a thread, but for the ones never used */
  int used;             /* how many of workers[] ever were */
  int coming;           /* a worker was called, or started: it will look at the list */
} pool = {.mu = PTHREAD_MUTEX_INITIALIZER, .last = &pool.first};

/* Never freed: one may be signalled after its thread has gone. */
static worker workers[MAX_WORKERS];

atomic_int pw_simulated;

static pw_db *next_ready(void) {
  pw_db *db = pool.first;
  pool.first = db->next_ready;
  if (!pool.first) pool.last = &pool.first;
  return db;
}

/* When there are fewer processors than there is work, JavaScript's threads go
** first: a worker that has just been woken would otherwise take the processor
** from the one that woke it. Only Linux has a niceness for each thread. */
static void give_way(void) {
#ifdef __linux__
  setpriority(PRIO_PROCESS, (id_t)gettid(), NICE);
#endif
}

static void push(worker **list, worker *w) {
  w->next = *list;
  *list = w;
}

static worker *pop(worker **list) {
  worker *w = *list;
  if (w) *list = w->next;
  return w;
}

static void *work(void *arg);

/* The caller holds pool.mu. Should no thread be to be had at all, the next call
** tries again. */
static void start_worker(void) {
  pthread_attr_t attr;
  pthread_t thread;

  if (!pool.spare && pool.used < MAX_WORKERS) {
    pw_cond_init(&workers[pool.used].wake);
    push(&pool.spare, &workers[pool.used++]);
  }
  if (!pool.spare || pthread_attr_init(&attr) != 0) return;
  pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
  pthread_attr_setstacksize(&attr, STACK_BYTES);
  if (pthread_create(&thread, &attr, work, pool.spare) == 0) {
    pop(&pool.spare);
    pool.coming = 1;
  }
  pthread_attr_destroy(&attr);
}

/* Unlocks pool.mu, and calls a worker if there is something to do and none on its
** way; in this order, since it would wake only to wait for the lock. */
static void unlock_and_call(void) {
  worker *w = 0;

  if (pool.first && !pool.coming) {
    w = pop(&pool.idle);
    if (w) w->called = pool.coming = 1;
    else start_worker();
  }
  pthread_mutex_unlock(&pool.mu);
  if (w) pthread_cond_signal(&w->wake);
}

/* Waits to be called; 0 if that did not happen for long. The caller holds pool.mu. */
static int wait_for_call(worker *self) {
  int64_t until = pw_now_ns() + IDLE_NS;
  int in_time = 1;
  worker **at;

  self->called = 0;
  push(&pool.idle, self);
  while (!self->called && in_time) in_time = pw_cond_wait_until(&self->wake, &pool.mu, until);
  if (self->called) {
    pool.coming = 0;
    return 1;
  }
  for (at = &pool.idle; *at != self; at = &(*at)->next) {}
  *at = self->next;
  return 0;
}

static void *work(void *arg) {
  worker *self = arg;

  give_way();
  pthread_mutex_lock(&pool.mu);
  pool.coming = 0;
  while (pool.first || wait_for_call(self)) {
    pw_db *db;
    if (!pool.first) continue; /* one that was not called has taken it */
    db = next_ready();
    unlock_and_call();
    pw_queue_run(db);
    pw_db_unref(db);
    pthread_mutex_lock(&pool.mu);
  }
  push(&pool.spare, self);
  pthread_mutex_unlock(&pool.mu);
  return 0;
}

/* Has a worker call pw_queue_run(db), with the caller's reference. */
void pw_workers_schedule(pw_db *db) {
  if (atomic_load(&pw_simulated)) {
    goWork(db);
    return;
  }
  db->next_ready = 0;
  pthread_mutex_lock(&pool.mu);
  *pool.last = db;
  pool.last = &db->next_ready;
  unlock_and_call();
}
