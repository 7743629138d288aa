#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* for dladdr() */
#endif
#include "port.h"

#include <stdio.h>
#include <stdlib.h>

#ifdef _WIN32

void port_mutex_init(port_mutex *m) {
  InitializeSRWLock(m);
}
void port_mutex_destroy(port_mutex *m) {
  (void)m;
}
void port_lock(port_mutex *m) {
  AcquireSRWLockExclusive(m);
}
void port_unlock(port_mutex *m) {
  ReleaseSRWLockExclusive(m);
}

void port_cond_init(port_cond *c) {
  InitializeConditionVariable(c);
}
void port_cond_destroy(port_cond *c) {
  (void)c;
}
void port_cond_wait(port_cond *c, port_mutex *m) {
  SleepConditionVariableSRW(c, m, INFINITE, 0);
}
void port_cond_signal(port_cond *c) {
  WakeConditionVariable(c);
}

/* Say in error what failed, and Windows' number for why. */
static void *load_failed(const char *what, char *error, size_t n_error) {
  snprintf(error, n_error, "%s failed with Windows error %lu", what, (unsigned long)GetLastError());
  return NULL;
}

void *port_load(const char *path, const char *symbol, char *error, size_t n_error) {
  HMODULE lib, pinned;
  void *address;
  wchar_t *wide;
  int n = MultiByteToWideChar(CP_UTF8, 0, path, -1, NULL, 0);
  if (n <= 0) return load_failed("MultiByteToWideChar", error, n_error);
  wide = malloc((size_t)n * sizeof(wchar_t));
  if (wide == NULL) return load_failed("malloc", error, n_error);
  MultiByteToWideChar(CP_UTF8, 0, path, -1, wide, n);
  lib = LoadLibraryExW(wide, NULL, LOAD_WITH_ALTERED_SEARCH_PATH);
  free(wide);
  if (lib == NULL) return load_failed("LoadLibraryEx", error, n_error);
  address = (void *)GetProcAddress(lib, symbol);
  if (address == NULL) return load_failed("GetProcAddress", error, n_error);
  if (!GetModuleHandleExW(GET_MODULE_HANDLE_EX_FLAG_PIN | GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS,
                          (LPCWSTR)address, &pinned)) {
    return load_failed("GetModuleHandleEx", error, n_error);
  }
  return address;
}

int port_pin(void) {
  HMODULE pinned;
  return GetModuleHandleExW(GET_MODULE_HANDLE_EX_FLAG_PIN | GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS,
                            (LPCWSTR)port_pin, &pinned);
}

#else

#include <dlfcn.h>
#include <sys/resource.h>
#include <unistd.h>

/* When there are fewer processors than there is work, JavaScript's thread goes
** first. Threads inherit the niceness of the one that starts them, on Linux,
** where each has its own: so a nice thread loads the library, which starts Go.
** The engine's workers are as nice (internal/sqlite/workers.c). */
#define GO_NICE 5

void port_mutex_init(port_mutex *m) {
  pthread_mutex_init(m, NULL);
}
void port_mutex_destroy(port_mutex *m) {
  pthread_mutex_destroy(m);
}
void port_lock(port_mutex *m) {
  pthread_mutex_lock(m);
}
void port_unlock(port_mutex *m) {
  pthread_mutex_unlock(m);
}

void port_cond_init(port_cond *c) {
  pthread_cond_init(c, NULL);
}
void port_cond_destroy(port_cond *c) {
  pthread_cond_destroy(c);
}
void port_cond_wait(port_cond *c, port_mutex *m) {
  pthread_cond_wait(c, m);
}
void port_cond_signal(port_cond *c) {
  pthread_cond_signal(c);
}

/* What is to be loaded, and what came of it. */
typedef struct loading {
  const char *path, *symbol;
  void *address;
  char *error;
  size_t n_error;
} loading;

static void *load(void *arg) {
  loading *l = arg;
  void *lib;
#ifdef __linux__
  setpriority(PRIO_PROCESS, (id_t)gettid(), GO_NICE);
#endif
  lib = dlopen(l->path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  if (lib) l->address = dlsym(lib, l->symbol);
  if (l->address == NULL) {
    const char *why = dlerror();
    snprintf(l->error, l->n_error, "%s", why ? why : "dlopen failed");
  }
  return NULL;
}

void *port_load(const char *path, const char *symbol, char *error, size_t n_error) {
  loading l = {path, symbol, NULL, error, n_error};
  pthread_t loader;
  if (pthread_create(&loader, NULL, load, &l) == 0) pthread_join(loader, NULL);
  else snprintf(error, n_error, "no thread could be started to load %s", path);
  return l.address;
}

int port_pin(void) {
  Dl_info self;
  return dladdr((void *)port_pin, &self) &&
         dlopen(self.dli_fname, RTLD_NOW | RTLD_NOLOAD | RTLD_NODELETE) != NULL;
}

#endif
