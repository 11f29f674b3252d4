"""Text up to a stop string, in whatever pieces it comes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from videolavit.server.stops import StopText


def through(pieces, stops):
    text = StopText(tuple(stops))
    shown = [text.push(piece) for piece in pieces]
    return "".join([*shown, text.rest()]), text.found


@given(st.text("abc", max_size=30), st.lists(st.text("abc", min_size=1, max_size=4), max_size=3), st.data())
def test_pieces_do_not_matter(words, stops, data):
    cuts = sorted(data.draw(st.lists(st.integers(0, len(words)), max_size=6)))
    pieces = [words[a:b] for a, b in zip([0, *cuts], [*cuts, len(words)], strict=True)]
    places = [place for stop in stops if (place := words.find(stop)) >= 0]
    text, found = through(pieces, stops)
    assert found == bool(places)
    assert words.startswith(text)
    assert not any(stop in text for stop in stops)
    if not found:
        assert text == words


@pytest.mark.parametrize(
    ("pieces", "shown"), [(["a E", "ND b"], "a "), (["a EN", "D"], "a "), (["a EN", "x"], "a ENx"), (["END"], "")]
)
def test_nothing_of_a_stop_string_is_shown(pieces, shown):
    assert through(pieces, ["END"])[0] == shown


def test_nothing_comes_after_the_end():
    text = StopText(("x",))
    assert text.push("axb") == "a"
    assert text.push("more") == ""
    assert text.rest() == ""
