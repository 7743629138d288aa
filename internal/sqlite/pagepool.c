/*
** Memory of pages: SQLite's caches are made of them, and what is written, fetched
** or on its way. They come and go by the hundred, and malloc() would get them from
** the system one by one, on a thread of the engine with a call of mprotect() each,
** and give them back as soon. So SQLite's allocator, installed here, takes what is
** as large as a page from chunks of 1 MiB. The lowest chunk with room is used first,
** so that those above become empty; of empty ones SPARE are kept, and the memory of
** others goes back to the system.
**
** The chunks lie in one range of addresses, which is reserved first and tells their
** pieces from those of malloc(). What does not fit there is malloc()'s.
*/
#include "internal.h"

#ifndef _WIN32
#include <sys/mman.h>

#define CHUNK  (1u << 20) /* bytes */
#define CHUNKS 4096       /* 4 GiB of addresses */
#define SLOT   4416       /* bytes that a page of SQLite's cache needs, or a pw_page */
#define SLOTS  (CHUNK / SLOT)
#define OTHERS PW_PAGE    /* what is no larger is no page */
#define SPARE  4

_Static_assert(sizeof(pw_page) > OTHERS && sizeof(pw_page) <= SLOT, "a pw_page is of the pool");

typedef struct slot {
  struct slot *next;
} slot;

typedef struct chunk {
  slot *unused;   /* given back */
  uint32_t fresh; /* those from here on were never used */
  uint32_t used;
} chunk;

static struct {
  pthread_mutex_t mu;
  uint8_t *base; /* of the range */
  uint32_t open; /* chunks that may be used */
  uint32_t low;  /* those below are full */
  uint32_t spare;
  uint64_t held; /* slots whose memory the system has given */
  chunk chunks[CHUNKS];
} pool = {.mu = PTHREAD_MUTEX_INITIALIZER};

static sqlite3_mem_methods others;

static int is_of_pool(const void *p) {
  return (uintptr_t)p - (uintptr_t)pool.base < (size_t)CHUNKS * CHUNK;
}

static uint8_t *memory_of(uint32_t i) {
  return pool.base + (size_t)i * CHUNK;
}

/* Opens the next chunk; 0 if there is none. The caller holds pool.mu. */
static int open_chunk(void) {
  if (pool.open == CHUNKS) return 0;
  if (mprotect(memory_of(pool.open), CHUNK, PROT_READ | PROT_WRITE) != 0) return 0;
  pool.open++;
  return 1;
}

/* Memory of a slot; NULL if there is none left. */
static void *take(void) {
  chunk *c;
  slot *s;

  pthread_mutex_lock(&pool.mu);
  while (pool.low < pool.open && pool.chunks[pool.low].used == SLOTS) pool.low++;
  if (pool.low == pool.open && !open_chunk()) {
    pthread_mutex_unlock(&pool.mu);
    return 0;
  }
  c = &pool.chunks[pool.low];
  if (c->used == 0 && c->fresh) pool.spare--;
  s = c->unused;
  if (s) {
    c->unused = s->next;
  } else {
    s = (slot *)(memory_of(pool.low) + (size_t)c->fresh++ * SLOT);
    pool.held++;
  }
  c->used++;
  pthread_mutex_unlock(&pool.mu);
  return s;
}

static void give_back(void *p) {
  uint32_t i = (uint32_t)(((uintptr_t)p - (uintptr_t)pool.base) / CHUNK);
  chunk *c = &pool.chunks[i];
  slot *s = p;

  pthread_mutex_lock(&pool.mu);
  s->next = c->unused;
  c->unused = s;
  if (i < pool.low) pool.low = i;
  if (--c->used == 0 && pool.spare == SPARE) {
    pool.held -= c->fresh;
    c->unused = 0;
    c->fresh = 0;
    madvise(memory_of(i), CHUNK, MADV_DONTNEED);
  } else if (c->used == 0) {
    pool.spare++;
  }
  pthread_mutex_unlock(&pool.mu);
}

static void *pool_malloc(int n) {
  void *p = n > OTHERS && n <= SLOT ? take() : 0;
  return p ? p : others.xMalloc(n);
}

static void pool_free(void *p) {
  if (is_of_pool(p)) give_back(p);
  else others.xFree(p);
}

static int pool_size(void *p) {
  return is_of_pool(p) ? SLOT : others.xSize(p);
}

static void *pool_realloc(void *p, int n) {
  void *to;

  if (!is_of_pool(p)) return others.xRealloc(p, n);
  if (n <= SLOT) return p;
  to = others.xMalloc(n);
  if (to) {
    memcpy(to, p, SLOT);
    give_back(p);
  }
  return to;
}

/* Before SQLite is initialized. Where the range cannot be had, or SQLite is in use
** already, all memory stays malloc()'s. */
void pw_pool_init(void) {
  sqlite3_mem_methods methods;
  void *range;

  if (pool.base || pw_tuned_off(PW_TUNE_PAGE_POOL)) return;
  range = mmap(0, ((size_t)CHUNKS + 1) * CHUNK, PROT_NONE,
               MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (range == MAP_FAILED) return;
  pool.base = (uint8_t *)(((uintptr_t)range + CHUNK - 1) / CHUNK * CHUNK);
  if (sqlite3_config(SQLITE_CONFIG_GETMALLOC, &others) != SQLITE_OK) return;
  methods = others;
  methods.xMalloc = pool_malloc;
  methods.xFree = pool_free;
  methods.xSize = pool_size;
  methods.xRealloc = pool_realloc;
  sqlite3_config(SQLITE_CONFIG_MALLOC, &methods);
}

/* Bytes that the system has given for pages: those in use, and some for the next. */
uint64_t pw_pool_held(void) {
  uint64_t held;

  pthread_mutex_lock(&pool.mu);
  held = pool.held * SLOT;
  pthread_mutex_unlock(&pool.mu);
  return held;
}

#else
void pw_pool_init(void) {}
uint64_t pw_pool_held(void) {
  return 0;
}
#endif
