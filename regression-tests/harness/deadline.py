# SPDX-License-Identifier: GPL-2.0-or-later
"""Waiting for something, never longer than said."""
import time


class DeadlineExceeded(AssertionError):
    pass


def wait_for(what: str, condition, seconds: float = 20.0, interval: float = 0.02):
    """The first true value of condition(); fails naming `what` after `seconds`."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise DeadlineExceeded(f"no {what} within {seconds:g} s")
        time.sleep(interval)
