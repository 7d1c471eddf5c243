# SPDX-License-Identifier: GPL-2.0-or-later
"""The benchmark counts signed answers, and nothing else as an answer."""
import math
import sys
from types import SimpleNamespace

import pytest

from harness import programs, zones
from harness.deadline import wait_for
from harness.faults import is_refused
from harness.speed import single_key

sys.path.append(str(programs.REPOSITORY / "tests/bench"))
import compiled  # noqa: E402
import latency  # noqa: E402
from installation import ZONE  # noqa: E402
from load import Load, percentile  # noqa: E402
from measured import Results  # noqa: E402
from slow import SlowToken  # noqa: E402

WARM, COLD = (0, 20), (100, 120)


@pytest.fixture
def refusing(site, spy):
    """A server that answers the first names of its zone, and refuses all others: its token is gone."""
    assert ZONE == zones.SIGNED
    site.add_zone(zones.many(ZONE, 200))
    single_key(site, ZONE, site.token("signing"))
    site.set(cache_ttl="0", loglevel="3", pkcs11signer_store="none")
    server = site.start_server(settings={"receiver-threads": "4", "distributor-threads": "1"})
    load = Load(SimpleNamespace(site=site))
    load.first_answer(server, ZONE)
    load.run(server, load.names((ZONE, *WARM)), passes=1).assert_all_answered()
    spy.unplug()
    wait_for("refusal", lambda: is_refused(server.ask(f"host199.{ZONE}")))
    return SimpleNamespace(server=server, load=load, slow=SlowToken(site.place.file("slow")), results=Results())


def test_refusals_are_no_answers(refusing):
    run = refusing.load.run(refusing.server, refusing.load.names((ZONE, *COLD)), passes=1, detail=True)
    assert run.completed == run.sent == 20
    assert run.answered == 0 and run.rate == 0
    assert run.refusal_rate > 0
    assert math.isnan(percentile(run.milliseconds[ZONE], 50))
    with pytest.raises(AssertionError, match="0 answers to 20 queries: .*SERVFAIL"):
        run.assert_all_answered()


def test_answers_beside_refusals(refusing):
    names = refusing.load.lines(tuple(f"host{i}.{ZONE} A" for i in (*range(*WARM), *range(*COLD))))
    run = refusing.load.run(refusing.server, names, passes=1, detail=True)
    assert (run.answered, run.completed) == (20, 40)
    assert run.rate == pytest.approx(run.refusal_rate)
    assert len(run.milliseconds[ZONE]) == 20


def test_the_curves_of_a_server_that_refuses_everything(refusing):
    cold = [(refusing.load.names((ZONE, at, at + 20)), 1) for at in (100, 120)]
    latency.take(refusing, refusing.server, "cold", "module", 0, cold)
    get = refusing.results.get
    assert get("latency", "cold", "rate", "module", 0) == 0
    assert get("latency", "cold", "refused", "module", 0) > 0
    assert math.isnan(get("latency", "cold", 50, "module", 0))


def test_nothing_is_measured_of_a_zone_without_signatures(site):
    site.add_zone(zones.many(ZONE, 5))
    load = Load(SimpleNamespace(site=site))
    with pytest.raises(AssertionError, match="no signed answer"):
        load.first_answer(site.start_server(), ZONE)


@pytest.mark.parametrize("program", ["storebench", "verifybench"])
def test_what_measures_the_core_compiles_with_it(program, tmp_path):
    compiled.with_core(program, tmp_path)
