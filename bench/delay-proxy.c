/*
** A loopback TCP proxy that holds every byte for some milliseconds in each
** direction: a round trip takes twice as long more. Order is kept, and the end
** of a stream is held like its bytes.
**
**     delay-proxy PORT MILLISECONDS
**
** It prints the port that it listens at. A line on standard input with another
** number of milliseconds holds once it is repeated on standard output; the end of
** standard input ends it.
**
** The time counts from when the kernel received the bytes, not from when this
** process got to see them, and it is awake a little before they are due: a timer
** alone was 65 us late on a virtual machine. Linux only.
*/
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MAX_CONNECTIONS 500
#define SECOND          1000000000LL
#define EARLY           100000 /* nanoseconds that are waited for awake */

/* What was received at once; nothing, at the end of a stream. */
typedef struct chunk {
  struct chunk *next;
  int64_t due;
  size_t n, sent;
  char bytes[];
} chunk;

/* One direction of a connection. */
typedef struct {
  int from, to;
  chunk *first, *last;
  int ended;   /* nothing more comes */
  int blocked; /* the receiver takes nothing at the moment */
} way;

typedef struct {
  way ways[2];
} connection;

static int64_t delay; /* nanoseconds each way */
static connection connections[MAX_CONNECTIONS];
static int nconnection;
static char buffer[256 << 10];

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static int64_t now(clockid_t clock) {
  struct timespec t;
  clock_gettime(clock, &t);
  return t.tv_sec * SECOND + t.tv_nsec;
}

static struct sockaddr_in loopback(int port) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

/* How long ago the kernel received the last bytes of a message. */
static int64_t age(struct msghdr *message) {
  struct cmsghdr *c;
  struct timespec t;
  int64_t ago = 0;

  for (c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_TIMESTAMPNS) continue;
    memcpy(&t, CMSG_DATA(c), sizeof(t));
    ago = now(CLOCK_REALTIME) - t.tv_sec * SECOND - t.tv_nsec;
  }
  return ago < 0 || ago > delay ? 0 : ago; /* the clock may have been set meanwhile */
}

/* Takes what has arrived; 0 if the connection is broken. */
static int receive(way *w) {
  char control[CMSG_SPACE(sizeof(struct timespec))];
  struct iovec piece = {buffer, sizeof(buffer)};
  struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1};
  chunk *c;
  ssize_t n;

  message.msg_control = control;
  message.msg_controllen = sizeof(control);
  n = recvmsg(w->from, &message, MSG_DONTWAIT);
  if (n < 0) return errno == EAGAIN || errno == EINTR;
  w->ended = n == 0;
  c = malloc(sizeof(*c) + n);
  if (!c) fail("malloc");
  *c = (chunk){.due = now(CLOCK_MONOTONIC) + delay - (n ? age(&message) : 0), .n = n};
  if (w->first && w->last->due > c->due) c->due = w->last->due; /* the delay was made shorter */
  memcpy(c->bytes, buffer, n);
  if (w->first) w->last->next = c;
  else w->first = c;
  w->last = c;
  return 1;
}

/* Passes on what is due; 0 if the connection is broken. */
static int pass(way *w) {
  chunk *c;
  ssize_t n;

  w->blocked = 0;
  while ((c = w->first) && c->due <= now(CLOCK_MONOTONIC)) {
    if (c->n == 0) shutdown(w->to, SHUT_WR);
    while (c->sent < c->n) {
      n = send(w->to, c->bytes + c->sent, c->n - c->sent, MSG_DONTWAIT | MSG_NOSIGNAL);
      if (n < 0) {
        w->blocked = errno == EAGAIN;
        return w->blocked || errno == EINTR;
      }
      c->sent += n;
    }
    w->first = c->next;
    free(c);
  }
  return 1;
}

static void set_up(int fd) {
  int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof(on));
}

