/*
** The threads that run queued operations. A worker blocks while a page is being
** fetched, so there are as many as databases wait at once, up to a limit; one
** that has had nothing to do for a while ends.
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

static void *work(void *arg) {
  struct timespec until;

  (void)arg;
  give_way();
  pthread_mutex_lock(&pool.mu);
  for (;;) {
    int timed_out = 0;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += IDLE_SECONDS;
    pool.idle++;
    while (!pool.first && !timed_out) {
      timed_out = pthread_cond_timedwait(&pool.work, &pool.mu, &until) == ETIMEDOUT;
    }
    pool.idle--;
    if (!pool.first) break;
    pw_db *db = next_ready();
    pthread_mutex_unlock(&pool.mu);
    pw_queue_run(db);
    pw_db_unref(db);
    pthread_mutex_lock(&pool.mu);
  }
  pool.threads--;
  pthread_mutex_unlock(&pool.mu);
  return 0;
}

/* The caller holds pool.mu. */
static void start_worker(void) {
  pthread_attr_t attr;
  pthread_t thread;

  if (pthread_attr_init(&attr) != 0) return;
  pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
  pthread_attr_setstacksize(&attr, STACK_BYTES);
  if (pthread_create(&thread, &attr, work, 0) == 0) pool.threads++;
  pthread_attr_destroy(&attr);
}

/* Has a worker call pw_queue_run(db), with the caller's reference. Should no
** thread be to be had at all, the next operation tries again. */
void pw_workers_schedule(pw_db *db) {
  int waiting = 0;
  pw_db *ready;

  if (atomic_load(&pw_simulated)) {
    goWork(db);
    return;
  }
  db->next_ready = 0;
  pthread_mutex_lock(&pool.mu);
  *pool.last = db;
  pool.last = &db->next_ready;
  for (ready = pool.first; ready && waiting <= pool.idle; ready = ready->next_ready) waiting++;
  if (waiting > pool.idle && pool.threads < MAX_WORKERS) start_worker();
  pthread_mutex_unlock(&pool.mu);
  pthread_cond_signal(&pool.work);
}
