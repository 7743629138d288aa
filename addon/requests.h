/*
** What JavaScript's threads ask of the Go side, in one queue. Entering Go can
** take a thread milliseconds when all processors are busy, and a JavaScript
** thread must not wait: it leaves a request here, and a goroutine that sleeps
** in pw_request_next() fetches it.
*/
#ifndef PAGEWIRE_REQUESTS_H
#define PAGEWIRE_REQUESTS_H

#include "pagewire.h"

enum { PW_ENV_OPEN, PW_ENV_CLOSE, PW_CALL };

typedef struct pw_request pw_request;
struct pw_request {
  pw_request *next;
  int what;
  uint64_t env;
  pw_reply_fn reply; /* of a call, or of an environment's events */
  pw_release_fn release; /* PW_ENV_OPEN only */
  void *ctx;
  /* PW_CALL only; they stand behind the request, in the same piece of memory */
  char *method, *json;
  size_t n_method, n_json;
  uint8_t *bin;
  size_t n_bin;
};

/* The first request of the queue, when there is one. The caller frees it. */
pw_request *pw_request_next(void);

/* The table's functions: see pagewire.h. */
uint64_t pw_env_open(pw_reply_fn on_event, pw_release_fn release, void *ctx);
void pw_env_close(uint64_t env);
void pw_call(uint64_t env, const char *method, const char *json, size_t n_json, const uint8_t *bin,
             size_t n_bin, pw_reply_fn reply, void *ctx);

#endif /* PAGEWIRE_REQUESTS_H */
