/*
** The monitor looks every 20 us where it finds processors to take back, and a
** look is a thread change or two: it finds some nearly always where there is
** work, for C's threads keep those that they have called Go with, and a sync
** keeps one. Linux may let a sleeping thread lie for its timer slack, 50 us, and
** that of a new thread is its creator's. So it is set before Go's runtime makes
** its monitor: in a program by the thread that will run main(), in a library by
** the one that loads it. Go's other threads have it too: their timers are late by
** it at most.
*/
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#define SLACK_NS 500000

/* 101, the first that is not the C library's: Go's own constructor has no number
** and so comes later. */
__attribute__((constructor(101))) static void lie_longer(void) {
  const char *off = getenv("PAGEWIRE_TUNE");
  if (!off || !strstr(off, "no-timer-slack")) prctl(PR_SET_TIMERSLACK, SLACK_NS, 0, 0, 0);
}
