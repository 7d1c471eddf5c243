# SPDX-License-Identifier: GPL-2.0-or-later
"""Programs for which it is later than it is: libfaketime."""
import glob

import pytest

WEEK = 7 * 86400


def environment(seconds: int) -> dict[str, str]:
    """For a program whose calendar is so far ahead; its timeouts run as ever."""
    found = sorted(glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1"))
    if not found:
        pytest.skip("libfaketime is not there (Debian: faketime)")
    return {"LD_PRELOAD": found[0], "FAKETIME": f"+{seconds}s", "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "DONT_FAKE_MONOTONIC": "1"}
