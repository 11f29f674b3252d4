"""Addresses of the page that open a tab and fill its fields."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlsplit

import pytest

from videolavit.demo.deep_links import LinkField, as_choice, as_number, as_switch, as_words, link_address, read_link

TABS = {
    "generate": {
        "prompt": LinkField(component="prompt", read=as_words(20)),
        "seed": LinkField(component="seed", read=as_number(-1, 100, whole=True)),
        "scale": LinkField(component="scale", read=as_number(-2, 3)),
        "form": LinkField(component="form", read=as_choice(("raw", "tokens"))),
        "mirror": LinkField(component="mirror", read=as_switch),
    },
    "about": {},
}


WRONG = "prompt=123456789012345678901 seed=1.5 seed=101 seed=x seed=-2 scale=nan scale=inf scale=9 form=o mirror=1 o=3"


def read(query: str):
    return read_link(parse_qsl(query, keep_blank_values=True), TABS)


def test_what_was_written_is_read_again():
    values = {"prompt": "a & b = c? é 100%", "seed": 7, "scale": -0.123456789, "form": "tokens", "mirror": True}
    address = link_address("http://127.0.0.1:7860/demo/", "generate", {**values, "left_out": None})
    assert urlsplit(address).path == "/demo/"
    assert "left_out" not in address
    assert read(urlsplit(address).query) == ("generate", values)


def test_a_number_of_hundreds_of_digits_is_left_out():
    assert read(f"tab=generate&seed={'9' * 400}&prompt=a") == ("generate", {"prompt": "a"})


def test_an_empty_text_is_a_value():
    assert read("tab=generate&prompt=") == ("generate", {"prompt": ""})


@pytest.mark.parametrize("wrong", WRONG.split())
def test_what_is_wrong_is_left_out_and_the_rest_stays(wrong):
    assert read(f"tab=generate&{wrong}") == ("generate", {})
    assert read(f"{wrong}&tab=generate&form=raw") == ("generate", {"form": "raw"})


@pytest.mark.parametrize("query", ["", "tab=nowhere&seed=3", "seed=3", "tab="])
def test_without_a_tab_nothing_is_filled(query):
    assert read(query) == ("", {})


def test_a_tab_without_fields_is_opened():
    assert read("tab=about&seed=3") == ("about", {})
