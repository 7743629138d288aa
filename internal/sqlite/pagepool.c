/*
** Memory of pages that are written, fetched, or on their way: taken and given back
** by the hundred, at each large transaction and each fetch. malloc() would get them
** from the system one by one, a call and a fault each, and give all of them back.
** So the first POOL_PAGES lie in one piece of memory, which stays; the system gives
** it as it is used. Those beyond are SQLite's allocator's.
*/
#include <stdlib.h>
#include "internal.h"

#define POOL_PAGES 1024 /* 4 MiB */

static struct {
  pthread_mutex_t mu;
  pw_page *memory; /* NULL until it is needed, and if there was none */
  uint32_t used;   /* of the memory, the others were never needed */
  pw_page *unused; /* given back */
} pool = {.mu = PTHREAD_MUTEX_INITIALIZER};

static pw_page *from_pool(void) {
  pw_page *page = 0;

  pthread_mutex_lock(&pool.mu);
  if (!pool.memory) pool.memory = malloc(POOL_PAGES * sizeof(*pool.memory));
  if (pool.unused) {
    page = pool.unused;
    pool.unused = page->next;
  } else if (pool.memory && pool.used < POOL_PAGES) {
    page = &pool.memory[pool.used++];
  }
  pthread_mutex_unlock(&pool.mu);
  return page;
}

/* The caller holds pool.mu. */
static int is_of_pool(const pw_page *page) {
  uintptr_t at = (uintptr_t)page, memory = (uintptr_t)pool.memory;
  return memory && at >= memory && at < memory + POOL_PAGES * sizeof(*page);
}

/* A page whose fields and data are undefined; NULL if there is no memory. */
pw_page *pw_page_new(void) {
  pw_page *page = pw_tuned_off(PW_TUNE_PAGE_POOL) ? 0 : from_pool();
  return page ? page : sqlite3_malloc64(sizeof(*page));
}

void pw_page_free(pw_page *page) {
  int pooled;

  if (!page) return;
  pthread_mutex_lock(&pool.mu);
  pooled = is_of_pool(page);
  if (pooled) {
    page->next = pool.unused;
    pool.unused = page;
  }
  pthread_mutex_unlock(&pool.mu);
  if (!pooled) sqlite3_free(page);
}
