/*
** The VFS. It is registered once; a file is found through its name, which is
** the number of its database ("pw1", and "pw1-journal" for the journal that
** another client may have left behind). Nothing here opens a file.
**
** SQLite runs with journal_mode=MEMORY, locking_mode=EXCLUSIVE and no cache
** spill, so pages are written only while a transaction commits: into db->tx,
** which commit.c hands over when SQLITE_FCNTL_COMMIT_PHASETWO says that the
** transaction is complete.
*/
#include <stdio.h>
#include <time.h>
#ifndef _WIN32
#include <unistd.h>
#ifdef __APPLE__
#include <sys/random.h>
#endif
#endif
#include "internal.h"

#define INLINE_WAIT_MS 1000 /* for a page that was taken for cached, see resident.c */

/* An open file: the main database or the foreign journal. */
typedef struct pw_file {
  sqlite3_file base;
  pw_db *db;
  int tag;
} pw_file;

int64_t pw_now_ns(void) {
  struct timespec now;
  if (atomic_load(&pw_simulated)) return goNow();
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* Finds the database that a file name belongs to, and the file's tag. */
static pw_db *lookup(const char *name, int *tag) {
  pw_db *db;
  unsigned long long id;
  int end = 0;

  if (!name || sscanf(name, "pw%llu%n", &id, &end) != 1) return 0;
  if (name[end] == 0) *tag = PW_MAIN;
  else if (strcmp(name + end, "-journal") == 0) *tag = PW_JOURNAL;
  else return 0;
  db = pw_db_find(id);
  pw_db_unref(db); /* whoever opens the file holds a reference */
  return db;
}

static uint64_t file_size(const pw_file *file) {
  return file->tag == PW_MAIN ? file->db->size : file->db->journal_size;
}

static void note_first_use(pw_db *db, uint32_t index) {
  if (db->nhint < PW_MAX_HINTS) db->hints[db->nhint++] = index;
}

/* Copies the page out of memory if it is there. A staged page is then SQLite's:
** its pager caches it, and a second copy would only take space. */
static int copy_from_memory(pw_db *db, uint64_t key, uint32_t offset, void *out, uint32_t n) {
  pw_page *page = pw_pagemap_find(&db->tx, key);
  int found;

  if (page) {
    memcpy(out, page->data + offset, n);
    return 1;
  }
  pw_lock(db);
  page = pw_pagemap_find(&db->pending, key);
  if (page) {
    memcpy(out, page->data + offset, n);
  } else if ((page = pw_pagemap_find(&db->staged, key)) != 0) {
    memcpy(out, page->data + offset, n);
    if (n == PW_PAGE) {
      pw_pagemap_take(&db->staged, page);
      sqlite3_free(page);
    }
  }
  found = page != 0;
  pthread_mutex_unlock(&db->mu);
  return found;
}

/* How long a fetch may take, 0 for as long as it takes. */
static int64_t remaining_ms(const pw_db *db) {
  int64_t left;
  if (!db->until_ns) return db->inline_mode ? INLINE_WAIT_MS : 0;
  left = (db->until_ns - pw_now_ns()) / 1000000;
  return left > 0 ? left : 1;
}

/* A statement that misses pages grows the cache: others may have to give back. */
static void make_room(pw_db *db) {
  pw_budget_measure(db);
  pw_lock(db);
  pw_budget_count(db);
  pthread_mutex_unlock(&db->mu);
  pw_budget_check();
}

/* Reads a part of one page that lies inside the file. */
static int read_page(pw_file *file, uint32_t index, uint32_t offset, void *out, uint32_t n) {
  pw_db *db = file->db;
  uint64_t key = pw_key(file->tag, index);
  int whole = file->tag == PW_MAIN && n == PW_PAGE;
  int unread = db->unread;

  if (whole) {
    db->metrics.vfs_reads++;
    note_first_use(db, index);
  }
  if (copy_from_memory(db, key, offset, out, n)) {
    if (whole) db->metrics.vfs_hits++;
    return SQLITE_OK;
  }
  if (db->inline_mode && db->inline_mode != PW_INLINE_SURE) {
    db->missed = 1;
    return db->inline_mode == PW_INLINE_WRITE ? SQLITE_BUSY : SQLITE_INTERRUPT;
  }
  if (whole) db->metrics.vfs_misses++;
  db->unread = 1;
  if (atomic_load(&db->cancelled)) return SQLITE_INTERRUPT;
  if (whole) make_room(db);
  if (goFetch(db->handle, file->tag, index, remaining_ms(db), &db->io_error)) {
    if (atomic_load(&db->cancelled)) return SQLITE_IOERR_READ;
    db->io_error.sqlite = SQLITE_IOERR_READ;
    return SQLITE_IOERR_READ;
  }
  if (!copy_from_memory(db, key, offset, out, n)) {
    pw_error_set(&db->io_error, "internal_error", SQLITE_IOERR_READ,
                 "a fetched page was not staged");
    return SQLITE_IOERR_READ;
  }
  db->unread = unread;
  return SQLITE_OK;
}

static int vfs_close(sqlite3_file *base) {
  (void)base;
  return SQLITE_OK;
}

static int vfs_read(sqlite3_file *base, void *buffer, int amount, sqlite3_int64 offset) {
  pw_file *file = (pw_file *)base;
  uint8_t *out = buffer;
  uint64_t size = file_size(file);
  uint64_t at = (uint64_t)offset, end = at + (uint64_t)amount;
  uint64_t stop = end < size ? end : size;

  if (end > size) memset(out, 0, (size_t)amount);
  while (at < stop) {
    uint32_t within = (uint32_t)(at % PW_PAGE);
    uint32_t n = PW_PAGE - within;
    int rc;
    if (n > stop - at) n = (uint32_t)(stop - at);
    rc = read_page(file, (uint32_t)(at / PW_PAGE), within, out, n);
    if (rc != SQLITE_OK) return rc;
    out += n;
    at += n;
  }
  /* The pager compares 16 bytes of page 1, change counter and all, with those
  ** of its cache when it takes a lock. Bytes that never match make it drop the
  ** cache; it learns the real ones with page 1 itself. */
  if (file->db->invalidate && offset == 24 && amount == 16) {
    memset(buffer, 0xA5, 16);
    file->db->invalidate = 0;
  }
  return end > size ? SQLITE_IOERR_SHORT_READ : SQLITE_OK;
}

static int vfs_write(sqlite3_file *base, const void *data, int amount, sqlite3_int64 offset) {
  pw_file *file = (pw_file *)base;
  pw_db *db = file->db;
  pw_page *page;

  if (file->tag != PW_MAIN) return SQLITE_OK; /* the header of a journal being rolled back */
  if (amount != (int)PW_PAGE || offset % PW_PAGE != 0) {
    pw_error_set(&db->io_error, "page_size", SQLITE_IOERR_WRITE,
                 "the page size of a Pagewire database is 4096; this one was made with another "
                 "and can only be read");
    return SQLITE_IOERR_WRITE;
  }
  page = pw_pagemap_find(&db->tx, pw_key(PW_MAIN, (uint32_t)(offset / PW_PAGE)));
  if (!page) {
    page = sqlite3_malloc64(sizeof(pw_page));
    if (!page) return SQLITE_IOERR_NOMEM;
    page->key = pw_key(PW_MAIN, (uint32_t)(offset / PW_PAGE));
    page->asked = 1;
    if (pw_pagemap_put(&db->tx, page) != SQLITE_OK) {
      sqlite3_free(page);
      return SQLITE_IOERR_NOMEM;
    }
  }
  memcpy(page->data, data, PW_PAGE);
  if ((uint64_t)offset + PW_PAGE > db->size) db->size = (uint64_t)offset + PW_PAGE;
  return SQLITE_OK;
}

static int vfs_truncate(sqlite3_file *base, sqlite3_int64 size) {
  pw_file *file = (pw_file *)base;
  pw_db *db = file->db;
  pw_page *page, *newer;

  if (file->tag != PW_MAIN || (uint64_t)size >= db->size) return SQLITE_OK;
  for (page = db->tx.oldest; page; page = newer) {
    newer = page->newer;
    if ((page->key & 0xFFFFFFFF) * PW_PAGE >= (uint64_t)size) {
      pw_pagemap_take(&db->tx, page);
      sqlite3_free(page);
    }
  }
  db->size = (uint64_t)size;
  return SQLITE_OK;
}

static int vfs_sync(sqlite3_file *base, int flags) {
  (void)base;
  (void)flags;
  return SQLITE_OK;
}

/* SQLite counts pages in 32 bits: to it a larger file would be an empty one,
** and the next write would bury what is stored. */
static int vfs_file_size(sqlite3_file *base, sqlite3_int64 *size) {
  uint64_t n = file_size((pw_file *)base);

  if (n > (uint64_t)PW_MAX_PAGES * PW_PAGE) {
    pw_error_set(&((pw_file *)base)->db->io_error, "", SQLITE_CORRUPT,
                 "the stored file size is larger than a database can be");
    return SQLITE_CORRUPT;
  }
  *size = (sqlite3_int64)n;
  return SQLITE_OK;
}

/* The lock is the actor's generation, held since open: nothing to do here. */
static int vfs_lock(sqlite3_file *base, int level) {
  (void)base;
  (void)level;
  return SQLITE_OK;
}

static int vfs_check_reserved_lock(sqlite3_file *base, int *out) {
  (void)base;
  *out = 0;
  return SQLITE_OK;
}

static int vfs_file_control(sqlite3_file *base, int op, void *arg) {
  pw_file *file = (pw_file *)base;

  (void)arg;
  if (file->tag != PW_MAIN) return SQLITE_NOTFOUND;
  switch (op) {
    case SQLITE_FCNTL_SYNC:
      /* Once a changing commit, after its page writes: the last moment at
      ** which SQLite can still roll back. */
      return pw_commit_allowed(file->db);
    case SQLITE_FCNTL_COMMIT_PHASETWO:
      /* The last call of a commit, after a truncation as well. */
      return pw_commit_hand_over(file->db, 0);
    default:
      return SQLITE_NOTFOUND;
  }
}

static int vfs_sector_size(sqlite3_file *base) {
  (void)base;
  return PW_PAGE;
}

static int vfs_device_characteristics(sqlite3_file *base) {
  (void)base;
  return SQLITE_IOCAP_SAFE_APPEND | SQLITE_IOCAP_POWERSAFE_OVERWRITE | SQLITE_IOCAP_SEQUENTIAL;
}

static const sqlite3_io_methods io_methods = {
    .iVersion = 1,
    .xClose = vfs_close,
    .xRead = vfs_read,
    .xWrite = vfs_write,
    .xTruncate = vfs_truncate,
    .xSync = vfs_sync,
    .xFileSize = vfs_file_size,
    .xLock = vfs_lock,
    .xUnlock = vfs_lock,
    .xCheckReservedLock = vfs_check_reserved_lock,
    .xFileControl = vfs_file_control,
    .xSectorSize = vfs_sector_size,
    .xDeviceCharacteristics = vfs_device_characteristics,
};

/* Only names that we gave can be opened: everything else would be a file of
** this machine (I7). */
static int vfs_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *base, int flags, int *out) {
  pw_file *file = (pw_file *)base;
  int tag = 0;
  pw_db *db = lookup(name, &tag);

  (void)vfs;
  file->base.pMethods = 0;
  if (!db || (tag == PW_JOURNAL && db->journal_size == 0)) return SQLITE_CANTOPEN;
  if (tag == PW_MAIN && !(flags & SQLITE_OPEN_MAIN_DB)) return SQLITE_CANTOPEN;
  file->base.pMethods = &io_methods;
  file->db = db;
  file->tag = tag;
  if (out) *out = flags;
  return SQLITE_OK;
}

