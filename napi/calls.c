/*
** Calls of the Go side's methods, and its events: JSON text with byte strings
** beside it, which JavaScript packs and unpacks.
*/
#include <stdlib.h>
#include <string.h>

#include "bridge.h"

/* An answer or an event on its way to JavaScript. */
typedef struct reply_mail {
  mail base;
  mailbox *box;
  uint32_t kind;  /* DISPATCH_REPLY, DISPATCH_REFUSE or DISPATCH_EVENT */
  uint32_t token; /* unless it is an event */
  char *json;
  size_t n_json;
  uint8_t *bin; /* NULL if there is none */
  size_t n_bin;
} reply_mail;

static void reply_free(reply_mail *m) {
  free(m->json);
  free(m->bin);
  free(m);
}

static void reply_discard(mail *m) {
  reply_mail *letter = (reply_mail *)m;
  mailbox *box = letter->box;
  reply_free(letter);
  mailbox_unref(box);
}

/* JavaScript values of an answer: JSON text, and an ArrayBuffer or undefined. */
static void reply_values(napi_env env, const reply_mail *m, napi_value *json, napi_value *bin) {
  void *data;
  napi_get_undefined(env, bin);
  if (napi_create_string_utf8(env, m->json, m->n_json, json) != napi_ok)
    napi_get_undefined(env, json);
  if (m->bin && napi_create_arraybuffer(env, m->n_bin, &data, bin) == napi_ok) {
    memcpy(data, m->bin, m->n_bin);
  }
}

static void reply_deliver(bridge *b, mail *m, napi_value args[MAIL_ARGS]) {
  reply_mail *letter = (reply_mail *)m;
  napi_create_uint32(b->env, letter->kind, &args[0]);
  napi_create_uint32(b->env, letter->token, &args[1]);
  reply_values(b->env, letter, &args[2], &args[3]);
  if (letter->kind != DISPATCH_EVENT) token_release(b, letter->token);
  reply_discard(m);
}

static reply_mail *reply_new(mailbox *box) {
  reply_mail *m = bridge_alloc(sizeof(*m));
  memset(m, 0, sizeof(*m));
  m->base.deliver = reply_deliver;
  m->base.discard = reply_discard;
  m->box = box;
  mailbox_ref(box);
  return m;
}

/* Copy what an answer says: its memory ends with the callback. */
static void reply_copy(reply_mail *m, const char *json, size_t n_json, const uint8_t *bin,
                       size_t n_bin) {
  m->json = bridge_alloc(n_json + 1);
  memcpy(m->json, json, n_json);
  m->json[n_json] = 0;
  m->n_json = n_json;
  if (n_bin) {
    m->bin = bridge_alloc(n_bin);
    memcpy(m->bin, bin, n_bin);
    m->n_bin = n_bin;
  }
}

/* pw_reply_fn of call(). */
static void on_reply(void *ctx, int ok, const char *json, size_t n_json, const uint8_t *bin,
                     size_t n_bin) {
  reply_mail *m = ctx;
  m->kind = ok ? DISPATCH_REPLY : DISPATCH_REFUSE;
  reply_copy(m, json, n_json, bin, n_bin);
  mailbox_post(m->box, &m->base);
}

/* pw_reply_fn of events; ctx is the mailbox. */
void calls_event(void *ctx, int ok, const char *json, size_t n_json, const uint8_t *bin,
                 size_t n_bin) {
  reply_mail *m = reply_new(ctx);
  (void)ok;
  m->kind = DISPATCH_EVENT;
  reply_copy(m, json, n_json, bin, n_bin);
  mailbox_post(m->box, &m->base);
}

/* What callSync() waits on. */
typedef struct waiter {
  port_mutex mutex;
  port_cond answered;
  int done;
  reply_mail *reply;
} waiter;

/* pw_reply_fn of callSync(). */
static void on_sync_reply(void *ctx, int ok, const char *json, size_t n_json, const uint8_t *bin,
                          size_t n_bin) {
  waiter *w = ctx;
  port_lock(&w->mutex);
  w->reply->kind = ok ? DISPATCH_REPLY : DISPATCH_REFUSE;
  reply_copy(w->reply, json, n_json, bin, n_bin);
  w->done = 1;
  port_cond_signal(&w->answered);
  port_unlock(&w->mutex);
}

