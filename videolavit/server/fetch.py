"""Media from addresses, without reaching what only this machine can reach.

The name is resolved once, every address it has must be public, and the connection goes to that address: a second answer
of the name server changes nothing. Redirects are refused. Nothing is fetched unless the server was told to.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable
from urllib.parse import SplitResult, quote, urlsplit

import h11

from videolavit.server.api_error import ApiError

__all__ = ["Fetcher", "is_public"]

Resolve = Callable[[str, int], Awaitable[list[str]]]

_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_GIVEN_OUT = ipaddress.ip_network("2000::/3")
_PORTS = {"http": 80, "https": 443}
_CHUNK = 65536
_ASCII = "".join(map(chr, range(128)))
"""Characters that stay as they are in a target; others go percent-encoded, as browsers do it."""


class Fetcher:
    """Client for GET requests to public hosts, or to those of a list alone."""

    def __init__(self, *, hosts: Iterable[str] = (), resolve: Resolve | None = None) -> None:
        """Set up.

        Args:
            hosts: names that may be fetched from whatever their addresses; with any, no other name may be.
            resolve: gives all addresses of (host, port); by default the system's.
        """
        self._hosts = frozenset(host.lower().rstrip(".") for host in hosts)
        self._resolve = resolve or _resolve

    async def fetch(self, url: str, *, param: str, max_bytes: int, seconds: float | int) -> bytes:
        """Body of a URL.

        Raises:
            ApiError: the address is not allowed, there is no answer in time, or it is not a success or too large.
        """
        try:
            return await asyncio.wait_for(self._fetch(url, param, max_bytes), seconds)
        except TimeoutError:
            raise _refusal(param, f"there was no complete answer within {seconds:g} s", "url_timeout") from None
        except (OSError, h11.ProtocolError, ssl.SSLError):
            raise _refusal(param, "the connection failed", "url_unreachable") from None

    async def _fetch(self, url: str, param: str, max_bytes: int) -> bytes:
        parts, host, port = _parse(url, param)
        address = await self._address(host, port, param)
        context = ssl.create_default_context() if parts.scheme == "https" else None
        name = host if context else None
        reader, writer = await asyncio.open_connection(address, port, ssl=context, server_hostname=name)
        try:
            return await _get(reader, writer, parts, param, max_bytes)
        finally:
            writer.close()

    async def _address(self, host: str, port: int, param: str) -> str:
        if self._hosts and host not in self._hosts:
            raise _refusal(param, "this host is not on the server's list", "url_not_allowed")
        try:
            addresses = await self._resolve(host, port)
        except (OSError, UnicodeError):  # Python refuses a name with an empty or overlong part before it asks
            raise _refusal(param, "the host has no address", "url_unreachable") from None
        if not addresses:
            raise _refusal(param, "the host has no address", "url_unreachable")
        if not self._hosts and not all(map(is_public, addresses)):
            raise _refusal(param, "the host is not public", "url_not_allowed")
        return addresses[0]


def is_public(address: str) -> bool:
    """True if an address is global, and so is any that is written inside it: IPv4 in IPv6, NAT64, 6to4, Teredo.

    Of IPv6 only the part that is given out is taken: Python calls much beside it global that leads into a network, such
    as site-local addresses and the NAT64 of a site.
    """
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if not ip.is_global or ip.is_multicast:
        return False
    if isinstance(ip, ipaddress.IPv4Address):
        return True
    inner = [one for one in (ip.ipv4_mapped, ip.sixtofour, *(ip.teredo or ())) if one is not None]
    if ip in _NAT64:
        inner.append(ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF))
    return (ip in _GIVEN_OUT or bool(inner)) and all(one.is_global and not one.is_multicast for one in inner)


def _parse(url: str, param: str) -> tuple[SplitResult, str, int]:
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").rstrip("."), parts.port
    except ValueError:
        raise _refusal(param, "it is not a URL", "invalid_url") from None
    if parts.scheme not in _PORTS or not host or parts.username is not None or parts.password is not None:
        raise _refusal(param, "expected http(s)://host/path without a user name", "invalid_url")
    if any(character <= " " or character == "\x7f" for character in url):
        raise _refusal(param, "it is not a URL", "invalid_url")
    return parts, host, port or _PORTS[parts.scheme]


async def _get(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, parts: SplitResult, param: str, max_bytes: int
) -> bytes:
    connection = h11.Connection(h11.CLIENT)
    target = quote((parts.path or "/") + (f"?{parts.query}" if parts.query else ""), safe=_ASCII, errors="replace")
    host = parts.netloc.encode("idna" if not parts.netloc.isascii() else "ascii")
    headers = [("Host", host), ("Accept-Encoding", "identity"), ("Connection", "close"), ("User-Agent", "videolavit")]
    writer.write(connection.send(h11.Request(method="GET", target=target, headers=headers)) or b"")
    writer.write(connection.send(h11.EndOfMessage()) or b"")
    await writer.drain()
    body = bytearray()
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await reader.read(_CHUNK))
        elif isinstance(event, h11.Response):
            if event.status_code != 200:
                redirect = "; redirects are not followed" if 300 <= event.status_code < 400 else ""
                raise _refusal(param, f"its host answered {event.status_code}{redirect}", "url_failed")
        elif isinstance(event, h11.Data):
            body += event.data
            if len(body) > max_bytes:
                raise _refusal(param, f"it has more than {max_bytes} bytes", "media_too_large")
        elif isinstance(event, h11.EndOfMessage | h11.ConnectionClosed):
            return bytes(body)


async def _resolve(host: str, port: int) -> list[str]:
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def _refusal(param: str, reason: str, code: str) -> ApiError:
    return ApiError(f"{param}: this address cannot be used: {reason}", code=code, param=param)
