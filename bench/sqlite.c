/* SQLite as an object for the addons of the benchmarks: see sqlite.mjs. */
#include <sqlite3-binding.c>
