/*
** Waiting for a condition until a time of the clock that pw_now_ns() reads, which no change of the
** wall clock moves.
*/
#include <time.h>
#include "internal.h"

/* Makes a condition whose timed waits follow the clock of pw_now_ns(), where
** the system has such. */
void pw_cond_init(pthread_cond_t *cond) {
#if defined(__APPLE__) || defined(_WIN32)
  pthread_cond_init(cond, 0);
#else
  pthread_condattr_t attr;
  pthread_condattr_init(&attr);
  pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
  pthread_cond_init(cond, &attr);
  pthread_condattr_destroy(&attr);
#endif
}

/* Waits for a signal until a time of pw_now_ns(); 0 if that has passed. */
int pw_cond_wait_until(pthread_cond_t *cond, pthread_mutex_t *mu, int64_t until_ns) {
  struct timespec t;
#ifdef __APPLE__
  int64_t left = until_ns - pw_now_ns();
  if (left <= 0) return 0;
  t.tv_sec = left / 1000000000;
  t.tv_nsec = left % 1000000000;
  return pthread_cond_timedwait_relative_np(cond, mu, &t) == 0;
#elif defined(_WIN32)
  /* mingw's conditions know the wall clock alone; a change of it ends the wait early or late. */
  int64_t left = until_ns - pw_now_ns();
  if (left <= 0) return 0;
  clock_gettime(CLOCK_REALTIME, &t);
  left += t.tv_nsec;
  t.tv_sec += left / 1000000000;
  t.tv_nsec = (long)(left % 1000000000);
  return pthread_cond_timedwait(cond, mu, &t) == 0;
#else
  t.tv_sec = until_ns / 1000000000;
  t.tv_nsec = until_ns % 1000000000;
  return pthread_cond_timedwait(cond, mu, &t) == 0;
#endif
}
