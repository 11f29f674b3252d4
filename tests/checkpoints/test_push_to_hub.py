"""A model on its way to the hub, with its card, and access in the words of transformers."""

from __future__ import annotations

from pathlib import Path

import pytest

from videolavit import VideoLaVIT
from videolavit.checkpoints.hub import HubAccess, model_card, upload
from videolavit.checkpoints.source import Source
from videolavit.errors import CheckpointError, ConfigError


class FakeApi:
    """The part of `HfApi` that sends a folder."""

    def __init__(self, token: str | None = None) -> None:
        self.token = token
        self.made: list[tuple[str, bool | None]] = []

    def create_repo(self, repo_id: str, *, private: bool | None, exist_ok: bool) -> None:
        if repo_id == "me/full":
            raise OSError("no space")
        self.made.append((repo_id, private))

    def upload_folder(self, *, repo_id: str, folder_path: Path, commit_message: str) -> str:
        files = {path.name for path in Path(folder_path).iterdir()}
        assert {"config.json", "README.md", "language_model.safetensors"} <= files
        assert f'from_pretrained("{repo_id}"' in (Path(folder_path) / "README.md").read_text()
        return f"{repo_id}@{self.token}: {commit_message}"


def test_the_whole_model_and_its_card_are_sent(monkeypatch):
    monkeypatch.setattr("huggingface_hub.HfApi", FakeApi)
    model = VideoLaVIT.from_pretrained("tiny")
    assert model.push_to_hub("me/mine", token="secret", commit_message="first") == "me/mine@secret: first"
    with pytest.raises(CheckpointError, match="me/full: the hub did not take the model"):
        model.push_to_hub("me/full")


def test_access_is_passed_on(monkeypatch, tmp_path):
    asked = {}

    def download(name: str, **options: object) -> str:
        asked.update(options)
        return str(tmp_path)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    access = HubAccess(token="secret", cache_dir="here", local_files_only=True)
    Source("owner/model", access=access).fetch("*.json")
    assert asked.items() >= {"token": "secret", "cache_dir": "here", "local_files_only": True}.items()
    assert HubAccess().arguments() == {}


def test_a_card_says_how_the_model_is_opened():
    model = VideoLaVIT.from_pretrained("tiny")
    card = model_card(model.vocabulary, model.settings, "me/mine")
    assert card.startswith("---\nlibrary_name: videolavit")
    assert "128 x 128 pixels" in card


def test_a_model_moves_and_takes_a_type_before_it_is_loaded():
    import torch

    model = VideoLaVIT.from_pretrained("tiny")
    assert (model.device, model.dtype) == (torch.device("cpu"), None)
    assert model.to("cpu", torch.bfloat16) is model
    assert model.dtype == torch.bfloat16
    _ = model.motion_tokenizer
    with pytest.raises(ConfigError, match="motion_tokenizer: loaded already"):
        model.to(torch.float32)
    with pytest.raises(ConfigError, match="cannot be used here"):
        model.to("nowhere")


def test_a_hub_that_cannot_be_reached_is_told(monkeypatch, tmp_path):
    from huggingface_hub.errors import HfHubHTTPError

    base = next(kind for kind in HfHubHTTPError.__mro__[1:] if issubclass(kind, Exception))

    class Unreached(base):
        def __init__(self) -> None:
            Exception.__init__(self, "no route to the host")

    class Api(FakeApi):
        def create_repo(self, repo_id: str, *, private: bool | None, exist_ok: bool) -> None:
            raise Unreached

    monkeypatch.setattr("huggingface_hub.HfApi", Api)
    with pytest.raises(CheckpointError, match=r"no route to the host.*the connection"):
        upload(tmp_path, "me/mine", token=None, private=None, message="first")
