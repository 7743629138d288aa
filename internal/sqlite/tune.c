/*
** Techniques switched off for a benchmark: PAGEWIRE_TUNE=no-NAME,no-NAME in the
** environment. internal/tune does the same for those that are in Go.
*/
#include <stdlib.h>
#include "internal.h"

static const char *const names[] = {"no-inline-reads", "no-inline-writes",   "no-point-reads",
                                    "no-held-reads",   "no-resident-writes", "no-page-pool",
                                    "no-fed-batches"};
static unsigned off;

static int listed(const char *list, const char *name) {
  size_t n = strlen(name);

  while (list && *list) {
    if (strncmp(list, name, n) == 0 && (list[n] == 0 || list[n] == ',')) return 1;
    list = strchr(list, ',');
    if (list) list++;
  }
  return 0;
}

/* Reads the environment, before the first database is opened. */
void pw_tune_init(void) {
  const char *list = getenv("PAGEWIRE_TUNE");
  unsigned i;

  for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
    if (listed(list, names[i])) off |= 1u << i;
  }
}

/* Is one of PW_TUNE_INLINE_READS ... switched off? */
int pw_tuned_off(int technique) {
  return off >> technique & 1;
}
