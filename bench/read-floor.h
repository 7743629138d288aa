/*
** What the two halves of this addon share: read-floor.c, the least that a
** binding can do, and read-promises.c, the least that keeps promises.
*/
#include <node_api.h>
#include <sqlite3-binding.h>

extern sqlite3 *read_db; /* the one database of the process */

/* Throws an error; answers NULL. */
napi_value read_fail(napi_env env, const char *why);

/* Adds the functions of read-promises.c. */
void read_promises(napi_env env, napi_value exports);
