/*
** Point reads (see pagewire.h). Each call into N-API costs as much as packing a
** value, and there are two here for a read with numbers. So these cross in the
** scratch buffer, both ways: the parameters as doubles from its beginning, behind
** MOST_VALUES of them the number of what is read, or -1 minus that if there are
** arguments instead, and the cells of the row from the beginning again, with a tag a
** column behind them. js/point.ts has the other half.
*/
#include <stdlib.h>
#include <string.h>

#include "bridge.h"

#define POINT    MOST_VALUES   /* where the number stands, in doubles */
#define ROW_KEEP (1024 * 1024) /* bytes of memory for texts that is kept for the next row */

/* A statement as it is read; a handle has one at most. */
struct point {
  bridge *b; /* NULL once it has ended */
  handle *h;
  uint32_t number, shape, nparam, ncol;
};

/* The parameters: numbers in the scratch buffer, or arguments. */
static int read_values(bridge *b, napi_callback_info info, const point *p, int given,
                       pw_value *out) {
  napi_value argv[MOST_VALUES];
  size_t argc = MOST_VALUES;
  uint32_t i;
  if (given) {
    return napi_get_cb_info(b->env, info, &argc, argv, NULL, NULL) == napi_ok &&
           argc == p->nparam && params_point(b, argv, out, p->nparam);
  }
  for (i = 0; i < p->nparam; i++) {
    out[i] = (pw_value){0};
    if (!params_number(((double *)b->scratch)[i], &out[i])) return 0;
  }
  return 1;
}

/* The texts of the row, or [texts, blobs]. */
static napi_status row_value(bridge *b, napi_value *out) {
  napi_env env = b->env;
  napi_value texts, blobs;
  napi_status status = result_texts(env, &b->row, &texts);
  *out = texts;
  if (status != napi_ok || b->row.n_blob == 0) return status;
  status = result_blobs(env, &b->row, &blobs);
  if (status == napi_ok) status = napi_create_array_with_length(env, 2, out);
  if (status == napi_ok) status = napi_set_element(env, *out, 0, texts);
  if (status == napi_ok) status = napi_set_element(env, *out, 1, blobs);
  return status;
}

static void free_row(bridge *b) {
  b->row.cells = NULL; /* of scratch */
  b->row.tags = NULL;
  b->api->rows_free(&b->row);
}

/* Read a row into b->row; PW_DEFER if that cannot be done at once. */
static int read_row(bridge *b, napi_callback_info info) {
  double asked = ((double *)b->scratch)[POINT];
  double number = asked < 0 ? -1 - asked : asked;
  const point *p = number < b->n_points ? b->points[(uint32_t)number] : NULL;
  pw_value values[MOST_VALUES];
  if (p == NULL || !read_values(b, info, p, asked < 0, values)) return PW_DEFER;
  b->row.ncol = p->ncol;
  b->row.cells = (double *)b->scratch;
  b->row.cap_cell = p->ncol * sizeof(double);
  b->row.tags = b->scratch + b->row.cap_cell;
  b->row.cap_tag = p->ncol;
  return b->api->stmt_read(p->h->stmt, values, p->nparam, p->shape, &b->row);
}

/*
** read(values of all parameters, if they are not in the scratch buffer) -> the texts
** of the row, or [texts, blobs]; undefined if there is no row, null if it must be run
** as an operation
*/
static napi_value js_read(napi_env env, napi_callback_info info) {
  napi_value out = NULL;
  bridge *b = bridge_enter(env, info, 0, NULL, NULL);
  int rc;
  if (b == NULL) return NULL;
  rc = read_row(b, info);
  if (rc == PW_DONE && b->row.nrow > 0 && row_value(b, &out) != napi_ok) rc = PW_DEFER;
  if (b->row.cap_text + b->row.cap_blob > ROW_KEEP) free_row(b);
  if (rc == PW_DEFER) napi_get_null(env, &out);
  return out;
}

/* Forget how a statement is read: it is closed, or read in another way. */
void point_end(handle *h) {
  point *p = h->point;
  if (p->b) {
    p->b->points[p->number] = NULL;
    if (p->b->used_points > p->number) p->b->used_points = p->number;
  }
  free(p);
  h->point = NULL;
}

/* The environment has ended. Finalizers of handles may still follow. */
void point_close(bridge *b) {
  uint32_t i;
  for (i = 0; i < b->n_points; i++) {
    if (b->points[i]) b->points[i]->b = NULL;
  }
  free(b->points);
  free_row(b);
}

/* The least number that is free. */
static uint32_t take_number(bridge *b) {
  uint32_t i = b->used_points;
  while (i < b->n_points && b->points[i]) i++;
  b->used_points = i + 1;
  if (i == b->n_points) {
    b->n_points = 2 * i + 8;
    b->points = bridge_grow(b->points, b->n_points * sizeof(*b->points));
    memset(b->points + i, 0, (b->n_points - i) * sizeof(*b->points));
  }
  return i;
}

/*
** pointNew(stmt, shape, number of parameters, number of columns) -> the number of
** what is read so, in place of what it was before; -1 if that are too many
*/
static napi_value js_point_new(napi_env env, napi_callback_info info) {
  napi_value argv[4], out;
  uint32_t n[3];
  bridge *b = bridge_enter(env, info, 4, argv, NULL);
  handle *h;
  int i, fits;
  if (b == NULL || (h = ops_handle(env, argv[0], HANDLE_STMT)) == NULL) return NULL;
  for (i = 0; i < 3; i++) {
    if (bridge_failed(env, napi_get_value_uint32(env, argv[1 + i], &n[i]))) return NULL;
  }
  if (h->point) point_end(h);
  fits = n[1] <= MOST_VALUES && n[2] <= b->n_scratch / (sizeof(double) + 1);
  if (fits) {
    h->point = bridge_alloc(sizeof(*h->point));
    *h->point = (point){b, h, take_number(b), n[0], n[1], n[2]};
    b->points[h->point->number] = h->point;
  }
  if (bridge_failed(env, napi_create_int32(env, fits ? (int32_t)h->point->number : -1, &out)))
    return NULL;
  return out;
}

napi_status point_define(bridge *b, napi_value exports) {
  const napi_property_descriptor functions[] = {
      {"read", NULL, js_read, NULL, NULL, NULL, napi_enumerable, b},
      {"pointNew", NULL, js_point_new, NULL, NULL, NULL, napi_enumerable, b},
  };
  return napi_define_properties(b->env, exports, sizeof(functions) / sizeof(functions[0]),
                                functions);
}
