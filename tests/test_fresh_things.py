"""Fresh scenes as ids and latents: what the stages of the language model and of the keyframe detokenizer take."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from scripts import load_script
from things_images import draw_sources

from videolavit.data.tokens import TokenReader
from videolavit.training.data_folders import open_folders
from videolavit.training.language_data import LanguageSamples, Shares
from videolavit.training.presets import THINGS
from videolavit.training.stages.keyframe_codes import NO_CODE


@pytest.fixture(scope="module")
def recipe():
    return load_script("recipes/fresh_things.py")


@pytest.fixture(scope="module")
def sources(tmp_path_factory) -> Path:
    return draw_sources(tmp_path_factory.mktemp("fresh") / "sources.npz")


def samples(folder: Path, **shares: int) -> LanguageSamples:
    stage = replace(THINGS["pretraining"], data=str(folder), text_tokenizer=str(_TEXT_TOKENIZER))
    options = {"prompt_dropout": 0.0, "described_as_ids": 1.0, "texts": "", "seed": 0}
    return LanguageSamples(Shares(**shares), open_folders(str(folder)), stage.maker, **options)


ROOT = Path(__file__).parent.parent
_TEXT_TOKENIZER = ROOT / "videolavit" / "assets" / "things" / "language_model.tokenizer"


def test_images_are_ids_and_latents_of_the_same_codes(recipe, sources, tmp_path, capsys):
    fresh = recipe.Fresh(kind="images", output=tmp_path / "images", sources=sources, shards=2, scenes_per_shard=3)
    recipe.main(fresh)
    reader = TokenReader(fresh.output)
    stage = replace(
        THINGS["keyframe_detokenizer"], data=str(fresh.output / "latents"), tokenizer="things", autoencoder="things"
    )
    assert len(reader) == 6
    drawn = [stage.samples()[number] for number in range(6)]
    assert {tuple(one["latents"].shape) for one in drawn} == {(8, 16, 16)}
    codes = {tuple(row["codes"][row["codes"] != NO_CODE].tolist()) for row in drawn}
    assert codes == {tuple(reader.vocabulary.visual_codes(video.clips[0].visual_ids).tolist()) for video in reader}
    assert all(video.clips[0].features.shape == (len(video.clips[0].visual_ids), 192) for video in reader)
    assert {answer for video in reader for question, answer, _ in video.questions if "Do you see: " in question} == {
        "yes",
        "no",
    }
    for share in ("generate_image", "answer_image"):
        assert samples(fresh.output, **{share: 1})[0]
    capsys.readouterr()
    recipe.main(replace(fresh, shards=3))
    assert capsys.readouterr().out.count("3 images") == 1, "what is there is kept"


def test_videos_are_whole_and_every_fourth_has_two_clips(recipe, sources, tmp_path):
    recipe.main(recipe.Fresh(kind="videos", output=tmp_path, sources=sources, shards=1, scenes_per_shard=4))
    reader = TokenReader(tmp_path)
    assert [len(video.clips) for video in reader] == [1, 1, 1, 2]
    assert all(len(clip.motion_ids) for video in reader for clip in video.clips)
    for share in ("generate_video", "answer_video"):
        assert samples(tmp_path, **{share: 1})[0]


def test_missing_sources_are_told_in_one_line(tmp_path):
    command = [sys.executable, str(ROOT / "recipes/fresh_things.py"), "videos", "-o", str(tmp_path / "videos")]
    told = subprocess.run([*command, "--sources", str(tmp_path / "none.npz")], capture_output=True, text=True)
    assert told.returncode == 1
    assert "none.npz: holds no images of things" in told.stderr
    assert "Traceback" not in told.stderr
