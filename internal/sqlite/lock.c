/*
** db->mu guards what threads share of a database. A point read takes less time than
** locking it twice and telling who waits, so there is a door beside it. It stands
** open while nobody uses the database and nothing waits for it or stands in its way.
** One guest may then come in, and leaves by the same door: two steps without the
** lock.
**
** Whoever locks db->mu shuts the door first, and a guest who is inside makes the
** database busy from then on, as if it had come in under the lock. It finds the door
** shut when it leaves, and does under the lock what everybody does who leaves.
*/
#include "internal.h"

enum { SHUT, OPEN, INSIDE }; /* db->door */

static void shut(pw_db *db) {
  if (atomic_exchange(&db->door, SHUT) == INSIDE) db->busy = 1;
}

/* Locks db->mu: nobody else does. */
void pw_lock(pw_db *db) {
  pthread_mutex_lock(&db->mu);
  shut(db);
}

/* Waits for db->changed, until a time of pw_now_ns() if that is not 0; 0 if it has
** passed. The caller holds db->mu. */
int pw_wait(pw_db *db, int64_t until_ns) {
  int in_time = 1;
  if (until_ns) in_time = pw_cond_wait_until(&db->changed, &db->mu, until_ns);
  else pthread_cond_wait(&db->changed, &db->mu);
  shut(db);
  return in_time;
}

/* Opens the door. The caller holds db->mu, and nothing stands in a guest's way. */
void pw_open_door(pw_db *db) {
  atomic_store(&db->door, OPEN);
}

/* Takes the database for the calling thread; 0 if the door is shut. */
int pw_enter_as_guest(pw_db *db) {
  int open = OPEN;
  return atomic_compare_exchange_strong(&db->door, &open, INSIDE);
}

/* Gives it back; 0 if that must be done under db->mu, for somebody has come. */
int pw_leave_as_guest(pw_db *db) {
  int inside = INSIDE;
  return atomic_compare_exchange_strong(&db->door, &inside, OPEN);
}
