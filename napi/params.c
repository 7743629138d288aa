/*
** Parameters: an array of positional values or an object of named ones becomes
** an array of pw_value. Reading the values out of their container may run
** JavaScript (getters), converting them may not, so the two are two passes,
** and the second one may use the environment's reused memory.
*/
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bridge.h"

#define MAX_SAFE   9007199254740991.0 /* 2^53 - 1 */
#define ON_STACK   16                 /* values that need no allocation */
#define ARENA_KEEP (1024 * 1024)    /* bytes of text memory kept for the next call */

/* Values and names as they were read; names is NULL for positional ones. */
typedef struct input {
  napi_value *values;
  napi_value names;
  uint32_t n;
} input;

/* The arena: texts and names one after the other, at offsets until all are there. */
static char *arena_at(bridge *b, size_t used, size_t need) {
  if (b->cap_arena - used < need) {
    size_t cap = b->cap_arena ? b->cap_arena : 4096;
    while (cap - used < need) cap *= 2;
    b->arena = bridge_grow(b->arena, cap);
    b->cap_arena = cap;
  }
  return b->arena + used;
}

/*
** Copy the UTF-8 of string v to the arena at *used and move *used past it.
** Room for a short one is tried first, which spares measuring it.
*/
static napi_status copy_utf8(bridge *b, napi_value v, size_t *used, size_t *n) {
  size_t room, got;
  napi_status status;
  char *p = arena_at(b, *used, 512);
  room = b->cap_arena - *used;
  status = napi_get_value_string_utf8(b->env, v, p, room, &got);
  if (status != napi_ok) return status;
  if (got + 5 > room) { /* it may have been cut, before a whole character */
    status = napi_get_value_string_utf8(b->env, v, NULL, 0, &got);
    if (status != napi_ok) return status;
    p = arena_at(b, *used, got + 1);
    status = napi_get_value_string_utf8(b->env, v, p, got + 1, &got);
    if (status != napi_ok) return status;
  }
  *n = got;
  *used += got;
  return napi_ok;
}

/* Does the UTF-8 text hold U+FFFD, which also stands for a lone surrogate? */
static int has_replacement(const char *p, size_t n) {
  const char *end = p + n;
  while ((p = memchr(p, 0xEF, (size_t)(end - p))) != NULL) {
    if (end - p >= 3 && (unsigned char)p[1] == 0xBF && (unsigned char)p[2] == 0xBD) return 1;
    p++;
  }
  return 0;
}

/* Does string v hold half of a surrogate pair? */
static int has_lone_surrogate(napi_env env, napi_value v) {
  size_t i, n;
  char16_t *p;
  int lone = 0;
  if (napi_get_value_string_utf16(env, v, NULL, 0, &n) != napi_ok) return 0;
  p = bridge_alloc((n + 1) * sizeof(*p));
  if (napi_get_value_string_utf16(env, v, p, n + 1, &n) != napi_ok) n = 0;
  for (i = 0; i < n && !lone; i++) {
    if (p[i] >= 0xD800 && p[i] <= 0xDBFF && i + 1 < n && p[i + 1] >= 0xDC00 && p[i + 1] <= 0xDFFF) {
      i++;
    } else {
      lone = p[i] >= 0xD800 && p[i] <= 0xDFFF;
    }
  }
  free(p);
  return lone;
}

/* Let JavaScript throw the TypeError that names the parameter. */
static void refuse(bridge *b, input *in, uint32_t at, const char *why) {
  napi_env env = b->env;
  napi_value args[3], fn, self;
  napi_status status;
  if (in->names) status = napi_get_element(env, in->names, at, &args[0]);
  else status = napi_create_uint32(env, at + 1, &args[0]);
  args[1] = in->values[at];
  if (status == napi_ok) status = napi_create_string_utf8(env, why, NAPI_AUTO_LENGTH, &args[2]);
  if (status == napi_ok) status = napi_get_reference_value(env, b->bad_param, &fn);
  if (status == napi_ok) status = napi_get_undefined(env, &self);
  if (status == napi_ok) status = napi_call_function(env, self, fn, 3, args, NULL);
  bridge_failed(env, status == napi_ok ? napi_generic_failure : status);
}

