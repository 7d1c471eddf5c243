# SPDX-License-Identifier: GPL-2.0-or-later
"""Faults of the token, one after the other, with fair weather in between."""
import random
import threading
import time

# How long after a fault something may still be refused: the token is looked for every second,
# and what waited has a deadline.
AFTERWARDS = 5.0
# What one call may answer and the next one on a fresh session not.
RETURN_VALUES = {
    "SESSION_HANDLE_INVALID": 0xb3, "SESSION_CLOSED": 0xb0, "USER_NOT_LOGGED_IN": 0x101,
    "OBJECT_HANDLE_INVALID": 0x82, "KEY_HANDLE_INVALID": 0x60, "DEVICE_ERROR": 0x30, "DEVICE_MEMORY": 0x31,
    "DEVICE_REMOVED": 0x32, "TOKEN_NOT_PRESENT": 0xe0, "GENERAL_ERROR": 0x5, "FUNCTION_FAILED": 0x6,
    "CRYPTOKI_NOT_INITIALIZED": 0x190, "SESSION_COUNT": 0xb1, "OPERATION_ACTIVE": 0x90,
}
CALLS = ("C_SignInit", "C_Sign", "C_OpenSession", "C_Login", "C_FindObjectsInit", "C_FindObjects",
         "C_GetTokenInfo", "C_GetSessionInfo", "C_GetAttributeValue")
SPOILT = ("corrupt", "zero", "short", "long", "huge")


class Weather(threading.Thread):
    def __init__(self, spy, stop: threading.Event, seed: str):
        super().__init__(name=seed, daemon=True)
        self.spy, self.stop = spy, stop
        self.random = random.Random(seed)
        self.now = ""  # the fault
        self.last = 0.0  # when it ended
        self.seen: dict[str, int] = {}

    def trouble(self) -> bool:
        """Whether something may be refused now."""
        return bool(self.now) or time.monotonic() - self.last < AFTERWARDS

    def run(self) -> None:
        while not self.stop.is_set():
            kind = self.random.choice([self.unplug, self.fail_once, self.fail_for_a_while, self.hang, self.spoil,
                                       self.delay, self.few_sessions])
            self.seen[kind.__name__] = self.seen.get(kind.__name__, 0) + 1
            try:
                kind()
            finally:
                self.clear()
            # Every other time long enough that nothing may be refused any more.
            self.stop.wait(self.random.choice([self.random.uniform(0.1, 1), AFTERWARDS + 2]))

    def clear(self) -> None:
        self.spy.rules()
        self.last = time.monotonic()
        self.now = ""

    def rule(self, rule: str, seconds: float) -> None:
        self.now = rule
        self.spy.rules(rule)
        self.stop.wait(seconds)

    def unplug(self) -> None:
        how = self.random.choice(["unplugged", "unplugged-opensc", "unplugged-unseen"])
        self.now = how
        self.spy.unplug(how)
        self.stop.wait(self.random.uniform(0.1, 3))
        self.spy.plug()

    def fail_once(self) -> None:
        for _ in range(self.random.randrange(1, 5)):
            name = self.random.choice(list(RETURN_VALUES))
            call = self.random.choice(CALLS)
            self.now = f"{call} {name} once"
            self.spy.rules(self.spy.fail_once(call, RETURN_VALUES[name]))
            self.stop.wait(0.5)

    def fail_for_a_while(self) -> None:
        value = self.random.choice(list(RETURN_VALUES.values()))
        self.rule(f"{self.random.choice(CALLS)} return {value:#x}", self.random.uniform(0.1, 2))

    def hang(self) -> None:
        self.rule(f"{self.random.choice(CALLS)} hang", self.random.uniform(0.1, 4))

    def spoil(self) -> None:
        self.rule(f"C_Sign {self.random.choice(SPOILT)}", self.random.uniform(0.1, 2))

    def delay(self) -> None:
        self.rule(f"{self.random.choice(CALLS)} delay {self.random.randrange(1, 200)}", self.random.uniform(0.5, 3))

    def few_sessions(self) -> None:
        self.rule("C_OpenSession limit 1", self.random.uniform(0.5, 2))
