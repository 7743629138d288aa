/*
** What differs between operating systems: locks, a condition to wait for, and
** the opening of the Go library, which is never closed again.
*/
#ifndef PAGEWIRE_PORT_H
#define PAGEWIRE_PORT_H

#include <stddef.h>

#ifdef _WIN32
#include <windows.h>
typedef SRWLOCK port_mutex;
typedef CONDITION_VARIABLE port_cond;
#else
#include <pthread.h>
typedef pthread_mutex_t port_mutex;
typedef pthread_cond_t port_cond;
#endif

void port_mutex_init(port_mutex *m);
void port_mutex_destroy(port_mutex *m);
void port_lock(port_mutex *m);
void port_unlock(port_mutex *m);

void port_cond_init(port_cond *c);
void port_cond_destroy(port_cond *c);
void port_cond_wait(port_cond *c, port_mutex *m);
void port_cond_signal(port_cond *c);

/*
** Load the library at path (UTF-8) for the life of the process: the Go runtime
** cannot be unloaded, so the library is pinned. Returns the address of symbol;
** on failure NULL, with the reason in error (n_error bytes at most).
*/
void *port_load(const char *path, const char *symbol, char *error, size_t n_error);

/*
** Keep this module in memory for good; 0 if that failed. Node.js unloads it with the last environment that uses it, when
** threads of the library may still be about to call it.
*/
int port_pin(void);

#endif /* PAGEWIRE_PORT_H */
