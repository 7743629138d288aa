/*
** The module: one bridge an environment, made when the module is loaded there,
** joined to the Go library by load(), and taken apart by the cleanup hook.
*/
#include <stdlib.h>
#include <string.h>

#include "bridge.h"

void *bridge_grow(void *p, size_t n) {
  p = realloc(p, n ? n : 1);
  if (p == NULL) {
    napi_fatal_error("pagewire", NAPI_AUTO_LENGTH, "out of memory", NAPI_AUTO_LENGTH);
  }
  return p;
}

void *bridge_alloc(size_t n) {
  return bridge_grow(NULL, n);
}

void bridge_throw(napi_env env, const char *code, const char *message) {
  napi_throw_error(env, code, message);
}

int bridge_failed(napi_env env, napi_status status) {
  const napi_extended_error_info *info = NULL;
  bool pending = false;
  if (status == napi_ok) return 0;
  napi_get_last_error_info(env, &info);
  napi_is_exception_pending(env, &pending);
  if (!pending) {
    bridge_throw(env, "internal_error",
                 info && info->error_message ? info->error_message : "N-API call failed");
  }
  return 1;
}

bridge *bridge_enter(napi_env env, napi_callback_info info, size_t argc, napi_value *argv,
                     size_t *given) {
  void *data = NULL;
  if (bridge_failed(env, napi_get_cb_info(env, info, &argc, argv, NULL, &data))) return NULL;
  if (((bridge *)data)->api == NULL) {
    bridge_throw(env, "internal_error", "the Pagewire library is not loaded");
    return NULL;
  }
  if (given) *given = argc;
  return data;
}

static void release_box(void *ctx) {
  mailbox_unref(ctx);
}

/*
** The environment ends: nothing may reach it from here on. Registered after
** the threadsafe function was made, so that it runs before that one's own
** hook. Operations in flight are told to stop, and what comes late frees itself.
*/
static void on_cleanup(void *arg) {
  bridge *b = arg;
  uint32_t i;
  for (i = 0; i < b->n_tokens; i++) {
    if (b->ops[i]) b->api->op_cancel(b->ops[i], "closed");
  }
  mailbox_close(b->box);
  if (b->scope) b->api->env_close(b->scope);
}

/* The last thing of an environment, after the finalizers of all handles. */
static void on_finalize(napi_env env, void *data, void *hint) {
  bridge *b = data;
  (void)env;
  (void)hint;
  if (b->box) mailbox_unref(b->box);
  if (b->spare) b->api->op_free(b->spare);
  if (b->api) point_close(b);
  free(b->ops);
  free(b->free_tokens);
  free(b->values);
  free(b->arena);
  free(b);
}

/* Find the engine's table in the library at path; NULL, and throws, if it has none. */
static const pw_api *find_api(napi_env env, const char *path) {
  const pw_api *(*entry)(void);
  const pw_api *api;
  char error[1024] = "";
  void *symbol = port_load(path, "pagewire_api", error, sizeof(error));
  if (symbol == NULL) {
    bridge_throw(env, "library_not_loaded", error);
    return NULL;
  }
  memcpy(&entry, &symbol, sizeof(entry));
  api = entry();
  if (api->version != PW_API_VERSION) {
    bridge_throw(
        env, "library_not_loaded",
        "pagewire.node and the Pagewire library are of different versions; install both again");
    return NULL;
  }
  return api;
}

/* Keep what load() was given beside the path: scratch buffer and functions. */
static int keep_arguments(bridge *b, napi_value *argv) {
  void *data;
  return !bridge_failed(b->env, napi_get_arraybuffer_info(b->env, argv[1], &data, &b->n_scratch)) &&
         (b->scratch = data) != NULL &&
         !bridge_failed(b->env, napi_create_reference(b->env, argv[1], 1, &b->scratch_ref)) &&
         !bridge_failed(b->env, napi_create_reference(b->env, argv[2], 1, &b->dispatch)) &&
         !bridge_failed(b->env, napi_create_reference(b->env, argv[3], 1, &b->bad_param));
}

/* load(path, scratch, dispatch, badParameter), once in an environment */
static napi_value js_load(napi_env env, napi_callback_info info) {
  napi_value argv[4];
  size_t argc = 4, n;
  char path[4096];
  const pw_api *api;
  bridge *b;
  if (bridge_failed(env, napi_get_cb_info(env, info, &argc, argv, NULL, NULL)) ||
      bridge_failed(env, napi_get_instance_data(env, (void **)&b)) ||
      bridge_failed(env, napi_get_value_string_utf8(env, argv[0], path, sizeof(path), &n)))
    return NULL;
  if (b->api) {
    bridge_throw(env, "internal_error", "the Pagewire library is already loaded here");
    return NULL;
  }
  if ((api = find_api(env, path)) == NULL || !keep_arguments(b, argv)) return NULL;
  if (!port_pin()) {
    bridge_throw(env, "library_not_loaded", "pagewire.node cannot be kept in memory");
    return NULL;
  }
  b->box = mailbox_new();
  if (bridge_failed(env, mailbox_open(b->box, b)) ||
      bridge_failed(env, napi_add_env_cleanup_hook(env, on_cleanup, b)))
    return NULL;
  mailbox_ref(b->box);
  b->scope = api->env_open(calls_event, release_box, b->box);
  if (b->scope == 0) {
    mailbox_unref(b->box);
    bridge_throw(env, "out_of_memory", "no memory for Pagewire's environment");
    return NULL;
  }
  b->api = api;
  return NULL;
}

NAPI_MODULE_INIT() {
  const napi_property_descriptor load = {"load", NULL, js_load,         NULL,
                                         NULL,   NULL, napi_enumerable, NULL};
  bridge *b = bridge_alloc(sizeof(*b));
  memset(b, 0, sizeof(*b));
  b->env = env;
  if (bridge_failed(env, napi_set_instance_data(env, b, on_finalize, NULL))) {
    free(b);
    return NULL;
  }
  if (bridge_failed(env, napi_define_properties(env, exports, 1, &load)) ||
      bridge_failed(env, ops_define(b, exports)) || bridge_failed(env, point_define(b, exports)) ||
      bridge_failed(env, batch_define(b, exports)) || bridge_failed(env, calls_define(b, exports)))
    return NULL;
  return exports;
}
