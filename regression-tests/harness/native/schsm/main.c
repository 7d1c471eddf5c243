/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * schsm STATE SOCKET SERIAL [PORT]: a smart card for tests that behaves as OpenSC expects a
 * SmartCard-HSM to. STATE is the file that holds what is on it, made when missing. With PORT it is
 * in that reader from the start. On the Unix socket SOCKET the tests say, one line for each
 * connection, what happens to the card, and get one line:
 *
 * - insert PORT: into the virtual reader that listens there; out of another one first. There it
 *   stays, whatever happens to the reader, until it is pulled or put elsewhere
 * - pull: out
 * - slow MS: each signature takes that long from now on
 * - counts: gives "signatures N verifies N resets N extended N", since the program began
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "card.h"
#include "reader.h"

#define LINE_MAX_LEN 128
#define LOOK_MS 50 /* how often a card that is in a dead reader looks whether it is alive again */

struct world {
  struct card card;
  unsigned port; /* of the reader; 0: the card is in none */
  int reader;    /* -1: no connection */
};

static void disconnect(struct world *w)
{
  if (w->reader >= 0) {
    close(w->reader);
    card_reset(&w->card);
  }
  w->reader = -1;
}

static void obey(struct world *w, const char *line, char *reply, size_t size)
{
  const struct card *c = &w->card;

  snprintf(reply, size, "ok\n");
  if (strncmp(line, "insert ", 7) == 0) {
    disconnect(w);
    w->port = (unsigned)strtoul(line + 7, NULL, 10);
  } else if (strcmp(line, "pull") == 0) {
    disconnect(w);
    w->port = 0;
  } else if (strncmp(line, "slow ", 5) == 0) {
    w->card.sign_ms = strtol(line + 5, NULL, 10);
  } else if (strcmp(line, "counts") == 0) {
    snprintf(reply, size, "signatures %lu verifies %lu resets %lu extended %lu\n", c->signatures,
             c->verifies, c->resets, c->extended);
  } else {
    snprintf(reply, size, "what is '%s'?\n", line);
  }
}

static int listen_at(const char *path)
{
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

  if (fd < 0 || strlen(path) >= sizeof(address.sun_path))
    return -1;
  memcpy(address.sun_path, path, strlen(path));
  unlink(path);
  if (bind(fd, (const struct sockaddr *)&address, sizeof(address)) != 0 || listen(fd, 8) != 0)
    return -1;
  return fd;
}

static void hear(struct world *w, int control)
{
  char line[LINE_MAX_LEN];
  char reply[LINE_MAX_LEN + 64];
  int fd = accept4(control, NULL, NULL, SOCK_CLOEXEC);
  ssize_t len = fd >= 0 ? read(fd, line, sizeof(line) - 1) : -1;

  if (len > 0) {
    line[len] = '\0';
    line[strcspn(line, "\n")] = '\0';
    obey(w, line, reply, sizeof(reply));
    send(fd, reply, strlen(reply), MSG_NOSIGNAL);
  }
  if (fd >= 0)
    close(fd);
}

int main(int argc, char **argv)
{
  static struct world w = {.reader = -1};
  struct pollfd watched[2] = {{.events = POLLIN}, {.events = POLLIN}};

  if (argc != 4 && argc != 5) {
    fprintf(stderr, "usage: schsm STATE SOCKET SERIAL [PORT]\n");
    return 2;
  }
  if (!card_open(&w.card, argv[1], argv[3]))
    return 1;
  watched[0].fd = listen_at(argv[2]);
  if (watched[0].fd < 0) {
    fprintf(stderr, "schsm: %s: %s\n", argv[2], strerror(errno));
    return 1;
  }
  if (argc == 5)
    w.port = (unsigned)strtoul(argv[4], NULL, 10);
  for (;;) {
    if (w.reader < 0 && w.port != 0)
      w.reader = reader_insert(w.port);
    watched[1].fd = w.reader;
    if (poll(watched, 2, w.reader < 0 && w.port != 0 ? LOOK_MS : -1) < 0 && errno != EINTR)
      return 1;
    if (watched[1].fd >= 0 && watched[1].revents != 0 && !reader_serve(w.reader, &w.card))
      disconnect(&w);
    if (watched[0].revents != 0)
      hear(&w, watched[0].fd);
  }
}
