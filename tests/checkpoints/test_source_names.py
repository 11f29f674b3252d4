"""Names of models: folders in any spelling, ids of the hub, and addresses, which are refused."""

from __future__ import annotations

import pytest

from videolavit.checkpoints.source import Source
from videolavit.errors import CheckpointError


@pytest.mark.parametrize("name", ["https://example.org/model", "https:/example.org/model", "s3://bucket/model"])
def test_an_address_is_refused_as_such(name):
    with pytest.raises(CheckpointError, match="is a URL, expected a file"):
        Source(name)


def test_a_folder_is_found_by_its_file_url_and_under_the_home_folder(tmp_path, monkeypatch):
    (tmp_path / "a model").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    expected = tmp_path / "a model"
    assert Source(f"file://{tmp_path}/a%20model").fetch() == expected
    assert Source("~/a model").fetch() == expected


@pytest.mark.parametrize(
    ("name", "advice"), [("thingz", "mean things"), ("Tiny", "mean tiny"), ("x", "tiny and things")]
)
def test_a_name_that_is_nearly_that_of_a_model_is_told(name, advice):
    with pytest.raises(CheckpointError, match=advice):
        Source(name)
