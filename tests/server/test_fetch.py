"""Addresses that clients name: nothing that only this machine can reach is reached."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from videolavit.server.api_error import ApiError
from videolavit.server.fetch import Fetcher, is_public


class Site(BaseHTTPRequestHandler):
    asked: list[str] = []  # noqa: RUF012 - for one test at a time

    def do_GET(self):
        self.asked.append(self.path)
        if self.path == "/redirect":
            self.send_response(302)
            self.send_header("Location", "/image")
            self.end_headers()
            return
        self.send_response(200)
        self.end_headers()
        if self.path == "/endless":
            with contextlib.suppress(OSError):
                while True:
                    self.wfile.write(bytes(65536))
        elif self.path == "/slow":
            threading.Event().wait(3)
        else:
            self.wfile.write(b"content")

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def site():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Site)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    Site.asked.clear()
    yield f"http://site.test:{server.server_port}"
    server.shutdown()


def names(*answers):
    """A name server that gives one list of addresses after another."""
    waiting = list(answers)

    async def resolve(_host, _port):
        return waiting.pop(0) if len(waiting) > 1 else waiting[0]

    return resolve


def fetch(fetcher, url, *, max_bytes=1_000_000, seconds=5.0):
    return asyncio.run(fetcher.fetch(url, param="url", max_bytes=max_bytes, seconds=seconds))


def refusal(fetcher, url, **bounds):
    with pytest.raises(ApiError) as refused:
        fetch(fetcher, url, **bounds)
    assert refused.value.status == 400
    return refused.value


LISTED = {"hosts": ["site.test"], "resolve": names(["127.0.0.1"])}


def test_a_listed_host_is_fetched_from(site):
    assert fetch(Fetcher(**LISTED), f"{site}/image") == b"content"


def test_a_path_beyond_ascii_is_sent_as_browsers_send_it(site):
    Site.asked.clear()
    assert fetch(Fetcher(**LISTED), f"{site}/größe%20a?b=ü&c=1+2") == b"content"
    assert Site.asked == ["/gr%C3%B6%C3%9Fe%20a?b=%C3%BC&c=1+2"]


@pytest.mark.parametrize("host", ["a..test", "a" * 64 + ".test", "ü" * 64 + ".test"])
def test_names_that_cannot_be_names_are_refused(host):
    """By the system's own name server, which does not even get to see them."""
    assert refusal(Fetcher(), f"http://{host}/image").code == "url_unreachable"


def test_redirects_are_not_followed(site):
    Site.asked.clear()
    assert "redirects are not followed" in refusal(Fetcher(**LISTED), f"{site}/redirect").message
    assert Site.asked == ["/redirect"]


def test_bytes_are_counted_as_they_come(site):
    assert refusal(Fetcher(**LISTED), f"{site}/endless", max_bytes=1_000_000).code == "media_too_large"


def test_time_is_limited(site):
    assert refusal(Fetcher(**LISTED), f"{site}/slow", seconds=0.2).code == "url_timeout"


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "0.0.0.0",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "224.0.0.1",
        "::1",
        "::",
        "fe80::1",
        "fe80::1%eth0",
        "fd00::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b::e000:1",
        "64:ff9b:1::7f00:1",
        "::127.0.0.1",
        "fec0::1",
        "2002:7f00:1::",
        "ff02::1",
        "not an address",
    ],
)
def test_addresses_that_are_not_public(address):
    assert not is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "64:ff9b::808:808", "::ffff:8.8.8.8"])
def test_addresses_that_are_public(address):
    assert is_public(address)


@pytest.mark.parametrize("addresses", [["127.0.0.1"], ["8.8.8.8", "127.0.0.1"], ["::ffff:169.254.169.254"], []])
def test_a_host_is_refused_if_any_of_its_addresses_is_not_public(site, addresses):
    Site.asked.clear()
    refusal(Fetcher(resolve=names(addresses)), f"{site}/image")
    assert Site.asked == []


def test_the_name_is_asked_for_once_and_the_connection_goes_where_it_said(site, monkeypatch):
    """DNS rebinding: a public address first, this machine's when asked again."""
    reached = []

    async def connect(host, port, **_):
        reached.append(host)
        raise OSError("not from a test")

    monkeypatch.setattr(asyncio, "open_connection", connect)
    fetcher = Fetcher(resolve=names(["93.184.216.34"], ["127.0.0.1"]))
    assert refusal(fetcher, f"{site}/image").code == "url_unreachable"
    assert reached == ["93.184.216.34"]


def test_hosts_that_are_not_listed_are_refused_unasked(site):
    async def resolve(_host, _port):
        raise AssertionError("asked")

    assert refusal(Fetcher(hosts=["site.test"], resolve=resolve), "http://other.test/image").code == "url_not_allowed"


@pytest.mark.parametrize(
    "url",
    [
        "ftp://site.test/x",
        "http://user:word@site.test/x",
        "http://user@site.test/x",
        "http://",
        "http://site.test:99999/",
        "http://site.test/a b",
        "http://site.test/\r\nHost: other",
        "http://[::1/",
    ],
)
def test_other_urls_are_refused(url):
    assert refusal(Fetcher(hosts=["site.test"], resolve=names(["127.0.0.1"])), url).code == "invalid_url"


@pytest.mark.parametrize("host", ["localhost", "127.1", "0x7f.1", "2130706433", "[::1]", "127.0.0.1.", "ip6-localhost"])
def test_other_spellings_of_this_machine_are_refused(host):
    """By the system's own name server."""
    assert refusal(Fetcher(), f"http://{host}:9/x").code in ("url_not_allowed", "url_unreachable")
