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

static int reserve(void **buffer, size_t *capacity, size_t need, size_t unit) {
  size_t n = *capacity ? *capacity : 64;
  void *grown;

  if (need <= *capacity) return SQLITE_OK;
  while (n < need) n *= 2;
  grown = sqlite3_realloc64(*buffer, n * unit);
  if (!grown) return SQLITE_NOMEM;
  *buffer = grown;
  *capacity = n;
  return SQLITE_OK;
}

static int is_ascii(const uint8_t *s, size_t n) {
  uint64_t any = 0, word;
  for (; n >= 8; s += 8, n -= 8) {
    memcpy(&word, s, 8);
    any |= word;
  }
  for (; n > 0; s++, n--) any |= *s;
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

static int widen(pw_packer *packer) {
  pw_rows *rows = packer->rows;
  size_t i, cap = rows->n_text * 2 + 256;
  uint8_t *narrow = rows->text;
  uint16_t *wide = sqlite3_malloc64(cap);

  if (!wide) return SQLITE_NOMEM;
  for (i = 0; i < rows->n_text; i++) wide[i] = narrow[i];
  sqlite3_free(narrow);
  rows->text = wide;
  rows->wide = 1;
  packer->cap_text = cap;
  return SQLITE_OK;
}

/* Appends text and answers its length in UTF-16 units. */
static int pack_text(pw_packer *packer, const uint8_t *s, size_t n, double *units) {
  pw_rows *rows = packer->rows;
  int ascii = is_ascii(s, n), rc = SQLITE_OK;
  uint16_t *out;
  const uint8_t *end = s + n;
  size_t before = rows->n_text;

  *units = 0;
  if (n == 0) return SQLITE_OK; /* text may have no memory yet */
  if (!ascii && !rows->wide) rc = widen(packer);
  if (rc != SQLITE_OK) return rc;
  if (!rows->wide) {
    if (reserve(&rows->text, &packer->cap_text, rows->n_text + n, 1)) return SQLITE_NOMEM;
    memcpy((uint8_t *)rows->text + rows->n_text, s, n);
    rows->n_text += n;
    *units = (double)n;
    return SQLITE_OK;
  }
  /* A character of k bytes makes at most k units. */
  if (reserve(&rows->text, &packer->cap_text, (rows->n_text + n) * 2, 1)) return SQLITE_NOMEM;
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

static int pack_blob(pw_packer *packer, const void *p, size_t n) {
  pw_rows *rows = packer->rows;
  if (n == 0) return SQLITE_OK;
  if (reserve((void **)&rows->blob, &packer->cap_blob, rows->n_blob + n, 1)) return SQLITE_NOMEM;
  memcpy(rows->blob + rows->n_blob, p, n);
  rows->n_blob += n;
  return SQLITE_OK;
}

static int pack_cell(pw_packer *packer, sqlite3_stmt *st, int column, uint8_t *tag, double *cell) {
  const uint8_t *text;
  int64_t i;

  switch (sqlite3_column_type(st, column)) {
    case SQLITE_INTEGER:
      i = sqlite3_column_int64(st, column);
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
      *cell = sqlite3_column_double(st, column);
      return SQLITE_OK;
    case SQLITE_TEXT:
      *tag = PW_TEXT;
      text = sqlite3_column_text(st, column);
      if (!text) return SQLITE_NOMEM;
      return pack_text(packer, text, (size_t)sqlite3_column_bytes(st, column), cell);
    case SQLITE_BLOB:
      *tag = PW_BLOB;
      text = sqlite3_column_blob(st, column);
      *cell = (double)sqlite3_column_bytes(st, column);
      return pack_blob(packer, text, (size_t)*cell);
    default:
      *tag = PW_NULL;
      *cell = 0;
      return SQLITE_OK;
  }
}

/* Appends the row that st stands on. */
int pw_pack_row(pw_packer *packer, sqlite3_stmt *st, uint32_t ncol) {
  pw_rows *rows = packer->rows;
  size_t at = (size_t)rows->nrow * ncol;
  size_t cap = packer->cap_cell;
  uint32_t i;

  rows->ncol = ncol;
  if (reserve((void **)&rows->tags, &cap, at + ncol, 1)) return SQLITE_NOMEM;
  if (reserve((void **)&rows->cells, &packer->cap_cell, at + ncol, sizeof(double))) {
    return SQLITE_NOMEM;
  }
  for (i = 0; i < ncol; i++) {
    int rc = pack_cell(packer, st, (int)i, &rows->tags[at + i], &rows->cells[at + i]);
    if (rc != SQLITE_OK) return rc;
  }
  rows->nrow++;
  return SQLITE_OK;
}

void pw_rows_free(pw_rows *rows) {
  sqlite3_free(rows->tags);
  sqlite3_free(rows->cells);
  sqlite3_free(rows->text);
  sqlite3_free(rows->blob);
  memset(rows, 0, sizeof(*rows));
}
