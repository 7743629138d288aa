/*
** Packing of result rows, see pw_rows in pagewire.h. A whole result crosses
** into JavaScript as three buffers and one string, which is several times
** faster than making a value for each cell in C.
**
** Text is kept as bytes while it is ASCII, which is the same in UTF-8, Latin-1
** and UTF-16; the first other character turns all of it into UTF-16, because
** JavaScript slices the string by UTF-16 units.
*/
#include "internal.h"

#define SAFE_INTEGER 9007199254740991ll

static int reserve(void *buffer, size_t *capacity, size_t need) {
  size_t n = *capacity ? *capacity : 256;
  void *grown;

  if (need <= *capacity) return SQLITE_OK;
  while (n < need) n *= 2;
  memcpy(&grown, buffer, sizeof(grown)); /* a pointer of whatever type */
  grown = sqlite3_realloc64(grown, n);
  if (!grown) return SQLITE_NOMEM;
  memcpy(buffer, &grown, sizeof(grown));
  *capacity = n;
  return SQLITE_OK;
}

/* Copies n bytes; 0 if they are not all ASCII. */
static int copy_ascii(uint8_t *to, const uint8_t *s, size_t n) {
  uint64_t any = 0, word;
  for (; n >= 8; s += 8, to += 8, n -= 8) {
    memcpy(&word, s, 8);
    memcpy(to, &word, 8);
    any |= word;
  }
  for (; n > 0; n--) any |= *to++ = *s++;
  return (any & 0x8080808080808080ull) == 0;
}

/* Decodes one character; malformed bytes become U+FFFD one at a time. */
static uint32_t decode(const uint8_t **at, const uint8_t *end) {
  const uint8_t *s = *at;
  uint32_t c = *s, min;
  int i, more;

  *at = s + 1;
  if (c < 0x80) return c;
  if (c >= 0xC2 && c <= 0xDF) {
    more = 1;
    c &= 0x1F;
    min = 0x80;
  } else if (c >= 0xE0 && c <= 0xEF) {
    more = 2;
    c &= 0x0F;
    min = 0x800;
  } else if (c >= 0xF0 && c <= 0xF4) {
    more = 3;
    c &= 0x07;
    min = 0x10000;
  } else return 0xFFFD;
  if (end - s <= more) return 0xFFFD;
  for (i = 1; i <= more; i++) {
    if ((s[i] & 0xC0) != 0x80) return 0xFFFD;
    c = c << 6 | (s[i] & 0x3F);
  }
  if (c < min || c > 0x10FFFF || (c >= 0xD800 && c <= 0xDFFF)) return 0xFFFD;
  *at = s + more + 1;
  return c;
}

static int widen(pw_rows *rows) {
  size_t i, cap = rows->n_text * 2 + 256;
  uint8_t *narrow = rows->text;
  uint16_t *wide = sqlite3_malloc64(cap);

  if (!wide) return SQLITE_NOMEM;
  for (i = 0; i < rows->n_text; i++) wide[i] = narrow[i];
  sqlite3_free(narrow);
  rows->text = wide;
  rows->wide = 1;
  rows->cap_text = cap;
  return SQLITE_OK;
}

/* Appends text and answers its length in UTF-16 units. */
static int pack_text(pw_rows *rows, const uint8_t *s, size_t n, double *units) {
  uint16_t *out;
  const uint8_t *end = s + n;
  size_t before = rows->n_text;

  *units = 0;
  if (n == 0) return SQLITE_OK; /* text may have no memory yet */
  if (!rows->wide) {
    if (reserve(&rows->text, &rows->cap_text, rows->n_text + n)) return SQLITE_NOMEM;
    if (copy_ascii((uint8_t *)rows->text + rows->n_text, s, n)) {
      rows->n_text += n;
      *units = (double)n;
      return SQLITE_OK;
    }
    if (widen(rows) != SQLITE_OK) return SQLITE_NOMEM;
  }
  /* A character of k bytes makes at most k units. */
  if (reserve(&rows->text, &rows->cap_text, (rows->n_text + n) * 2)) return SQLITE_NOMEM;
  out = (uint16_t *)rows->text + rows->n_text;
  while (s < end) {
    uint32_t c = decode(&s, end);
    if (c >= 0x10000) {
      *out++ = (uint16_t)(0xD7C0 + (c >> 10));
      *out++ = (uint16_t)(0xDC00 | (c & 0x3FF));
    } else {
      *out++ = (uint16_t)c;
    }
  }
  rows->n_text = (size_t)(out - (uint16_t *)rows->text);
  *units = (double)(rows->n_text - before);
  return SQLITE_OK;
}

