/*
** The open databases by number.
*/
#include "internal.h"

static pthread_mutex_t mu = PTHREAD_MUTEX_INITIALIZER;
static pw_db *newest;
static uint64_t last_id;

/* Gives the database its number. */
void pw_registry_add(pw_db *db) {
  pthread_mutex_lock(&mu);
  db->id = ++last_id;
  db->next_db = newest;
  newest = db;
  pthread_mutex_unlock(&mu);
}

void pw_registry_remove(pw_db *db) {
  pw_db **at;
  pthread_mutex_lock(&mu);
  for (at = &newest; *at && *at != db; at = &(*at)->next_db) {}
  if (*at) *at = db->next_db;
  pthread_mutex_unlock(&mu);
}

/* All open databases, each with a reference for the caller, who frees the array;
** 0 if there are none, or no memory. */
pw_db **pw_registry_all(int *n) {
  pw_db *db, **all;
  int i = 0;

  pthread_mutex_lock(&mu);
  for (*n = 0, db = newest; db; db = db->next_db) ++*n;
  all = *n ? sqlite3_malloc64((uint64_t)*n * sizeof(*all)) : 0;
  for (db = all ? newest : 0; db; db = db->next_db) {
    pw_db_ref(db);
    all[i++] = db;
  }
  *n = i;
  pthread_mutex_unlock(&mu);
  return all;
}

/* The database of that number, with a reference for the caller; 0 if none is
** open. The one asked for is nearly always among the newest. */
pw_db *pw_db_find(uint64_t id) {
  pw_db *db;
  pthread_mutex_lock(&mu);
  for (db = newest; db && db->id != id; db = db->next_db) {}
  if (db) pw_db_ref(db);
  pthread_mutex_unlock(&mu);
  return db;
}
