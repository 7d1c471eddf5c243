/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "reader.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#define MESSAGE_MAX 65535

/* What the only byte of a message for the contacts says. */
enum contacts {
  CONTACTS_OFF = 0,
  CONTACTS_ON = 1,
  CONTACTS_RESET = 2,
  CONTACTS_ATR = 4,
};

int reader_insert(unsigned port)
{
  struct sockaddr_in address = {.sin_family = AF_INET,
                                .sin_port = htons((uint16_t)port),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  int one = 1;
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

  if (fd < 0)
    return -1;
  if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) != 0) {
    int error = errno;

    close(fd);
    errno = error;
    return -1;
  }
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
  return fd;
}

/* The reader sends length and message apart, and the second when the first is acknowledged: at
   once, else each command takes 40 ms. The kernel forgets that it was told. */
static bool receive(int fd, uint8_t *data, size_t len)
{
  int one = 1;

  setsockopt(fd, IPPROTO_TCP, TCP_QUICKACK, &one, sizeof(one));
  return len == 0 || recv(fd, data, len, MSG_WAITALL) == (ssize_t)len;
}

static bool answer(int fd, const uint8_t *data, size_t len)
{
  struct bytes message = {0};

  bytes_add_pair(&message, (unsigned)len);
  bytes_add(&message, data, len);
  return send(fd, message.data, message.len, MSG_NOSIGNAL) == (ssize_t)message.len;
}

bool reader_serve(int fd, struct card *c)
{
  static uint8_t message[MESSAGE_MAX];
  static struct bytes reply;
  uint8_t size[2];
  size_t len;

  if (!receive(fd, size, sizeof(size)))
    return false;
  len = (size_t)size[0] << 8 | size[1];
  if (!receive(fd, message, len))
    return false;
  if (len != 1) {
    card_command(c, message, len, &reply);
    return answer(fd, reply.data, reply.len);
  }
  if (message[0] == CONTACTS_ATR)
    return answer(fd, card_atr, card_atr_len);
  if (message[0] == CONTACTS_OFF || message[0] == CONTACTS_ON || message[0] == CONTACTS_RESET)
    card_reset(c);
  return true;
}