static int pack_blob(pw_rows *rows, const void *p, size_t n) {
  if (n == 0) return SQLITE_OK;
  if (reserve(&rows->blob, &rows->cap_blob, rows->n_blob + n)) return SQLITE_NOMEM;
  memcpy(rows->blob + rows->n_blob, p, n);
  rows->n_blob += n;
  return SQLITE_OK;
}

/* The column as a value, which is asked for once a cell: sqlite3_column_...()
** would look it up anew for its type, its bytes and its length. Such a value may
** be read where no other thread uses the connection, whose owner we are. */
static int pack_cell(pw_rows *rows, sqlite3_value *value, uint8_t *tag, double *cell) {
  const void *bytes;
  int64_t i;

  switch (sqlite3_value_type(value)) {
    case SQLITE_INTEGER:
      i = sqlite3_value_int64(value);
      if (i >= -SAFE_INTEGER && i <= SAFE_INTEGER) {
        *tag = PW_INT;
        *cell = (double)i;
      } else {
        *tag = PW_BIGINT;
        memcpy(cell, &i, sizeof(i));
      }
      return SQLITE_OK;
    case SQLITE_FLOAT:
      *tag = PW_REAL;
      *cell = sqlite3_value_double(value);
      return SQLITE_OK;
    case SQLITE_TEXT:
      *tag = PW_TEXT;
      bytes = sqlite3_value_text(value);
      if (!bytes) return SQLITE_NOMEM;
      return pack_text(rows, bytes, (size_t)sqlite3_value_bytes(value), cell);
    case SQLITE_BLOB:
      *tag = PW_BLOB;
      bytes = sqlite3_value_blob(value);
      *cell = (double)sqlite3_value_bytes(value);
      if (!bytes && *cell > 0) return SQLITE_NOMEM;
      return pack_blob(rows, bytes, (size_t)*cell);
    default:
      *tag = PW_NULL;
      *cell = 0;
      return SQLITE_OK;
  }
}

/* Appends the row that st stands on. */
int pw_pack_row(pw_rows *rows, sqlite3_stmt *st, uint32_t ncol) {
  size_t at = (size_t)rows->nrow * ncol;
  uint32_t i;

  rows->ncol = ncol;
  if (reserve(&rows->tags, &rows->cap_tag, at + ncol)) return SQLITE_NOMEM;
  if (reserve(&rows->cells, &rows->cap_cell, (at + ncol) * sizeof(double))) return SQLITE_NOMEM;
  for (i = 0; i < ncol; i++) {
    int rc = pack_cell(rows, sqlite3_column_value(st, (int)i), &rows->tags[at + i],
                       &rows->cells[at + i]);
    if (rc != SQLITE_OK) return rc;
  }
  rows->nrow++;
  return SQLITE_OK;
}

/* Forgets the rows, and keeps their memory. */
void pw_rows_clear(pw_rows *rows) {
  rows->nrow = rows->ncol = 0;
  rows->n_text = rows->n_blob = 0;
  rows->wide = 0;
}

void pw_rows_free(pw_rows *rows) {
  sqlite3_free(rows->tags);
  sqlite3_free(rows->cells);
  sqlite3_free(rows->text);
  sqlite3_free(rows->blob);
  memset(rows, 0, sizeof(*rows));
}

size_t pw_rows_memory(const pw_rows *rows) {
  return rows->cap_tag + rows->cap_cell + rows->cap_text + rows->cap_blob;
}