/* SQLite deletes a foreign journal once it has rolled it back: its pages and
** the removal of the journal become one commit. */
static int vfs_delete(sqlite3_vfs *vfs, const char *name, int sync_dir) {
  int tag = 0;
  pw_db *db = lookup(name, &tag);

  (void)vfs;
  (void)sync_dir;
  if (!db || tag != PW_JOURNAL || db->journal_size == 0) return SQLITE_IOERR_DELETE_NOENT;
  db->journal_size = 0;
  return pw_commit_hand_over(db, 1);
}

static int vfs_access(sqlite3_vfs *vfs, const char *name, int flags, int *out) {
  int tag = 0;
  pw_db *db = lookup(name, &tag);

  (void)vfs;
  (void)flags;
  *out = db && (tag == PW_MAIN || db->journal_size > 0);
  return SQLITE_OK;
}

static int vfs_full_pathname(sqlite3_vfs *vfs, const char *name, int n, char *out) {
  (void)vfs;
  if (strlen(name) >= (size_t)n) return SQLITE_CANTOPEN;
  memcpy(out, name, strlen(name) + 1);
  return SQLITE_OK;
}

/* Time and sleeping are the system's own, randomness too where that opens no
** file; elsewhere SQLite's would open /dev/urandom. */
static sqlite3_vfs *system_vfs;

