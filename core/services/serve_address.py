"""Who can reach a server, by the address that it listens on."""

from __future__ import annotations

import ipaddress
import socket

import psutil

_EVERYWHERE = frozenset({"0.0.0.0", "::", ""})
_FAMILIES = (socket.AF_INET, socket.AF_INET6)
_LOOPBACK_NAMES = frozenset({"localhost", "ip6-localhost"})


def is_loopback(host: str) -> bool:
    """Only programs on this computer can reach it."""
    if host.lower() in _LOOPBACK_NAMES:
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def reachable_addresses(host: str, port: int) -> tuple[str, ...]:
    """URLs under which others on the network can reach it; none of a loopback address."""
    if is_loopback(host):
        return ()
    if host not in _EVERYWHERE:
        return (_url(host, port),)
    known = (a for addresses in psutil.net_if_addrs().values() for a in addresses)
    found = (a.address for a in known if a.family in _FAMILIES and _is_public(a.address))
    return tuple(dict.fromkeys(_url(address, port) for address in found))


def _is_public(address: str) -> bool:
    if "%" in address:  # a link-local one with its interface: nobody types that
        return False
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    return not (found.is_loopback or found.is_link_local)


def _url(host: str, port: int) -> str:
    name = f"[{host}]" if ":" in host and not host.startswith("[") else host
    return f"http://{name}:{port}"