/* The arguments (method, json, bin) of a call; bin is a Uint8Array or undefined. */
typedef struct request {
  char method[64];
  char *json;
  size_t n_json;
  void *bin;
  size_t n_bin;
} request;

/* Reads them; NULL, and throws, if they cannot be. The caller frees r->json. */
static bridge *request_read(napi_env env, napi_callback_info info, request *r) {
  napi_value argv[3];
  bridge *b = bridge_enter(env, info, 3, argv, NULL);
  bool typed = false;
  memset(r, 0, sizeof(*r));
  if (b == NULL ||
      bridge_failed(env,
                    napi_get_value_string_utf8(env, argv[0], r->method, sizeof(r->method), NULL)) ||
      bridge_failed(env, napi_get_value_string_utf8(env, argv[1], NULL, 0, &r->n_json)) ||
      bridge_failed(env, napi_is_typedarray(env, argv[2], &typed)))
    return NULL;
  if (typed) {
    napi_typedarray_type kind;
    if (bridge_failed(env, napi_get_typedarray_info(env, argv[2], &kind, &r->n_bin, &r->bin, NULL,
                                                    NULL)))
      return NULL;
    if (kind != napi_uint8_array) {
      bridge_throw(env, "internal_error", "call() takes its bytes as a Uint8Array");
      return NULL;
    }
  }
  r->json = bridge_alloc(r->n_json + 1);
  if (bridge_failed(env,
                    napi_get_value_string_utf8(env, argv[1], r->json, r->n_json + 1, &r->n_json))) {
    free(r->json);
    return NULL;
  }
  return b;
}

/* call(method, json, bin) -> token, which dispatch() will name */
static napi_value js_call(napi_env env, napi_callback_info info) {
  bridge *b;
  napi_value out = NULL;
  reply_mail *m;
  uint32_t token;
  request r;
  if ((b = request_read(env, info, &r)) == NULL) return NULL;
  m = reply_new(b->box);
  m->token = token = token_take(b, NULL);
  b->api->call(b->scope, r.method, r.json, r.n_json, r.bin, r.n_bin, on_reply, m);
  free(r.json);
  napi_create_uint32(env, token, &out);
  return out;
}

/* callSync(method, json, bin) -> [ok, json, bin], while this thread waits */
static napi_value js_call_sync(napi_env env, napi_callback_info info) {
  bridge *b;
  napi_value out, parts[3];
  napi_status status;
  request r;
  waiter w;
  uint32_t i;
  if ((b = request_read(env, info, &r)) == NULL) return NULL;
  port_mutex_init(&w.mutex);
  port_cond_init(&w.answered);
  w.done = 0;
  w.reply = reply_new(b->box);
  b->api->call(b->scope, r.method, r.json, r.n_json, r.bin, r.n_bin, on_sync_reply, &w);
  port_lock(&w.mutex);
  while (!w.done) port_cond_wait(&w.answered, &w.mutex);
  port_unlock(&w.mutex);
  port_cond_destroy(&w.answered);
  port_mutex_destroy(&w.mutex);
  free(r.json);
  status = napi_get_boolean(env, w.reply->kind == DISPATCH_REPLY, &parts[0]);
  reply_values(env, w.reply, &parts[1], &parts[2]);
  reply_discard(&w.reply->base);
  if (status == napi_ok) status = napi_create_array_with_length(env, 3, &out);
  for (i = 0; i < 3 && status == napi_ok; i++) status = napi_set_element(env, out, i, parts[i]);
  return bridge_failed(env, status) ? NULL : out;
}

napi_status calls_define(bridge *b, napi_value exports) {
  const napi_property_descriptor functions[] = {
      {"call", NULL, js_call, NULL, NULL, NULL, napi_enumerable, b},
      {"callSync", NULL, js_call_sync, NULL, NULL, NULL, napi_enumerable, b},
  };
  return napi_define_properties(b->env, exports, sizeof(functions) / sizeof(functions[0]),
                                functions);
}
