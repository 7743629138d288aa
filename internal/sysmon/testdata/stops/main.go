// Stops stops the world again and again while threads of C's call Go and go back. It prints how long the longest stop took,
// in milliseconds.
package main

/*
#include <pthread.h>

extern void goCall(void);

static pthread_mutex_t mu = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t more = PTHREAD_COND_INITIALIZER;
static int calls;

static void *thread(void *arg) {
  for (;;) {
    pthread_mutex_lock(&mu);
    while (!calls) pthread_cond_wait(&more, &mu);
    calls--;
    pthread_mutex_unlock(&mu);
    goCall();
  }
  return arg;
}

static int start(void) {
  pthread_t t;
  return pthread_create(&t, 0, thread, 0);
}

static void call(int n) {
  pthread_mutex_lock(&mu);
  calls += n;
  pthread_mutex_unlock(&mu);
  while (n--) pthread_cond_signal(&more);
}
*/
import "C"

import (
	"fmt"
	"os"
	"runtime"
	"time"

	"github.com/pagewire/pagewire/internal/sysmon"
)

const (
	threads = 8
	atOnce  = 2
	stops   = 80_000
)

//export goCall
func goCall() { sysmon.Beat() }

func main() {
	runtime.GOMAXPROCS(threads)
	for range threads {
		if C.start() != 0 {
			fmt.Fprintln(os.Stderr, "no thread")
			os.Exit(1)
		}
	}
	var longest time.Duration
	var stats runtime.MemStats
	for range stops {
		C.call(atOnce)
		begin := time.Now()
		runtime.ReadMemStats(&stats)
		longest = max(longest, time.Since(begin))
	}
	fmt.Println(longest.Milliseconds())
}
