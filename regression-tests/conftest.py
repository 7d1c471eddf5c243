# SPDX-License-Identifier: GPL-2.0-or-later
"""Fixtures: a private installation for each test, a MariaDB for each worker."""
import itertools
import os
import re
import shutil
import sys
import tempfile
from pathlib import Path

import pytest

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).parent))

from harness import card as carding, namespace, processes, programs, publish, sanitizer, spy as spying  # noqa: E402
from harness.backends import Bind, Gmysql, Gsqlite3, Lmdb  # noqa: E402
from harness.clock import Clock, Hurry  # noqa: E402
from harness.identity import service_identity  # noqa: E402
from harness.mariadb import MariaDb  # noqa: E402
from harness.once import common, once  # noqa: E402
from harness.place import Place  # noqa: E402
from harness.runner import Runner  # noqa: E402
from harness.site import Site  # noqa: E402
from harness.transcript import Transcript  # noqa: E402

KEEP = "P11S_KEEP"  # set: leave every test's directory where it is

_numbers = itertools.count()

collect_ignore = []
# About builds with a sanitizer.
if not (sanitizer.name() or sanitizer.expected()):
    collect_ignore.append("faults/test_sanitizer.py")
# Need builds for other versions of PowerDNS (matrix.sh); check.sh says that they were not tested.
if not os.environ.get("P11S_OTHER_BUILDS"):
    collect_ignore.append("install/test_versions.py")


def pytest_configure(config):
    processes.settle()
    # pytest's usual base is 0700 of root: the service's user could not get in.
    if not hasattr(config, "workerinput") and not config.option.basetemp:
        top = tempfile.mkdtemp(prefix="p11s-")
        os.chmod(top, 0o711)
        config.option.basetemp = os.path.join(top, "run")
        config.p11s_top = top
        publish.publish(Path(top))


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session):
    """What is shared by tests has ended, too."""
    top = getattr(session.config, "p11s_top", None)
    left = processes.end_all(Path(top)) if top else []
    if left:
        print("\nleft running by the tests:", *left, sep="\n")
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_unconfigure(config):
    top = getattr(config, "p11s_top", None)
    if not top:
        return
    if os.environ.get(KEEP):
        print(f"\nleft for you to look at: {top}")
    else:
        shutil.rmtree(top, ignore_errors=True)


def pytest_collection_modifyitems(items):
    """The long tests first: none of them is what the others have to be waited for."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """A worker gets two tests at a time. xdist's own scheduler hands out a quarter of all at the
    beginning: one worker would get all the long ones."""
    from xdist.scheduler import LoadScheduling  # there is no xdist, or it is not used: nobody calls this

    class ByTwo(LoadScheduling):
        def _send_tests(self, node, num):
            super()._send_tests(node, min(num, 2))

    return ByTwo(config, log) if config.getvalue("dist") == "load" else None


def pytest_generate_tests(metafunc):
    """A test with `any_site` runs on every database, or on those it names with
    @pytest.mark.databases(...)."""
    if "any_site" in metafunc.fixturenames:
        mark = metafunc.definition.get_closest_marker("databases")
        names = mark.args if mark else programs.DATABASE_BACKENDS
        metafunc.parametrize("any_site", names, indirect=True)


@pytest.fixture(scope="session")
def identity():
    return service_identity()


@pytest.fixture(scope="session")
def base(tmp_path_factory):
    """A directory the service's user can reach."""
    path = tmp_path_factory.getbasetemp()
    for directory in (path, path.parent):
        if directory.stat().st_uid == os.geteuid() and directory != Path(tempfile.gettempdir()):
            directory.chmod(directory.stat().st_mode | 0o011)
    return path


@pytest.fixture
def place(base, identity, request):
    """This test's directory; gone afterwards, and no program that was started in it may go on running."""
    name = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower())[:24].strip("-")
    it = Place(base / f"{next(_numbers)}-{name}", identity)
    yield it
    left = processes.end_all(it.root)
    if not os.environ.get(KEEP):
        shutil.rmtree(it.root, ignore_errors=True)
    assert not left, "left running:\n" + "\n".join(left)


