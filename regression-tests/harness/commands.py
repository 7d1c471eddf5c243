# SPDX-License-Identifier: GPL-2.0-or-later
"""What `backend-cmd` prints, and how it refuses."""
import json


def listing(site, *words, **how):
    return json.loads(site.command(*words, json=True, **how).stdout)


def assert_refused(result, *words) -> str:
    """One error on stderr that holds these words; its text."""
    assert result.returncode == 1, str(result)
    errors = [line for line in result.stderr.splitlines() if "Error: " in line]
    assert errors, f"no error: {result}"
    text = result.stderr[result.stderr.index("Error: "):]
    for word in words:
        assert str(word) in text, f"{word!r} is not in: {text}"
    return text
