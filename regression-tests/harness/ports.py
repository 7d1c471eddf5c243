# SPDX-License-Identifier: GPL-2.0-or-later
"""Free ports on the loopback interface."""
import socket

LOOPBACK = "127.0.0.1"


def free_port() -> int:
    """A port free for UDP and TCP just now. Somebody may still be quicker:
    whoever starts a server on it tries again with another one."""
    for _ in range(100):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as tcp:
            tcp.bind((LOOPBACK, 0))
            port = tcp.getsockname()[1]
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
                try:
                    udp.bind((LOOPBACK, port))
                except OSError:
                    continue
                return port
    raise RuntimeError("no free port on the loopback interface")