@pytest.fixture
def transcript():
    """Whatever a test made the programs say: no PIN may be in it."""
    it = Transcript()
    yield it


@pytest.fixture(scope="session")
def early_library(base):
    """Nothing where the module is built without a sanitizer."""
    return once(common(base) / "early", lambda it: spying.build(it, sanitizer.EARLY)) if sanitizer.name() else None


@pytest.fixture
def runner(place, identity, transcript, early_library):
    it = Runner(place.root, identity, transcript, sanitizer.Sanitizer(place, transcript, early_library))
    yield it
    it.sanitizer.assert_clean()


@pytest.fixture(scope="session")
def mariadb(base, identity):
    """Started when the first test of this worker asks for it."""
    place = Place(base / "mariadb", identity)
    server = MariaDb(place, Runner(place.root, identity, Transcript()))
    yield server
    server.stop()


def _database(name, place, request):
    if name == "gmysql":
        return Gmysql(request.getfixturevalue("mariadb"))
    return {"gsqlite3": Gsqlite3, "lmdb": Lmdb, "bind": Bind}[name](place)


def _site(name, place, runner, request):
    site = Site(place, runner, _database(name, place, request))
    yield site
    site.discard()
    site.transcript.assert_no_secret()


@pytest.fixture
def site(place, runner, request):
    """SQLite and a SoftHSM, nothing started."""
    programs.our_module()
    yield from _site("gsqlite3", place, runner, request)


@pytest.fixture
def any_site(place, runner, request):
    """The same on each database."""
    programs.our_module()
    yield from _site(request.param, place, runner, request)


@pytest.fixture
def make_site(place, request):
    """SQLite, with programs that a runner of the test's own runs."""
    return lambda runner: _site("gsqlite3", place, runner, request)


@pytest.fixture
def stock_site(place, runner, request):
    """For the tests of the tests: no module needed."""
    yield from _site("gsqlite3", place, runner, request)


@pytest.fixture(scope="session")
def spy_library(base):
    return once(common(base) / "p11spy", spying.build)


@pytest.fixture(scope="session")
def tool(base):
    """Spoils a signature store."""
    source = Path(__file__).parent / "harness/native/storetool.c"
    return once(common(base) / "storetool", lambda it: spying.compile_program(it, source, "lmdb", "libcrypto"))


@pytest.fixture(scope="session")
def threadend_library(base):
    return once(common(base) / "threadend", lambda it: spying.build(it, spying.THREADEND))


@pytest.fixture(scope="session")
def uptime_library(base):
    return once(common(base) / "uptime", lambda it: spying.build(it, spying.UPTIME))


@pytest.fixture(scope="session")
def hurry_library(base):
    return once(common(base) / "hurry", lambda it: spying.build(it, spying.HURRY))


@pytest.fixture
def spy(site, spy_library):
    """The site's SoftHSM with tests/modules/p11spy.c in front of it. A server calls nothing before it is asked, so that a test
    can tell which query calls what; test_prepare.py is about those that do."""
    site.set(pkcs11signer_prepare="no")
    return spying.Spy(site.place, site.runner, site.hsm, spy_library)


@pytest.fixture(scope="session")
def card_program(base):
    return once(common(base) / "schsm", carding.build)


@pytest.fixture
def card(place, runner, card_program):
    """A new SmartCard-HSM beside its two readers, and pcscd."""
    reason = namespace.why_not()
    if reason:
        pytest.skip(reason)
    it = carding.Card(place, runner, card_program)
    yield it
    it.discard()


@pytest.fixture
def card_site(card, place, request):
    """SQLite and the card, nothing started. p11-kit's configuration is that of the machine."""
    programs.our_module()
    for it in _site("gsqlite3", place, card.runner, request):
        del card.runner.environment["XDG_CONFIG_HOME"]
        yield it


@pytest.fixture
def clock(place):
    """The calendar of programs that are started with its environment."""
    return Clock.in_midweek(place)


@pytest.fixture
def hurry(place, clock, hurry_library):
    """The clock's programs are in a hurry."""
    it = Hurry(place, hurry_library, clock.environment)
    clock.environment = it.environment
    return it
