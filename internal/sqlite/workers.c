/*
** The threads that run queued operations. A worker blocks while a page is being
** fetched, so there are as many as databases wait at once, up to a limit; one
** that has had nothing to do for a while ends.
**
** One is called at a time. It calls the next when it has come and there is more to
** do than it takes itself. So what comes at once is done by as many workers as find
** a processor, and not by one each, of which most would wake to find a lock held.
*/
#define _GNU_SOURCE
#include <errno.h>
#include <time.h>
#ifdef __linux__
#include <sys/resource.h>
#include <unistd.h>
#endif
#include "internal.h"

#define MAX_WORKERS  256
#define IDLE_SECONDS 10
#define STACK_BYTES  (1024 * 1024)
#define NICE         5

static struct {
  pthread_mutex_t mu;
  pthread_cond_t work;
  pw_db *first, **last; /* databases with something queued, each referenced */
  int threads, idle;
  int called; /* a worker that has not come yet: it is sure to look at the list */
} pool = {.mu = PTHREAD_MUTEX_INITIALIZER, .work = PTHREAD_COND_INITIALIZER, .last = &pool.first};

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

static void *work(void *arg);

/* The caller holds pool.mu. Should no thread be to be had at all, the next call
** tries again. */
static void start_worker(void) {
  pthread_attr_t attr;
  pthread_t thread;

  if (pthread_attr_init(&attr) != 0) return;
  pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
  pthread_attr_setstacksize(&attr, STACK_BYTES);
  if (pthread_create(&thread, &attr, work, 0) == 0) {
    pool.threads++;
    pool.called = 1;
  }
  pthread_attr_destroy(&attr);
}

/* Unlocks pool.mu, and calls a worker if there is something to do and none on its
** way; in this order, since it would wake only to wait for the lock. */
static void unlock_and_call(void) {
  int wake = 0;

  if (pool.first && !pool.called) {
    if (pool.idle) {
      wake = pool.called = 1;
    } else if (pool.threads < MAX_WORKERS) {
      start_worker();
    }
  }
  pthread_mutex_unlock(&pool.mu);
  if (wake) pthread_cond_signal(&pool.work);
}

/* Waits until there is something to do; 0 if there was nothing for long. The
** caller holds pool.mu. */
static int wait_for_work(void) {
  struct timespec until;
  int timed_out = 0;

  clock_gettime(CLOCK_REALTIME, &until);
  until.tv_sec += IDLE_SECONDS;
  pool.idle++;
  while (!pool.first && !timed_out) {
    timed_out = pthread_cond_timedwait(&pool.work, &pool.mu, &until) == ETIMEDOUT;
    pool.called = 0;
  }
  pool.idle--;
  return pool.first != 0;
}

static void *work(void *arg) {
  (void)arg;
  give_way();
  pthread_mutex_lock(&pool.mu);
  pool.called = 0;
  while (wait_for_work()) {
    pw_db *db = next_ready();
    unlock_and_call();
    pw_queue_run(db);
    pw_db_unref(db);
    pthread_mutex_lock(&pool.mu);
  }
  pool.threads--;
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
