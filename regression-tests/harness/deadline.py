# SPDX-License-Identifier: GPL-2.0-or-later
"""Waiting for something, never longer than said."""
import os
import time

# How much longer than usual anything may take: for builds that are slow.
PATIENCE = float(os.environ.get("P11S_PATIENCE", "1"))


class DeadlineExceeded(AssertionError):
    pass


def wait_for(what: str, condition, seconds: float = 20.0, interval: float = 0.02):
    """The first true value of condition(); fails naming `what` after `seconds`, or
    longer where PATIENCE says so."""
    seconds *= PATIENCE
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise DeadlineExceeded(f"no {what} within {seconds:g} s")
        time.sleep(interval)
