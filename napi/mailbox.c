/*
** The way from any thread to the JavaScript one. Many letters are delivered in
** one wake-up. The threadsafe function keeps the event loop alive only while a
** token is in use, so that an idle open database does not hold the process.
*/
#include <stdlib.h>
#include <string.h>

#include "bridge.h"

mailbox *mailbox_new(void) {
  mailbox *box = bridge_alloc(sizeof(*box));
  memset(box, 0, sizeof(*box));
  port_mutex_init(&box->mutex);
  port_cond_init(&box->called);
  box->refs = 1;
  return box;
}

void mailbox_ref(mailbox *box) {
  port_lock(&box->mutex);
  box->refs++;
  port_unlock(&box->mutex);
}

void mailbox_unref(mailbox *box) {
  int last;
  port_lock(&box->mutex);
  last = --box->refs == 0;
  port_unlock(&box->mutex);
  if (last) {
    port_cond_destroy(&box->called);
    port_mutex_destroy(&box->mutex);
    free(box);
  }
}

/*
** Wake the JavaScript thread. Not under the lock, or it would wake only to wait
** for that; box->calling keeps the threadsafe function in being meanwhile. Its
** queue has no limit and is not closed, so it cannot refuse; if it ever did, the
** next post tries again.
*/
static void call(mailbox *box) {
  napi_status status = napi_call_threadsafe_function(box->wake, NULL, napi_tsfn_nonblocking);
  port_lock(&box->mutex);
  if (status != napi_ok) box->woken = 0;
  if (--box->calling == 0 && box->closed) port_cond_signal(&box->called);
  port_unlock(&box->mutex);
}

void mailbox_post(mailbox *box, mail *m) {
  int closed, wakes = 0;
  m->next = NULL;
  port_lock(&box->mutex);
  closed = box->closed;
  if (!closed) {
    if (box->tail) box->tail->next = m;
    else box->head = m;
    box->tail = m;
    wakes = !box->woken;
    box->woken = 1;
    box->calling += wakes;
  }
  port_unlock(&box->mutex);
  if (closed) m->discard(m);
  if (wakes) call(box);
}

/* Take all that was posted. */
static mail *take_all(mailbox *box) {
  mail *list;
  port_lock(&box->mutex);
  list = box->head;
  box->head = box->tail = NULL;
  box->woken = 0;
  port_unlock(&box->mutex);
  return list;
}

/*
** Deliver one letter. What JavaScript throws (a listener of an event, say)
** becomes an uncaught exception, and the next letter is delivered all the same.
*/
static void deliver(bridge *b, mail *m) {
  napi_env env = b->env;
  napi_handle_scope scope;
  napi_value args[MAIL_ARGS], dispatch, self, error;
  bool thrown = false;
  if (napi_open_handle_scope(env, &scope) != napi_ok) {
    m->discard(m);
    return;
  }
  m->deliver(b, m, args);
  if (napi_get_reference_value(env, b->dispatch, &dispatch) == napi_ok &&
      napi_get_undefined(env, &self) == napi_ok) {
    napi_call_function(env, self, dispatch, MAIL_ARGS, args, NULL);
  }
  if (napi_is_exception_pending(env, &thrown) == napi_ok && thrown &&
      napi_get_and_clear_last_exception(env, &error) == napi_ok) {
    napi_fatal_exception(env, error);
  }
  napi_close_handle_scope(env, scope);
}

/* The threadsafe function's body; env is NULL when the environment is ending. */
static void wake(napi_env env, napi_value fn, void *context, void *data) {
  bridge *b = context;
  mail *m;
  (void)fn;
  (void)data;
  if (env == NULL) return;
  m = take_all(b->box);
  while (m) {
    mail *next = m->next;
    deliver(b, m);
    m = next;
  }
}

napi_status mailbox_open(mailbox *box, bridge *b) {
  napi_value name;
  napi_status status = napi_create_string_utf8(b->env, "pagewire", NAPI_AUTO_LENGTH, &name);
  if (status != napi_ok) return status;
  status = napi_create_threadsafe_function(b->env, NULL, NULL, name, 0, 1, NULL, NULL, b, wake,
                                           &box->wake);
  if (status != napi_ok) return status;
  return napi_unref_threadsafe_function(b->env, box->wake);
}

void mailbox_close(mailbox *box) {
  mail *m;
  port_lock(&box->mutex);
  box->closed = 1;
  while (box->calling) port_cond_wait(&box->called, &box->mutex);
  m = box->head;
  box->head = box->tail = NULL;
  port_unlock(&box->mutex);
  while (m) {
    mail *next = m->next;
    m->discard(m);
    m = next;
  }
}

uint32_t token_take(bridge *b, pw_op *op) {
  uint32_t token;
  if (b->n_free == 0) {
    uint32_t i, n = b->n_tokens ? b->n_tokens * 2 : 64;
    b->ops = bridge_grow(b->ops, n * sizeof(*b->ops));
    b->free_tokens = bridge_grow(b->free_tokens, n * sizeof(*b->free_tokens));
    for (i = n; i > b->n_tokens; i--) b->free_tokens[b->n_free++] = i - 1;
    memset(b->ops + b->n_tokens, 0, (n - b->n_tokens) * sizeof(*b->ops));
    b->n_tokens = n;
  }
  token = b->free_tokens[--b->n_free];
  b->ops[token] = op;
  if (b->pending++ == 0) napi_ref_threadsafe_function(b->env, b->box->wake);
  return token;
}

void token_release(bridge *b, uint32_t token) {
  b->ops[token] = NULL;
  b->free_tokens[b->n_free++] = token;
  if (--b->pending == 0) napi_unref_threadsafe_function(b->env, b->box->wake);
}
