# SPDX-License-Identifier: GPL-2.0-or-later
"""Figures for whoever runs the server, and none of them at the cost of a warm answer."""
import os
import re

import requests

from harness import programs, zones
from harness.speed import statistics, wait_for_statistic
from harness.validate import assert_signed, keys_of

ZONE = zones.SIGNED
PAGE = programs.REPOSITORY / "docs/metrics.md"
TABLE = re.compile(r"(?<=\| statistic \| \| \|\n\|---\|---\|---\|\n)(\|.*\n)*")
NAMES = {
    "signatures", "shared", "late-used", "timeouts", "overloaded", "failures", "bad-signatures",
    "retries", "sessions-opened", "logins", "logins-refused", "key-lookups", "signed-0-to-1ms",
    "signed-2-to-5ms", "signed-6-to-20ms", "signed-21-to-100ms", "signed-101-to-500ms",
    "signed-501-to-2000ms", "signed-over-2000ms", "queue", "under-way", "workers", "tokens", "keys",
}
STORE = {f"store-{name}" for name in (
    "hits", "misses", "invalid", "written", "dropped", "failed", "expired", "evicted", "signatures",
    "bytes", "queue")}
GAUGES = {"queue", "under-way", "workers", "tokens", "keys", "store-signatures", "store-bytes",
          "store-queue"}


def metrics(server) -> tuple[dict[str, int], dict[str, str], dict[str, str]]:
    """Value, type and help of each of the module's metrics."""
    text = requests.get(server.url("/metrics"), headers=server._headers(), timeout=10).text

    def found(pattern: str) -> dict[str, str]:
        return {name.replace("_", "-"): rest for name, rest in re.findall(pattern, text, re.MULTILINE)}
    name = r"pdns_auth_pkcs11signer_(\w+) (.*)$"
    values = {key: int(value) for key, value in found("^" + name).items()}
    return values, found("^# TYPE " + name), found("^# HELP " + name)


def test_the_list_in_the_docs(site):
    """With P11S_DOCS=write in the environment, the page gets the list as the server has it now."""
    _, types, texts = metrics(site.start_server())
    table = "".join(f"| `{name}` | {types[name]} | {texts[name]} |\n" for name in sorted(texts))
    if os.environ.get("P11S_DOCS") == "write":
        PAGE.write_text(TABLE.sub(lambda _: table, PAGE.read_text(), count=1))
    assert TABLE.search(PAGE.read_text())[0] == table
    for page in PAGE.parent.glob("*.md"):
        for rows in re.findall(r"`pkcs11signer-…` \| \|\n\|---\|---\|\n((?:\|.*\n)+)", page.read_text()):
            for row in rows.splitlines():
                assert set(re.findall(r"`([a-z0-9-]+)`", row.split("|")[1])) <= set(texts), f"{page.name}: {row}"


def test_all_statistics_are_shown(site):
    site.add_zone(zones.small(ZONE))
    site.secure(ZONE, site.token())
    server = site.start_server()
    keys = keys_of(server, ZONE)
    assert_signed(server.ask(f"www.{ZONE}"), keys)

    wait_for_statistic(server, "store-written", 2)
    wait_for_statistic(server, "store-queue", 0)
    shown = statistics(server)
    values, types, texts = metrics(server)
    assert set(shown) >= NAMES | STORE
    assert set(values) == set(types) == set(texts) == set(shown)
    assert values == shown, "nothing happened between the two"
    assert {name for name, kind in types.items() if kind == "gauge"} >= GAUGES
    assert all(texts.values())

    assert shown["signatures"] == 2
    assert sum(shown[name] for name in shown if name.startswith("signed-")) == 2
    assert (shown["logins"], shown["sessions-opened"]) == (1, 1)
    # Another is started when the first has not taken its job when the next one comes.
    assert shown["workers"] in (1, 2)
    assert (shown["tokens"], shown["keys"], shown["key-lookups"]) == (1, 2, 2)
    quiet = NAMES - {n for n in NAMES if n.startswith("signed-")} - {
        "signatures", "logins", "sessions-opened", "workers", "tokens", "keys", "key-lookups"}
    assert {name: shown[name] for name in quiet} == dict.fromkeys(quiet, 0)


def test_warm_answers_call_nothing_and_count_nothing(site, spy):
    site.add_zone(zones.small(ZONE))
    site.secure(ZONE, site.token())
    server = site.start_server()
    assert site.settings["cache-ttl"] == "0"
    questions = [(f"www.{ZONE}", "A"), (ZONE, "SOA"), (ZONE, "DNSKEY"), (f"missing.{ZONE}", "A")]
    keys = keys_of(server, ZONE)
    for name, rdtype in questions:
        assert_signed(server.ask(name, rdtype), keys)
    wait_for_statistic(server, "store-written", len(questions))  # one each: a denial has the SOA, too
    wait_for_statistic(server, "store-queue", 0)
    before = statistics(server)
    spy.forget()

    for _ in range(50):
        for name, rdtype in questions:
            assert server.ask(name, rdtype).answer or name.startswith("missing")

    assert spy.calls() == []
    assert statistics(server) == before