/* Convert a number: safe integers as INTEGER, but -0 keeps its sign. */
int params_number(double d, pw_value *out) {
  if (isnan(d)) return 0;
  if (d >= -MAX_SAFE && d <= MAX_SAFE && (double)(int64_t)d == d && !(d == 0 && signbit(d))) {
    out->type = PW_INT;
    out->i = (int64_t)d;
  } else {
    out->type = PW_REAL;
    out->r = d;
  }
  return 1;
}

/*
** Convert one value. Returns NULL if all is well, else why it cannot be bound;
** "" is for a failure of N-API itself. Texts are offsets into the arena.
*/
static const char *convert(bridge *b, napi_value v, pw_value *out, size_t *used) {
  napi_env env = b->env;
  napi_valuetype type;
  if (napi_typeof(env, v, &type) != napi_ok) return "";
  switch (type) {
    case napi_null:
      out->type = PW_NULL;
      return NULL;
    case napi_boolean: {
      bool yes;
      if (napi_get_value_bool(env, v, &yes) != napi_ok) return "";
      out->type = PW_INT;
      out->i = yes;
      return NULL;
    }
    case napi_number: {
      double d;
      if (napi_get_value_double(env, v, &d) != napi_ok) return "";
      return params_number(d, out) ? NULL : "nan";
    }
    case napi_bigint: {
      bool exact;
      if (napi_get_value_bigint_int64(env, v, &out->i, &exact) != napi_ok) return "";
      out->type = PW_INT;
      return exact ? NULL : "range";
    }
    case napi_string: {
      size_t at = *used, n;
      if (copy_utf8(b, v, used, &n) != napi_ok) return "";
      if (has_replacement(b->arena + at, n) && has_lone_surrogate(env, v)) return "surrogate";
      out->type = PW_TEXT;
      out->p = (const void *)(uintptr_t)at;
      out->n = n;
      return NULL;
    }
    case napi_object: {
      napi_typedarray_type kind;
      size_t n;
      void *data;
      bool typed;
      if (napi_is_typedarray(env, v, &typed) != napi_ok) return "";
      if (!typed) return "type";
      if (napi_get_typedarray_info(env, v, &kind, &n, &data, NULL, NULL) != napi_ok) return "";
      if (kind != napi_uint8_array) return "type";
      out->type = PW_BLOB;
      out->p = n ? data : "";
      out->n = n;
      return NULL;
    }
    default:
      return "type";
  }
}

/* Read the values out of their array or object. May run JavaScript. */
static napi_status read_input(napi_env env, napi_value params, napi_value *room, input *in) {
  bool positional;
  uint32_t i;
  napi_status status = napi_is_array(env, params, &positional);
  if (status != napi_ok) return status;
  if (positional) {
    status = napi_get_array_length(env, params, &in->n);
  } else {
    status = napi_get_all_property_names(env, params, napi_key_own_only,
                                         napi_key_enumerable | napi_key_skip_symbols,
                                         napi_key_numbers_to_strings, &in->names);
    if (status == napi_ok) status = napi_get_array_length(env, in->names, &in->n);
  }
  if (status != napi_ok) return status;
  in->values = in->n <= ON_STACK ? room : bridge_alloc(in->n * sizeof(*in->values));
  for (i = 0; i < in->n && status == napi_ok; i++) {
    if (positional) {
      status = napi_get_element(env, params, i, &in->values[i]);
    } else {
      napi_value name;
      status = napi_get_element(env, in->names, i, &name);
      if (status == napi_ok) status = napi_get_property(env, params, name, &in->values[i]);
    }
  }
  return status;
}

