"""The benchmark of the page waits for what a person sees: the page keeps a stream open, and no network falls silent."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from scripts import load_script


@pytest.fixture(scope="module")
def benchmark() -> Any:
    return load_script("benchmarks/page.py")


class Slow:
    """A page on which each thing is seen a second after the one before; it knows of no idle network."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.happened: list[str] = []

    def set_default_timeout(self, milliseconds: float) -> None:
        assert milliseconds > 0

    def goto(self, url: str, *, wait_until: str) -> None:
        self.happened.append(f"{url} {wait_until}")

    def locator(self, selector: str) -> Any:
        def wait_for(*, state: str) -> None:
            self.seconds += 1
            self.happened.append(f"{selector} {state}")

        found = SimpleNamespace(wait_for=wait_for)
        found.first = found
        return found

    def get_by_role(self, role: str, *, name: str, exact: bool) -> Any:
        return SimpleNamespace(click=lambda: self.happened.append(f"click {role} {name}"))


def test_the_clock_stops_when_things_are_visible(benchmark):
    page = Slow()
    found = benchmark.seen(page, "http://here/demo/", clock=lambda: page.seconds)
    assert found == {"page can be used": len(benchmark.SEEN_FIRST), "another tab is on show": 1.0}
    shown = [f"{selector} visible" for selector in benchmark.SEEN_FIRST]
    click = [f"click tab {benchmark.OTHER_TAB}", f"{benchmark.SEEN_THEN} visible"]
    assert page.happened == ["http://here/demo/ commit", *shown, *click]


def test_what_it_waits_for_is_on_the_page(benchmark, page_app):
    from videolavit.demo.page_layout import TABS, build_page

    names = {getattr(one, "elem_id", None) for one in build_page(page_app.state.services).blocks.values()}
    for selector in (*benchmark.SEEN_FIRST, benchmark.SEEN_THEN):
        assert selector.partition(" ")[0].removeprefix("#") in names
    assert benchmark.OTHER_TAB in TABS
