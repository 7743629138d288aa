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
