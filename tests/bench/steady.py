# SPDX-License-Identifier: GPL-2.0-or-later
"""A client that asks the same names in turn, at the same rate, whatever is answered."""
import itertools
import socket
import threading
import time
from contextlib import contextmanager

import dns.message
import dns.rcode

from harness.ports import LOOPBACK

LAST_ANSWERS = 2.0  # seconds that it waits for them


class Client:
    def __init__(self):
        self.sent = self.answered = self.refused = 0
        self._stop = threading.Event()

    @contextmanager
    def asking(self, port: int, names: list[str], rate: float):
        """Inside, it asks; behind it, the counts are final."""
        queries = [dns.message.make_query(name, "A", want_dnssec=True).to_wire() for name in names]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.connect((LOOPBACK, port))
            sock.settimeout(LAST_ANSWERS)
            sending = threading.Thread(target=self._send, args=(sock, queries, rate))
            receiving = threading.Thread(target=self._receive, args=(sock,))
            sending.start()
            receiving.start()
            try:
                yield
            finally:
                self._stop.set()
                sending.join()
                receiving.join()

    def _send(self, sock, queries, rate: float) -> None:
        due = time.monotonic()
        for query in itertools.cycle(queries):
            if self._stop.wait(max(0.0, due - time.monotonic())):
                return
            sock.send(query)
            self.sent += 1
            due += 1 / rate

    def _receive(self, sock) -> None:
        while not self._stop.is_set() or self.answered < self.sent:
            try:
                answer = sock.recv(65535)
            except TimeoutError:
                if self._stop.is_set():
                    return
                continue
            self.answered += 1
            self.refused += answer[3] & 15 == dns.rcode.SERVFAIL
