# SPDX-License-Identifier: GPL-2.0-or-later
"""What the tests of faults share: names that are warm and names that are not, and what the
server's log says of the module's own accord."""
import itertools
import time
from concurrent.futures import ThreadPoolExecutor

import dns.message
import dns.rcode
import dns.rdatatype

from . import zones
from .deadline import wait_for
from .server import Server
from .validate import assert_signed, first_keys_of

PREFIX = "[pkcs11signer] "

# The CK_RVs after which a call is tried again.
LOST = {
    "CKR_GENERAL_ERROR": 0x05, "CKR_FUNCTION_FAILED": 0x06, "CKR_DEVICE_ERROR": 0x30,
    "CKR_DEVICE_MEMORY": 0x31, "CKR_DEVICE_REMOVED": 0x32, "CKR_KEY_HANDLE_INVALID": 0x60,
    "CKR_OBJECT_HANDLE_INVALID": 0x82, "CKR_OPERATION_ACTIVE": 0x90, "CKR_SESSION_CLOSED": 0xb0,
    "CKR_SESSION_COUNT": 0xb1, "CKR_SESSION_HANDLE_INVALID": 0xb3, "CKR_TOKEN_NOT_PRESENT": 0xe0,
    "CKR_USER_NOT_LOGGED_IN": 0x101, "CKR_CRYPTOKI_NOT_INITIALIZED": 0x190,
}


def lines(server: Server, *texts: str) -> list[str]:
    """The module's lines in the server's log that hold all these texts."""
    return [line for line in server.log.splitlines()
            if PREFIX in line and all(text in line for text in texts)]


def is_signed(answer: dns.message.Message) -> bool:
    return answer.rcode() == dns.rcode.NOERROR and any(
        rrset.rdtype == dns.rdatatype.RRSIG for rrset in answer.answer)


def is_refused(answer: dns.message.Message) -> bool:
    """SERVFAIL, and nothing in it."""
    return answer.rcode() == dns.rcode.SERVFAIL and not answer.answer


class Names:
    """Of a zone made by zones.many(): some whose signatures PowerDNS has, and all others, each of
    which is asked for once. The servers of these tests have short deadlines, which a busy machine
    may not meet while a token is opened: the first answers are waited for."""

    def __init__(self, server: Server, zone: str = zones.SIGNED, warm: int = 50):
        self.server = server
        self.zone = zone
        self.keys = first_keys_of(server, zone)
        self.warm = [f"host{i}.{zone}" for i in range(warm)]
        self._cold = itertools.count(warm)
        for name in self.warm:
            wait_for(f"answer for {name}", lambda: not is_refused(server.ask(name)))
            assert_signed(server.ask(name), self.keys)

    def cold(self) -> str:
        return f"host{next(self._cold)}.{self.zone}"

    def assert_warm_answered(self, rounds: int = 1) -> None:
        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(self.server.ask, self.warm * rounds))
        assert len(answers) == len(self.warm) * rounds
        for answer in answers:
            assert is_signed(answer), answer

    def ask_cold(self, **how) -> dns.message.Message:
        return self.server.ask(self.cold(), **how)

    def assert_cold_signed(self, **how) -> None:
        assert_signed(self.ask_cold(**how), self.keys)

    def assert_cold_refused(self) -> float:
        """How many seconds it took."""
        start = time.monotonic()
        answer = self.ask_cold(timeout=30)
        assert is_refused(answer), answer
        return time.monotonic() - start

    def cold_is_signed(self) -> bool:
        answer = self.ask_cold(timeout=30)
        if answer.rcode() != dns.rcode.NOERROR:
            assert is_refused(answer), answer
            return False
        assert_signed(answer, self.keys)
        return True
