/*
** The table that the N-API bridge finds by the one exported symbol.
*/
#include "internal.h"
#include "requests.h"

static const pw_api api = {
    .version = PW_API_VERSION,
    .env_open = pw_env_open,
    .env_close = pw_env_close,
    .call = pw_call,
    .db_get = pw_db_find,
    .db_unref = pw_db_unref,
    .db_metrics = pw_db_metrics,
    .stmt_new = pw_stmt_new,
    .stmt_free = pw_stmt_free,
    .op_new = pw_op_new,
    .op_item = pw_op_item,
    .op_bind = pw_op_bind,
    .op_memory = pw_op_memory,
    .op_params = pw_op_params,
    .op_give = pw_op_give,
    .op_try = pw_op_try,
    .op_submit = pw_op_submit,
    .op_wait = pw_op_wait,
    .op_cancel = pw_op_cancel,
    .op_free = pw_op_free,
    .op_spare = pw_op_spare,
    .op_reuse = pw_op_reuse,
    .stmt_read = pw_stmt_read,
    .rows_free = pw_rows_free,
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
