/*
** The queue from JavaScript's threads to the Go side: see requests.h.
*/
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "requests.h"

static pthread_mutex_t mu = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t more = PTHREAD_COND_INITIALIZER;
static pw_request *first, **last = &first;
static uint64_t last_env;

static void post(pw_request *r) {
  r->next = 0;
  pthread_mutex_lock(&mu);
  *last = r;
  last = &r->next;
  pthread_cond_signal(&more);
  pthread_mutex_unlock(&mu);
}

pw_request *pw_request_next(void) {
  pw_request *r;
  pthread_mutex_lock(&mu);
  while (!first) pthread_cond_wait(&more, &mu);
  r = first;
  first = r->next;
  if (!first) last = &first;
  pthread_mutex_unlock(&mu);
  return r;
}

/* A request with n bytes behind it, 0 if there is no memory. */
static pw_request *request_new(int what, uint64_t env, size_t n) {
  pw_request *r = malloc(sizeof(*r) + n);
  if (!r) return 0;
  memset(r, 0, sizeof(*r));
  r->what = what;
  r->env = env;
  return r;
}

uint64_t pw_env_open(pw_reply_fn on_event, pw_release_fn release, void *ctx) {
  pw_request *r = request_new(PW_ENV_OPEN, 0, 0);
  uint64_t env;
  if (!r) return 0;
  r->reply = on_event;
  r->release = release;
  r->ctx = ctx;
  pthread_mutex_lock(&mu);
  r->env = env = ++last_env;
  pthread_mutex_unlock(&mu);
  post(r); /* and it is no longer ours */
  return env;
}

/* Without memory the environment stays open: its databases are let go of when
** the process ends. */
void pw_env_close(uint64_t env) {
  pw_request *r = request_new(PW_ENV_CLOSE, env, 0);
  if (r) post(r);
}

static void *append(uint8_t **at, const void *p, size_t n) {
  void *copy = *at;
  if (n) memcpy(copy, p, n);
  *at += n;
  return copy;
}

void pw_call(uint64_t env, const char *method, const char *json, size_t n_json, const uint8_t *bin,
             size_t n_bin, pw_reply_fn reply, void *ctx) {
  static const char no_memory[] =
      "{\"code\":\"out_of_memory\",\"message\":\"no memory for a call\"}";
  size_t n_method = strlen(method);
  pw_request *r = request_new(PW_CALL, env, n_method + n_json + n_bin);
  uint8_t *at;

  if (!r) {
    reply(ctx, 0, no_memory, sizeof(no_memory) - 1, 0, 0);
    return;
  }
  at = (uint8_t *)(r + 1);
  r->method = append(&at, method, n_method);
  r->n_method = n_method;
  r->json = append(&at, json, n_json);
  r->n_json = n_json;
  r->bin = append(&at, bin, n_bin);
  r->n_bin = n_bin;
  r->reply = reply;
  r->ctx = ctx;
  post(r);
}