/* Copy a parameter's name, without the prefix it may be written with. */
static napi_status convert_name(bridge *b, napi_value names, uint32_t i, pw_value *out,
                                size_t *used) {
  napi_value name;
  size_t at = *used, n;
  napi_status status = napi_get_element(b->env, names, i, &name);
  if (status == napi_ok) status = copy_utf8(b, name, used, &n);
  if (status != napi_ok) return status;
  if (n > 0 && strchr(":@$", b->arena[at]) != NULL && b->arena[at] != 0) {
    at++;
    n--;
  }
  out->name = (const char *)(uintptr_t)at;
  out->n_name = n;
  return napi_ok;
}

/* The texts are all there: make pointers of their offsets into the arena. */
static void place(bridge *b, pw_value *values, uint32_t n) {
  uint32_t i;
  for (i = 0; i < n; i++) {
    if (values[i].type != PW_TEXT) continue;
    values[i].p = values[i].n ? b->arena + (uintptr_t)values[i].p : "";
  }
}

/* Convert all values and bind them. Runs no JavaScript unless it refuses one. */
static int bind_input(bridge *b, pw_op *op, uint32_t item, input *in) {
  size_t used = 0;
  uint32_t i;
  if (in->n > b->cap_values) {
    b->values = bridge_grow(b->values, in->n * sizeof(*b->values));
    b->cap_values = in->n;
  }
  for (i = 0; i < in->n; i++) {
    pw_value *value = &b->values[i];
    const char *why;
    memset(value, 0, sizeof(*value));
    why = convert(b, in->values[i], value, &used);
    if (why && *why) {
      refuse(b, in, i, why);
      return 0;
    }
    if (why || (in->names && convert_name(b, in->names, i, value, &used) != napi_ok)) {
      bridge_failed(b->env, napi_generic_failure);
      return 0;
    }
  }
  place(b, b->values, in->n);
  for (i = 0; in->names && i < in->n; i++) {
    pw_value *value = &b->values[i];
    value->name = value->n_name ? b->arena + (uintptr_t)value->name : "";
  }
  b->api->op_bind(op, item, b->values, in->n);
  return 1;
}

/* Give back what a very long text took: the next call hardly needs as much. */
static void trim_arena(bridge *b) {
  if (b->cap_arena <= ARENA_KEEP) return;
  free(b->arena);
  b->arena = NULL;
  b->cap_arena = 0;
}

/* Bind n positional values to op. Returns 0 with an exception pending if one cannot be bound. */
int params_bind_values(bridge *b, pw_op *op, napi_value *values, size_t n) {
  input in = {.values = values, .names = NULL, .n = (uint32_t)n};
  int ok = bind_input(b, op, 0, &in);
  trim_arena(b);
  return ok;
}

/*
** Bind params (an array, an object, or undefined for none) to an item of op.
** Returns 0 with an exception pending if something cannot be bound.
*/
int params_bind(bridge *b, pw_op *op, uint32_t item, napi_value params) {
  napi_value room[ON_STACK];
  napi_valuetype type;
  napi_status status;
  input in = {0};
  int ok;
  if (bridge_failed(b->env, napi_typeof(b->env, params, &type))) return 0;
  if (type == napi_undefined) return 1;
  status = read_input(b->env, params, room, &in);
  ok = !bridge_failed(b->env, status) && (in.n == 0 || bind_input(b, op, item, &in));
  if (in.values != room) free(in.values);
  trim_arena(b);
  return ok;
}

/*
** The values of a point read, whose texts stay in the arena until the next call:
** 0 if one cannot be bound, or is too long to be kept there. Runs no JavaScript.
*/
int params_point(bridge *b, napi_value *values, pw_value *out, uint32_t n) {
  size_t used = 0;
  uint32_t i;
  for (i = 0; i < n; i++) {
    out[i] = (pw_value){0};
    if (convert(b, values[i], &out[i], &used) != NULL) return 0;
  }
  place(b, out, n);
  return b->cap_arena <= ARENA_KEEP;
}
