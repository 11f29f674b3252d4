"""Models on the hub: only what a task needs is fetched, all of one commit; and what cannot be fetched is explained."""

from __future__ import annotations

import fnmatch
from pathlib import Path

import huggingface_hub
import pytest
from checkpoints.small_release import write_small_release
from huggingface_hub.errors import LocalEntryNotFoundError

from videolavit.checkpoints import convert, open_checkpoint
from videolavit.errors import CheckpointError
from videolavit.pipeline import VideoLaVIT

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub:
    """A hub with one model: `snapshot_download` links what the patterns match into a cache folder."""

    def __init__(self, model: Path, cache: Path) -> None:
        self.model, self.cache = model, cache / "snapshots" / COMMIT
        self.revisions: list[str | None] = []

    def snapshot_download(self, repo_id: str, *, revision: str | None, allow_patterns: list[str]) -> str:
        if repo_id != "someone/video-lavit":
            raise LocalEntryNotFoundError("no such model in the cache, and the network is off")
        self.revisions.append(revision)
        self.cache.mkdir(parents=True, exist_ok=True)
        for path in self.model.rglob("*"):
            name = path.relative_to(self.model)
            if path.is_file() and any(fnmatch.fnmatch(str(name), pattern) for pattern in allow_patterns):
                (self.cache / name).parent.mkdir(parents=True, exist_ok=True)
                if not (self.cache / name).exists():
                    (self.cache / name).symlink_to(path)
        return str(self.cache)

    @property
    def fetched(self) -> set[str]:
        return {str(path.relative_to(self.cache)) for path in self.cache.rglob("*") if path.is_file()}


@pytest.fixture(params=["released", "native"])
def hub(request, small_release, tmp_path, monkeypatch) -> Hub:
    model = small_release
    if request.param == "native":
        model = tmp_path / "native"
        convert(small_release, model)
    hub = Hub(model, tmp_path / "cache")
    monkeypatch.setattr(huggingface_hub, "snapshot_download", hub.snapshot_download)
    return hub


def test_only_the_files_of_a_task_are_fetched(hub):
    model = VideoLaVIT.from_pretrained("someone/video-lavit")
    assert hub.fetched <= {"config.json", "videolavit.json"}
    parts = model.answering
    assert parts.language_model.width == parts.visual_tokenizer.config.language_width
    assert not any("unet" in name or "vae" in name or "image_detokenizer" in name for name in hub.fetched)
    assert model.keyframe_detokenizer.scheduler is not None
    assert not any("video" in name for name in hub.fetched - {"videolavit.json"})


def test_later_parts_are_of_the_commit_of_the_first(hub):
    VideoLaVIT.from_pretrained("someone/video-lavit", revision="main").motion_tokenizer  # noqa: B018
    assert hub.revisions[0] == "main"
    assert set(hub.revisions[1:]) == {COMMIT}


def test_shards_are_fetched_with_their_index(tmp_path, monkeypatch):
    hub = Hub(write_small_release(tmp_path / "model", shards=3), tmp_path / "cache")
    monkeypatch.setattr(huggingface_hub, "snapshot_download", hub.snapshot_download)
    assert VideoLaVIT.from_pretrained("someone/video-lavit").language_model.num_layers == 2


def test_what_is_no_folder_and_not_on_the_hub_is_explained(hub):
    with pytest.raises(CheckpointError, match=r"else/model: no such folder, and the hub did not give.*network is off"):
        open_checkpoint("else/model")


@pytest.mark.parametrize("name", ["./missing", "/missing/folder", "missing", "a/b/c", "~/missing"])
def test_a_path_that_does_not_exist_is_not_looked_for_on_the_hub(hub, name):
    with pytest.raises(CheckpointError, match="no such folder, and not the id"):
        open_checkpoint(name)
    assert hub.revisions == []


def test_a_revision_of_a_folder_is_refused(small_release):
    with pytest.raises(CheckpointError, match="revision='main' is for models on the hub"):
        open_checkpoint(small_release, revision="main")


def test_the_cache_of_the_hub_serves_without_a_network(small_release, tmp_path, monkeypatch):
    repository = tmp_path / "hub" / "models--someone--video-lavit"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(COMMIT)
    (repository / "snapshots").mkdir()
    (repository / "snapshots" / COMMIT).symlink_to(small_release, target_is_directory=True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    original = huggingface_hub.snapshot_download
    monkeypatch.setattr(
        huggingface_hub,
        "snapshot_download",
        lambda *arguments, **options: original(*arguments, cache_dir=tmp_path / "hub", **options),
    )
    assert VideoLaVIT.from_pretrained("someone/video-lavit").motion_tokenizer.config.num_tokens == 135
    with pytest.raises(CheckpointError, match="else/model"):
        open_checkpoint("else/model")
