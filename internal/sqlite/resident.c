/*
** Residency: SQLite's cache holds every page of the file, so a write can miss
** none and needs no savepoint to be undone. That is found out when a transaction
** begins, while nothing is written, and holds until it ends, unless something
** runs that may drop pages. What the transaction writes stays in the cache
** anyway, since cache_spill is off.
**
** Should a page be missing all the same, it is fetched while the calling thread
** waits, a second at most. So what is found out here decides how a write runs, not
** whether it is right.
*/
#include "internal.h"

#define ROOM (512 * 1024) /* bytes; no statement fills as much, unless with computed values */

/* What a page counts in SQLITE_DBSTATUS_CACHE_USED. */
static int page_memory;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static int used(sqlite3 *conn) {
  int now = 0, high = 0;
  sqlite3_db_status(conn, SQLITE_DBSTATUS_CACHE_USED, &now, &high, 0);
  return now;
}

/* SQLite does not say what a page takes, nor how many there are: the second and
** the third page of a database in memory tell. */
static void measure_page(void) {
  sqlite3 *conn = 0;
  int before;

  if (sqlite3_open_v2(":memory:", &conn, SQLITE_OPEN_READWRITE, PW_VFS_NAME) == SQLITE_OK &&
      sqlite3_exec(conn, "CREATE TABLE a (x)", 0, 0, 0) == SQLITE_OK) {
    before = used(conn);
    if (sqlite3_exec(conn, "CREATE TABLE b (x)", 0, 0, 0) == SQLITE_OK) {
      page_memory = used(conn) - before;
    }
  }
  sqlite3_close_v2(conn);
}

/* How many pages of the file SQLite's cache holds. It counts its pager too, which
** takes a page and something less than one; and tables in a temporary database,
** whose pages are not told from the file's: then 0. */
uint64_t pw_resident_pages(pw_db *db) {
  int bytes = used(db->conn) - (int)PW_PAGE;

  pthread_once(&once, measure_page);
  if (page_memory <= 0 || bytes < 0 || sqlite3_db_readonly(db->conn, "temp") >= 0) return 0;
  return (uint64_t)(bytes / page_memory);
}

static int has_room(const pw_db *db) {
  return used(db->conn) + ROOM <= db->cache_bytes;
}

/* A transaction has begun and written nothing. */
void pw_resident_begin(pw_db *db) {
  uint64_t pages = (db->size + PW_PAGE - 1) / PW_PAGE;

  db->resident =
      !pw_tuned_off(PW_TUNE_RESIDENT_WRITES) && has_room(db) && pw_resident_pages(db) >= pages;
}

/* May the next write of the transaction do without a savepoint? A full cache drops
** pages. */
int pw_resident_holds(pw_db *db) {
  if (db->resident && !has_room(db)) db->resident = 0;
  return db->resident;
}
