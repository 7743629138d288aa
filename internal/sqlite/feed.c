/*
** Batches that are given their items while they run. Who packs a batch takes a
** sixth of the time that SQLite takes for it, more in a young process, and a
** second thread can run the first items meanwhile. It waits where it overtakes.
**
** The items below job->given are set, and only those are looked at by the thread
** that runs them. The others belong to the submitter, who sets them. If it cannot,
** the batch fails where it needs the next one, between two statements: to interrupt
** one that writes would roll back the transaction that the batch may be in.
*/
#include "internal.h"

/* The submitter: the items below n are set. Until this is called all of them count
** as set; 0 says that no more will come. */
void pw_op_give(pw_op *op, uint32_t n) {
  pw_db *db = op->db;
  pw_job *job = pw_job_of(op);

  pw_lock(db);
  job->given = job->starved || n == 0 ? PW_NO_MORE : n;
  pthread_cond_broadcast(&db->changed);
  pw_queue_unlock(db);
}

/* May job go on after so many items? */
static int is_fed(const pw_job *job, uint32_t run) {
  return job->given > run && (job->given >= job->op.nitem || !pw_tuned_off(PW_TUNE_FED_BATCHES));
}

/* The thread that runs op waits until more than *given items are set, and updates it.
** Returns SQLITE_INTERRUPT if op was cancelled or is out of time, SQLITE_ABORT if no
** more will come, and SQLITE_NOMEM if that is for want of memory. */
int pw_feed_wait(pw_op *op, uint32_t *given) {
  pw_db *db = op->db;
  pw_job *job = pw_job_of(op);
  int in_time = 1, rc = SQLITE_OK;

  pw_lock(db);
  while (!is_fed(job, *given) && !job->cancel[0] && in_time) in_time = pw_wait(db, job->until_ns);
  if (job->given == PW_NO_MORE) rc = job->starved ? SQLITE_NOMEM : SQLITE_ABORT;
  else if (!is_fed(job, *given)) rc = SQLITE_INTERRUPT;
  else *given = job->given;
  pthread_mutex_unlock(&db->mu);
  return rc;
}
