/*
** The exchange of echo-server.mjs through the least threads that a durable
** commit needs, as an addon for both of its ends. JavaScript writes a request
** to the socket. The server's reader takes it and wakes another thread, which
** writes it to a file, syncs and answers: a disk that hangs must not keep the
** reader from other requests. A thread of the client, which must be there for
** what comes unasked, takes the answer and wakes JavaScript.
*/
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <node_api.h>
#include <pthread.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

#define REQUEST  (20 << 10)
#define ANSWER   64
#define REQUESTS 400 /* the file is as long as it gets, as that of echo-server.mjs */

static int read_all(int fd, char *to, size_t n) {
  ssize_t got = 1;
  for (; n > 0 && got > 0; to += got, n -= (size_t)got) got = read(fd, to, n);
  return got > 0;
}

static int write_all(int fd, const char *from, size_t n) {
  ssize_t put = 1;
  for (; n > 0 && put > 0; from += put, n -= (size_t)put) put = write(fd, from, n);
  return put > 0;
}

/* The server: one connection at a time, whose client waits for each answer. */
static struct {
  pthread_mutex_t mutex;
  pthread_cond_t changed;
  char request[REQUEST];
  int listener, file, client; /* client is -1 when nothing waits to be answered */
} server = {.mutex = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER, .client = -1};

static void *sync_and_answer(void *arg) {
  static const char answer[ANSWER];
  int64_t written = 0;
  (void)arg;
  for (;;) {
    int client;
    pthread_mutex_lock(&server.mutex);
    while (server.client < 0) pthread_cond_wait(&server.changed, &server.mutex);
    client = server.client;
    server.client = -1;
    pthread_mutex_unlock(&server.mutex);
    if (pwrite(server.file, server.request, REQUEST, written++ % REQUESTS * REQUEST) != REQUEST ||
        fdatasync(server.file) != 0 || !write_all(client, answer, ANSWER))
      shutdown(client, SHUT_RDWR);
  }
  return NULL;
}

static void *read_requests(void *arg) {
  (void)arg;
  for (;;) {
    int on = 1, client = accept(server.listener, NULL, NULL);
    if (client < 0) return NULL;
    setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    while (read_all(client, server.request, REQUEST)) {
      pthread_mutex_lock(&server.mutex);
      server.client = client;
      pthread_cond_signal(&server.changed);
      pthread_mutex_unlock(&server.mutex);
    }
    close(client);
  }
}

static napi_value fail(napi_env env, const char *what) {
  napi_throw_error(env, NULL, what);
  return NULL;
}

/* serve(path) -> port */
static napi_value js_serve(napi_env env, napi_callback_info info) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t n_address = sizeof(address);
  char path[4096];
  size_t argc = 1;
  napi_value argv[1], out;
  pthread_t thread;
  int i;
  napi_get_cb_info(env, info, &argc, argv, NULL, NULL);
  napi_get_value_string_utf8(env, argv[0], path, sizeof(path), NULL);
  server.file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
  for (i = 0; i < REQUESTS; i++) {
    if (!write_all(server.file, server.request, REQUEST)) return fail(env, "the file");
  }
  server.listener = socket(AF_INET, SOCK_STREAM, 0);
  if (fdatasync(server.file) != 0 ||
      bind(server.listener, (struct sockaddr *)&address, sizeof(address)) != 0 ||
      listen(server.listener, 16) != 0 ||
      getsockname(server.listener, (struct sockaddr *)&address, &n_address) != 0 ||
      pthread_create(&thread, NULL, sync_and_answer, NULL) != 0 ||
      pthread_create(&thread, NULL, read_requests, NULL) != 0)
    return fail(env, "the server");
  napi_create_uint32(env, ntohs(address.sin_port), &out);
  return out;
}

/* The client: one connection at a time. */
static int connection;

static void *read_answers(void *arg) {
  napi_threadsafe_function answered = arg;
  int fd = connection; /* the next one comes after this one's answers */
  char answer[ANSWER];
  while (read_all(fd, answer, ANSWER)) {
    napi_call_threadsafe_function(answered, NULL, napi_tsfn_blocking);
  }
  close(fd);
  napi_release_threadsafe_function(answered, napi_tsfn_release);
  return NULL;
}

/* connect(port, answered) */
static napi_value js_connect(napi_env env, napi_callback_info info) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  size_t argc = 2;
  napi_value argv[2], name;
  napi_threadsafe_function answered;
  pthread_t thread;
  uint32_t port;
  int on = 1;
  napi_get_cb_info(env, info, &argc, argv, NULL, NULL);
  napi_get_value_uint32(env, argv[0], &port);
  address.sin_port = htons((uint16_t)port);
  connection = socket(AF_INET, SOCK_STREAM, 0);
  setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  napi_create_string_utf8(env, "answered", NAPI_AUTO_LENGTH, &name);
  napi_create_threadsafe_function(env, argv[1], NULL, name, 0, 1, NULL, NULL, NULL, NULL,
                                  &answered);
  if (connect(connection, (struct sockaddr *)&address, sizeof(address)) != 0 ||
      pthread_create(&thread, NULL, read_answers, answered) != 0)
    return fail(env, "the connection");
  return NULL;
}

/* send(): the request; answered() is called when it is durable. */
static napi_value js_send(napi_env env, napi_callback_info info) {
  static const char request[REQUEST];
  (void)info;
  return write_all(connection, request, REQUEST) ? NULL : fail(env, "the connection");
}

/* close() */
static napi_value js_close(napi_env env, napi_callback_info info) {
  (void)env;
  (void)info;
  shutdown(connection, SHUT_RDWR);
  return NULL;
}

NAPI_MODULE_INIT() {
  const napi_property_descriptor functions[] = {
      {"serve", NULL, js_serve, NULL, NULL, NULL, napi_enumerable, NULL},
      {"connect", NULL, js_connect, NULL, NULL, NULL, napi_enumerable, NULL},
      {"send", NULL, js_send, NULL, NULL, NULL, napi_enumerable, NULL},
      {"close", NULL, js_close, NULL, NULL, NULL, napi_enumerable, NULL},
  };
  napi_define_properties(env, exports, sizeof(functions) / sizeof(functions[0]), functions);
  return exports;
}
