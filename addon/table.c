/*
** The table that the N-API bridge finds by the one exported symbol.
*/
#include "internal.h"

/* Exported by Go, see env.go. */
uint64_t goEnvOpen(pw_reply_fn on_event, pw_release_fn release, void *ctx);
void goEnvClose(uint64_t env);
void goCall(uint64_t env, char *method, char *json, size_t n_json, uint8_t *bin, size_t n_bin,
            pw_reply_fn reply, void *ctx);
pw_db *goDatabase(uint64_t handle);

/* cgo's exports know no const. */
static void call(uint64_t env, const char *method, const char *json, size_t n_json,
                 const uint8_t *bin, size_t n_bin, pw_reply_fn reply, void *ctx) {
  goCall(env, (char *)method, (char *)json, n_json, (uint8_t *)bin, n_bin, reply, ctx);
}

static const pw_api api = {
    .version = PW_API_VERSION,
    .env_open = goEnvOpen,
    .env_close = goEnvClose,
    .call = call,
    .db_get = goDatabase,
    .db_unref = pw_db_unref,
    .db_metrics = pw_db_metrics,
    .stmt_new = pw_stmt_new,
    .stmt_free = pw_stmt_free,
    .op_new = pw_op_new,
    .op_item = pw_op_item,
    .op_bind = pw_op_bind,
    .op_try = pw_op_try,
    .op_submit = pw_op_submit,
    .op_wait = pw_op_wait,
    .op_cancel = pw_op_cancel,
    .op_free = pw_op_free,
    .cursor_reset = pw_cursor_reset,
};

#ifdef _WIN32
__declspec(dllexport)
#else
__attribute__((visibility("default")))
#endif
const pw_api *pagewire_api(void) {
  return &api;
}
