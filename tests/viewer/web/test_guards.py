from __future__ import annotations

import socket

import pytest

pytest.importorskip("aiohttp", reason="the extra `viewer` is not installed")
guards = pytest.importorskip("viewer.web.guards")

ATTACKS = (
    "evil.example",
    "evil.example:8080",
    "127.0.0.1.evil.example",
    "localhost.evil.example:8080",
    "evil@localhost",
    "localhost; script-src *",
    "localhost,evil.example",
    "localhost:80:80",
    "localhost:",
    "",
    "[::1",
    "lоcalhost",  # with a Cyrillic o
)


@pytest.mark.parametrize("host", ATTACKS)
def test_names_of_others_are_not_known(host: str) -> None:
    assert not guards.Guard("127.0.0.1").knows(host)
    assert not guards.Guard("0.0.0.0").knows(host)


@pytest.mark.parametrize(
    "host", ["127.0.0.1:8080", "localhost:8080", "LOCALHOST", "[::1]:8080", "127.8.8.8", "localhost:9"]
)
def test_this_machine_is_known(host: str) -> None:
    assert guards.Guard("127.0.0.1").knows(host) and guards.Guard("0.0.0.0").knows(host)


def test_elsewhere_addresses_and_own_names_are_known_too() -> None:
    everywhere, here = guards.Guard("0.0.0.0"), guards.Guard("127.0.0.1")
    for host in ("192.168.1.7:8080", "[fe80::1]:8080", f"{socket.gethostname().lower()}:8080"):
        assert everywhere.knows(host) and (not here.knows(host) or host.startswith("localhost"))
    assert guards.Guard("box.lan").knows("box.lan:8080") and not guards.Guard("box.lan").knows("other.lan")


def test_what_is_local() -> None:
    assert [guards.is_local(host) for host in ("127.0.0.1", "127.1.2.3", "::1", "localhost")] == [True] * 4
    assert [guards.is_local(host) for host in ("0.0.0.0", "::", "192.168.1.7", "box.lan")] == [False] * 4
