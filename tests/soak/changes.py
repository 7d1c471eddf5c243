# SPDX-License-Identifier: GPL-2.0-or-later
"""What administrators do meanwhile: keys that come and go, records, the REST API."""
import random
import threading

import requests

from world import UNSEEN


class Refused(Exception):
    """A change that was not made."""


class Changes(threading.Thread):
    def __init__(self, world, weather, tally, stop: threading.Event, seed: str):
        super().__init__(name=seed, daemon=True)
        self.world, self.weather, self.tally, self.stop = world, weather, tally, stop
        self.random = random.Random(seed)

    def run(self) -> None:
        while not self.stop.is_set():
            change = self.random.choice([self.add_key, self.add_key, self.remove_key, self.switch_key, self.switch_key,
                                         self.read_keys, self.patch, self.patch, self.rectify, self.look])
            trouble = self.weather.trouble()
            try:
                change(self.random.choice(self.world.zones))
                self.tally.add("changes")
            except (Refused, AssertionError, requests.RequestException) as error:
                if trouble or self.weather.trouble():
                    self.tally.add("failed_changes")
                else:
                    self.tally.problem(f"{change.__name__} failed though nothing was wrong: {error}")
            except Exception as error:  # a thread that dies would hide what comes later
                self.tally.problem(f"{change.__name__}: {type(error).__name__}: {error}")
            self.stop.wait(self.random.uniform(0, 0.5))

    # -- tools and API

    def api(self, method: str, zone, path: str, body=None):
        answer = self.world.server.api(method, f"/zones/{zone.name}.{path}", body)
        if not answer.ok:
            raise Refused(f"{method} {path} of {zone.name}: {answer.status_code} {answer.text}")
        return answer

    def tool(self, *words) -> None:
        done = self.world.site.pdnsutil(*words, check=False, env=UNSEEN)
        if done.returncode != 0:
            raise Refused(str(done))

    def extra_rows(self, zone) -> list:
        """All but the first: that one signs all the time."""
        return self.world.site.database.key_rows(zone.name)[1:]

    # -- changes

    def add_key(self, zone) -> None:
        used = [row.lines()["Label"] for row in self.extra_rows(zone)]
        free = [label for label in zone.others if label not in used]
        if not free:
            return
        # Not by the API: what it is given to add goes through PowerDNS's built-in engine first, which
        # opens a session for ever in the server itself and does not get over a lost token.
        done = self.world.assign(zone, "zsk", self.random.choice(free), check=False)
        if done.returncode != 0:
            raise Refused(str(done))

    def remove_key(self, zone) -> None:
        for row in self.extra_rows(zone)[:1]:
            if self.random.random() < 0.5:
                self.tool("remove-zone-key", zone.name, row.id)
            else:
                self.api("DELETE", zone, f"/cryptokeys/{row.id}")

    def switch_key(self, zone) -> None:
        rows = self.extra_rows(zone)
        if not rows:
            return
        row = self.random.choice(rows)
        if self.random.random() < 0.3:
            self.tool("deactivate-zone-key" if row.active else "activate-zone-key", zone.name, row.id)
        else:
            self.api("PUT", zone, f"/cryptokeys/{row.id}", {"active": not row.active, "published": True})

    def read_keys(self, zone) -> None:
        for key in self.api("GET", zone, "/cryptokeys").json():
            self.world.server.api("GET", f"/zones/{zone.name}./cryptokeys/{key['id']}")  # may be gone again

    def patch(self, zone) -> None:
        name = f"new{self.random.randrange(8)}.{zone.name}."
        rrset = {"name": name, "type": "A", "ttl": 60, "changetype": self.random.choice(["REPLACE", "DELETE"])}
        if rrset["changetype"] == "REPLACE":
            rrset["records"] = [{"content": f"192.0.2.{self.random.randrange(1, 255)}", "disabled": False}]
        self.api("PATCH", zone, "", {"rrsets": [rrset]})
        self.rectify(zone)

    def rectify(self, zone) -> None:
        self.api("PUT", zone, "/rectify")

    def look(self, zone) -> None:
        words = self.random.choice([["show-zone", zone.name], ["list-keys", zone.name],
                                    ["backend-cmd", "pkcs11signer", "check"], ["backend-cmd", "pkcs11signer", "status"]])
        self.tool(*words)

    # -- at the end

    def tidy_up(self) -> None:
        """The keys that were there before."""
        for zone in self.world.zones:
            for row in self.extra_rows(zone):
                self.tool("remove-zone-key", zone.name, row.id)
