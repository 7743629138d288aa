/*
** Page maps: a chained hash table of pages with a list in insertion order, from
** which the oldest can be dropped.
*/
#include "internal.h"

static uint32_t slot(const pw_pagemap *map, uint64_t key) {
  return (uint32_t)((key * 0x9E3779B97F4A7C15ull) >> 32) & (map->nbucket - 1);
}

pw_page *pw_pagemap_find(const pw_pagemap *map, uint64_t key) {
  pw_page *page;
  if (map->npage == 0) return 0;
  for (page = map->bucket[slot(map, key)]; page; page = page->next) {
    if (page->key == key) return page;
  }
  return 0;
}

static int grow(pw_pagemap *map) {
  uint32_t old = map->nbucket;
  pw_page **bucket, *page;
  uint32_t n = old ? old * 2 : 16;

  bucket = sqlite3_malloc64(n * sizeof(*bucket));
  if (!bucket) return SQLITE_NOMEM;
  memset(bucket, 0, n * sizeof(*bucket));
  sqlite3_free(map->bucket);
  map->bucket = bucket;
  map->nbucket = n;
  for (page = map->oldest; page; page = page->newer) {
    uint32_t i = slot(map, page->key);
    page->next = bucket[i];
    bucket[i] = page;
  }
  return SQLITE_OK;
}

/* Adds the page, which then belongs to the map, and frees one with its key. */
int pw_pagemap_put(pw_pagemap *map, pw_page *page) {
  pw_page *old = pw_pagemap_find(map, page->key);
  uint32_t i;

  if (old) {
    pw_pagemap_take(map, old);
    sqlite3_free(old);
  }
  if (map->npage >= map->nbucket && grow(map) != SQLITE_OK) return SQLITE_NOMEM;
  i = slot(map, page->key);
  page->next = map->bucket[i];
  map->bucket[i] = page;
  page->newer = 0;
  page->older = map->newest;
  if (map->newest) map->newest->newer = page;
  else map->oldest = page;
  map->newest = page;
  map->npage++;
  return SQLITE_OK;
}

/* Takes a page out of its map; it then belongs to the caller. */
void pw_pagemap_take(pw_pagemap *map, pw_page *page) {
  pw_page **at = &map->bucket[slot(map, page->key)];

  while (*at != page) at = &(*at)->next;
  *at = page->next;
  if (page->newer) page->newer->older = page->older;
  else map->newest = page->older;
  if (page->older) page->older->newer = page->newer;
  else map->oldest = page->newer;
  map->npage--;
}

/* Frees all pages and the table itself. */
void pw_pagemap_clear(pw_pagemap *map) {
  while (map->oldest) {
    pw_page *page = map->oldest;
    map->oldest = page->newer;
    sqlite3_free(page);
  }
  sqlite3_free(map->bucket);
  memset(map, 0, sizeof(*map));
}