static int vfs_randomness(sqlite3_vfs *vfs, int n, char *out) {
  (void)vfs;
#ifndef _WIN32
  int at = 0;
  while (at < n && getentropy(out + at, (size_t)(n - at < 256 ? n - at : 256)) == 0) at += 256;
  if (at >= n) return n;
#endif
  return system_vfs->xRandomness(system_vfs, n, out);
}

static int vfs_sleep(sqlite3_vfs *vfs, int microseconds) {
  (void)vfs;
  return system_vfs->xSleep(system_vfs, microseconds);
}

static int vfs_current_time(sqlite3_vfs *vfs, double *now) {
  (void)vfs;
  return system_vfs->xCurrentTime(system_vfs, now);
}

static int vfs_current_time_64(sqlite3_vfs *vfs, sqlite3_int64 *now) {
  (void)vfs;
  return system_vfs->xCurrentTimeInt64(system_vfs, now);
}

static int vfs_last_error(sqlite3_vfs *vfs, int n, char *out) {
  (void)vfs;
  if (n > 0) out[0] = 0;
  return 0;
}

static sqlite3_vfs vfs = {
    .iVersion = 2,
    .szOsFile = sizeof(pw_file),
    .mxPathname = 64,
    .zName = PW_VFS_NAME,
    .xOpen = vfs_open,
    .xDelete = vfs_delete,
    .xAccess = vfs_access,
    .xFullPathname = vfs_full_pathname,
    .xRandomness = vfs_randomness,
    .xSleep = vfs_sleep,
    .xCurrentTime = vfs_current_time,
    .xGetLastError = vfs_last_error,
    .xCurrentTimeInt64 = vfs_current_time_64,
};

int pw_vfs_register(void) {
  static pthread_mutex_t once = PTHREAD_MUTEX_INITIALIZER;
  static int done;
  int rc = SQLITE_OK;

  pthread_mutex_lock(&once);
  if (!done) {
#ifndef _WIN32
    tzset(); /* reads the time zone's file now, so that no SQL does ('localtime') */
#endif
    pw_tune_init();
    pw_pool_init();
    rc = sqlite3_initialize();
    if (rc == SQLITE_OK) {
      system_vfs = sqlite3_vfs_find(0);
      rc = sqlite3_vfs_register(&vfs, 0);
    }
    done = rc == SQLITE_OK;
  }
  pthread_mutex_unlock(&once);
  return rc;
}