static void begin(int listener, int port) {
  struct sockaddr_in server = loopback(port);
  int client = accept(listener, 0, 0);
  int upstream = socket(AF_INET, SOCK_STREAM, 0);

  if (client < 0 || upstream < 0) fail("accept");
  if (nconnection == MAX_CONNECTIONS ||
      connect(upstream, (struct sockaddr *)&server, sizeof(server))) {
    close(client);
    close(upstream);
    return;
  }
  set_up(client);
  set_up(upstream);
  connections[nconnection++] =
      (connection){.ways = {{.from = client, .to = upstream}, {upstream, client}}};
}

static void end(int i) {
  chunk *c;
  int way;

  for (way = 0; way < 2; way++) {
    close(connections[i].ways[way].from);
    while ((c = connections[i].ways[way].first)) {
      connections[i].ways[way].first = c->next;
      free(c);
    }
  }
  connections[i] = connections[--nconnection];
}

/* Takes what has arrived on a connection and passes on what is due; 0 if it is over. */
static int serve(connection *c, const struct pollfd *polled) {
  int i, over = 1;

  for (i = 0; i < 2; i++) {
    way *w = &c->ways[i];
    if (polled[i].revents && !w->ended && !receive(w)) return 0;
  }
  for (i = 0; i < 2; i++) {
    way *w = &c->ways[i];
    if (!pass(w)) return 0;
    if (!w->ended || w->first) over = 0;
  }
  return !over;
}

static void order(void) {
  char line[64];
  ssize_t n = read(0, line, sizeof(line) - 1);

  if (n <= 0) exit(0);
  line[n] = 0;
  delay = (int64_t)(atof(line) * 1e6);
  printf("%s", line);
  fflush(stdout);
}

int main(int argc, char **argv) {
  static struct pollfd polled[2 + 2 * MAX_CONNECTIONS];
  struct sockaddr_in address = loopback(0);
  socklen_t size = sizeof(address);
  int listener = socket(AF_INET, SOCK_STREAM, 0);
  int port, i, j, n;

  if (argc != 3) return fprintf(stderr, "usage: delay-proxy PORT MILLISECONDS\n"), 2;
  port = atoi(argv[1]);
  delay = (int64_t)(atof(argv[2]) * 1e6);
  if (bind(listener, (struct sockaddr *)&address, size) || listen(listener, 128)) fail("listen");
  getsockname(listener, (struct sockaddr *)&address, &size);
  printf("%d\n", ntohs(address.sin_port));
  fflush(stdout);
  signal(SIGINT, SIG_IGN);      /* of the terminal, to the whole group: the parent ends this */
  prctl(PR_SET_TIMERSLACK, 1L); /* else timers are up to 50 us late */

  for (;;) {
    int64_t due = INT64_MAX, left;
    struct timespec wait;

    polled[0] = (struct pollfd){.fd = 0, .events = POLLIN};
    polled[1] = (struct pollfd){.fd = listener, .events = POLLIN};
    for (i = 0, n = 2; i < nconnection; i++) {
      for (j = 0; j < 2; j++) {
        way *w = &connections[i].ways[j];
        int events = (w->ended ? 0 : POLLIN) | (connections[i].ways[!j].blocked ? POLLOUT : 0);
        polled[n++] = (struct pollfd){.fd = events ? w->from : -1, .events = events};
        if (w->first && !w->blocked && w->first->due < due) due = w->first->due;
      }
    }
    left = due - EARLY - now(CLOCK_MONOTONIC);
    if (left < 0) left = 0;
    wait = (struct timespec){.tv_sec = left / SECOND, .tv_nsec = left % SECOND};
    if (ppoll(polled, n, due == INT64_MAX ? 0 : &wait, 0) < 0 && errno != EINTR) fail("ppoll");
    if (due - now(CLOCK_MONOTONIC) < EARLY) {
      while (now(CLOCK_MONOTONIC) < due) {}
    }
    if (polled[0].revents) order();
    for (i = nconnection - 1; i >= 0; i--) {
      if (!serve(&connections[i], &polled[2 + 2 * i])) end(i);
    }
    if (polled[1].revents) begin(listener, port);
  }
}
