/*
** The N-API bridge: what JavaScript's native.ts calls, on top of the engine's
** table (pagewire.h). It checks and converts arguments, copies results into
** JavaScript memory, and carries completions from other threads to the one of
** their environment. There is no global state: everything hangs on the
** environment, so worker threads load and end it as they like.
*/
#ifndef PAGEWIRE_BRIDGE_H
#define PAGEWIRE_BRIDGE_H

#include <node_api.h>

#include "pagewire.h"
#include "port.h"

typedef struct bridge bridge;
typedef struct mail mail;
typedef struct mailbox mailbox;
typedef struct point point;

/*
** Mail for the JavaScript thread. deliver() runs there, and fills args with
** the arguments of dispatch() for it; discard() runs on any thread when there
** is nobody left to deliver to. Both free the mail.
*/
#define MAIL_ARGS 4 /* kind, token, and two values that depend on the kind */
struct mail {
  mail *next;
  void (*deliver)(bridge *b, mail *m, napi_value args[MAIL_ARGS]);
  void (*discard)(mail *m);
};

/* What dispatch(kind, token, a, b) is told; native.ts has the same numbers. */
#define DISPATCH_OP     0 /* a: the result as run() returns it */
#define DISPATCH_REPLY  1 /* a: JSON text, b: ArrayBuffer or undefined */
#define DISPATCH_REFUSE 2 /* a: JSON text of an error */
#define DISPATCH_EVENT  3 /* a: JSON text; there is no token */

/*
** A mailbox outlives its environment: whoever may still post holds a
** reference. head to tail are in order of posting. Once closed, what is posted
** is discarded at once and the threadsafe function is not touched again.
*/
struct mailbox {
  port_mutex mutex;
  int refs;
  int closed;
  int woken;   /* the threadsafe function was called, or is about to be, and has not run */
  int calling; /* threads that are about to call it: closing waits for them */
  port_cond called;
  napi_threadsafe_function wake;
  mail *head, *tail;
};

/* An environment's state. Only its JavaScript thread touches it. */
struct bridge {
  const pw_api *api; /* NULL until load() */
  napi_env env;
  uint64_t scope; /* the engine's environment */
  mailbox *box;
  napi_ref dispatch;     /* dispatch(kind, token, a, b) */
  napi_ref bad_param;    /* badParameter(where, value, why), throws */
  napi_ref scratch_ref;  /* the ArrayBuffer that results are written to */
  unsigned char *scratch;
  size_t n_scratch;
  napi_ref large_ref;    /* the same for results that do not fit there, or NULL */
  unsigned char *large;
  size_t n_large;
  /* Operations and calls in flight by token; ops[token] is NULL for a call. */
  pw_op **ops;
  uint32_t *free_tokens;
  uint32_t n_tokens, n_free;
  uint32_t pending; /* tokens in use: not 0 keeps the process alive */
  pw_op *spare; /* kept for the next operation of one item, or NULL */
  pw_rows row;  /* of a point read: its cells and tags are in scratch */
  point **points; /* by number; NULL where it is free */
  uint32_t n_points;
  uint32_t used_points; /* numbers below are in use */
  /* Reused while parameters are converted, which runs no JavaScript. */
  pw_value *values;
  size_t cap_values;
  char *arena;
  size_t cap_arena;
};

/* Values that run() and read() take one by one at most; native.ts has the same number. */
#define MOST_VALUES 8

/* What JavaScript holds a database or a statement by. */
#define HANDLE_DB   0x70776462 /* "pwdb" */
#define HANDLE_STMT 0x70777374 /* "pwst" */
typedef struct handle {
  int magic;     /* HANDLE_* */
  const pw_api *api;
  pw_db *db;     /* NULL once released; a statement's is kept by the statement */
  pw_stmt *stmt; /* HANDLE_STMT only */
  point *point;  /* how it is read at once, or NULL */
} handle;

/* module.c */
void *bridge_alloc(size_t n);               /* never NULL: ends the process */
void *bridge_grow(void *p, size_t n);       /* likewise */
int bridge_failed(napi_env env, napi_status status); /* 1, and throws, unless napi_ok */
/* The bridge and the arguments of a call; NULL, and throws, before load(). */
bridge *bridge_enter(napi_env env, napi_callback_info info, size_t argc, napi_value *argv,
                     size_t *given);
void bridge_throw(napi_env env, const char *code, const char *message);

/* mailbox.c */
mailbox *mailbox_new(void);
napi_status mailbox_open(mailbox *box, bridge *b);
void mailbox_close(mailbox *box);
void mailbox_ref(mailbox *box);
void mailbox_unref(mailbox *box);
void mailbox_post(mailbox *box, mail *m);
uint32_t token_take(bridge *b, pw_op *op);
void token_release(bridge *b, uint32_t token);

/* params.c */
int params_bind(bridge *b, pw_op *op, uint32_t item, napi_value params);
int params_bind_values(bridge *b, pw_op *op, napi_value *values, size_t n);
int params_number(double d, pw_value *out); /* 0: it is no number */
int params_point(bridge *b, napi_value *values, pw_value *out, uint32_t n);

/* result.c */
napi_value result_of(bridge *b, pw_op *op);
napi_status result_texts(napi_env env, const pw_rows *rows, napi_value *out);
napi_status result_blobs(napi_env env, const pw_rows *rows, napi_value *out);

/* ops.c */
pw_op *ops_new(bridge *b, pw_db *db, int kind, uint32_t nitem);
napi_value ops_run(bridge *b, pw_op *op, int wait);
handle *ops_handle(napi_env env, napi_value v, int magic);
int ops_limits(bridge *b, pw_op *op, napi_value *argv);

/* point.c */
void point_end(handle *h);
void point_close(bridge *b);

/* what each file defines for JavaScript */
napi_status batch_define(bridge *b, napi_value exports);
napi_status ops_define(bridge *b, napi_value exports);
napi_status point_define(bridge *b, napi_value exports);
napi_status calls_define(bridge *b, napi_value exports);
void calls_event(void *ctx, int ok, const char *json, size_t n_json, const uint8_t *bin,
                 size_t n_bin);

#endif /* PAGEWIRE_BRIDGE_H */
