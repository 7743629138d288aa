/*
** Invariant I7: nothing reached through SQL touches this machine's disk or
** network. The VFS opens only names that we gave; the guard refuses earlier and
** says why, and keeps the settings that the commit path rests on.
*/
#include <stdio.h>
#include "internal.h"

/* PRAGMAs that may be read but not set, with the one value that is allowed
** because it is in force already, and why. */
static const struct {
  const char *name;
  const char *value; /* in force, "" if none may be named */
  const char *also;  /* another spelling of it */
  const char *why;
} fixed[] = {
    {"journal_mode", "memory", "memory", "commits are atomic on the server, no journal is written"},
    {"synchronous", "normal", "1", "every commit is durable before it is answered"},
    {"locking_mode", "exclusive", "exclusive", "the database is locked by its generation"},
    {"cache_spill", "off", "0", "pages are written when a transaction commits, not before"},
    {"temp_store", "memory", "2", "temporary tables live in memory"},
    {"page_size", "4096", "4096", "pages are stored in chunks of 4096 bytes"},
    {"mmap_size", "0", "0", "there is no file to map"},
    {"journal_size_limit", "-1", "-1", "no journal is written"},
    {"wal_autocheckpoint", "", "", "there is no write-ahead log"},
    {"wal_checkpoint", "", "", "there is no write-ahead log"},
    {"temp_store_directory", "", "", "there are no temporary files"},
    {"data_store_directory", "", "", "there are no files"},
    {"lock_proxy_file", "", "", "there are no files"},
    {"soft_heap_limit", "", "", "it would act on every database of the process"},
    {"hard_heap_limit", "", "", "it would act on every database of the process"},
    {"threads", "0", "0", "the engine keeps its own threads"},
};

/* PRAGMAs that may be set or take an argument: none reaches a file. One that is
** in neither list is refused, so that a new SQLite brings nothing unlooked-at. */
static const char *const harmless[] = {
    "analysis_limit",
    "application_id",
    "auto_vacuum",
    "automatic_index",
    "busy_timeout",
    "cache_size",
    "case_sensitive_like",
    "cell_size_check",
    "checkpoint_fullfsync",
    "count_changes",
    "defer_foreign_keys",
    "empty_result_callbacks",
    "encoding",
    "foreign_key_check",
    "foreign_key_list",
    "foreign_keys",
    "full_column_names",
    "fullfsync",
    "ignore_check_constraints",
    "incremental_vacuum",
    "index_info",
    "index_list",
    "index_xinfo",
    "integrity_check",
    "legacy_alter_table",
    "max_page_count",
    "optimize",
    "query_only",
    "quick_check",
    "read_uncommitted",
    "recursive_triggers",
    "reverse_unordered_selects",
    "schema_version",
    "secure_delete",
    "short_column_names",
    "table_info",
    "table_list",
    "table_xinfo",
    "trusted_schema",
    "user_version",
    "writable_schema", /* without effect on the schema: the database is defensive */
};

static int deny(pw_db *db, const char *what, const char *name, const char *why) {
  snprintf(db->denied, sizeof(db->denied), "%s%s%s is not available: %s", what, *name ? " " : "",
           name, why);
  return SQLITE_DENY;
}

static int check_pragma(pw_db *db, const char *name, const char *value) {
  size_t i;

  db->resident = 0; /* it may empty the cache, now or when it runs */
  if (!value) return SQLITE_OK;
  if (sqlite3_stricmp(name, "cache_size") == 0) db->cache_bytes = 0;
  for (i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++) {
    if (sqlite3_stricmp(name, fixed[i].name) != 0) continue;
    if (*fixed[i].value && (sqlite3_stricmp(value, fixed[i].value) == 0 ||
                            sqlite3_stricmp(value, fixed[i].also) == 0)) {
      return SQLITE_OK;
    }
    return deny(db, "setting PRAGMA", fixed[i].name, fixed[i].why);
  }
  for (i = 0; i < sizeof(harmless) / sizeof(harmless[0]); i++) {
    if (sqlite3_stricmp(name, harmless[i]) == 0) return SQLITE_OK;
  }
  return deny(db, "setting this PRAGMA", "", "it is not one that Pagewire knows");
}

static int authorize(void *ctx, int action, const char *a, const char *b, const char *c,
                     const char *d) {
  pw_db *db = ctx;

  (void)c;
  (void)d;
  if (db->trusted) return SQLITE_OK;
  switch (action) {
    case SQLITE_ATTACH:
      /* VACUUM attaches a temporary database while it runs; it is in memory
      ** (SQLITE_TEMP_STORE=3). VACUUM INTO names a file. */
      if (db->stepping && a && *a == 0) return SQLITE_OK;
      if (db->stepping) return deny(db, "VACUUM INTO", "", "a database has no local files");
      return deny(db, "ATTACH", "", "a database has no local files");
    case SQLITE_PRAGMA:
      return check_pragma(db, a, b);
    case SQLITE_FUNCTION:
      if (b && sqlite3_stricmp(b, "load_extension") == 0) {
        return deny(db, "load_extension()", "", "extensions cannot be loaded");
      }
      /* Given a bound parameter it tells the address of a tokenizer, or takes
      ** the parameter's bytes for one. */
      if (b && sqlite3_stricmp(b, "fts3_tokenizer") == 0) {
        return deny(db, "fts3_tokenizer()", "", "it passes machine addresses");
      }
      return SQLITE_OK;
    default:
      return SQLITE_OK;
  }
}

int pw_guard_install(pw_db *db) {
  int rc = sqlite3_set_authorizer(db->conn, authorize, db);
  if (rc == SQLITE_OK) rc = sqlite3_db_config(db->conn, SQLITE_DBCONFIG_DEFENSIVE, 1, (int *)0);
  return rc;
}
