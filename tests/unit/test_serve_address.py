"""Who can reach a server, by the address that it listens on."""

from __future__ import annotations

import socket
from types import SimpleNamespace

import pytest

from core.config.serve import ServeSpec
from core.errors import UsageError
from core.services import serve_address
from core.services.serve_address import is_loopback, reachable_addresses


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.0.1", "::1", "[::1]", "localhost"])
def test_loopback_is_reached_by_nobody_else(host: str) -> None:
    assert is_loopback(host)
    assert reachable_addresses(host, 8000) == ()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.7", "10.0.0.2", "my-computer"])
def test_every_other_address_is_open(host: str) -> None:
    assert not is_loopback(host)


def test_listening_everywhere_lists_the_addresses_of_the_networks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def address(text: str, family: int = socket.AF_INET) -> SimpleNamespace:
        return SimpleNamespace(family=family, address=text)

    found = {
        "lo": [address("127.0.0.1"), address("::1", socket.AF_INET6)],
        "eth0": [address("192.168.1.7"), address("fe80::1%eth0", socket.AF_INET6)],
        "eth1": [address("2001:db8::5", socket.AF_INET6), address("169.254.3.4")],
    }
    monkeypatch.setattr(serve_address.psutil, "net_if_addrs", lambda: found)
    assert reachable_addresses("0.0.0.0", 8000) == (
        "http://192.168.1.7:8000",
        "http://[2001:db8::5]:8000",
    )


def test_one_address_is_itself() -> None:
    assert reachable_addresses("192.168.1.7", 80) == ("http://192.168.1.7:80",)


@pytest.mark.parametrize(
    ("field", "good", "bad"),
    [
        (
            "allowed_hosts",
            ("host.docker.internal", "my_box", "192.168.1.7:8000", "::1", "[fd00::1]:8000"),
            ("", "*", "*.lan", "http://my-box", "my-box/v1", "my box", "my-box.lan\n"),
        ),
        (
            "allowed_origins",
            ("http://localhost:3000", "https://a.example/", "chrome-extension://abc"),
            ("*", "null", "localhost:3000", "http://a.example/x", "http://*.a", "http://u:p@a"),
        ),
    ],
)  # fmt: skip
def test_names_that_no_request_could_match_are_refused_with_what_is_expected(
    field: str, good: tuple[str, ...], bad: tuple[str, ...]
) -> None:
    assert getattr(ServeSpec.parse({"model": "m", field: good}), field) == good
    for value in bad:
        with pytest.raises(UsageError) as refused:
            ServeSpec.parse({"model": "m", field: [value]})
        assert "expected" in str(refused.value.detail or refused.value.params)
