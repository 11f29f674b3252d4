"""Exports for outside suites: their names, their counts, their seeds, and a model inside lmms-eval."""

import json
import sys
from dataclasses import dataclass
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from videolavit.errors import ConfigError
from videolavit.evaluation.export import evalcrafter_videos, export_videos, vbench_videos

ENTRIES = [
    {"prompt_en": "a dog runs.", "dimension": ["subject_consistency", "dynamic_degree"]},
    {"prompt_en": "a  still life", "dimension": ["temporal_flickering"]},
    {"prompt_en": "a dog runs.", "dimension": ["scene"]},
]


class Renderer:
    def __init__(self, name: str = "renderer") -> None:
        self.asked, self.name = [], name

    def identity(self, parts):
        return self.name

    def generate_videos(self, prompts, seeds, first_frames=None):
        self.asked += zip(prompts, seeds, strict=True)
        return [np.full((4, 16, 16, 3), seed % 256, np.uint8) for seed in seeds]


def test_vbench_gets_its_names_letter_by_letter(tmp_path):
    path = tmp_path / "VBench_full_info.json"
    path.write_text(json.dumps(ENTRIES))
    videos = vbench_videos(path)
    assert [one.name for one in videos[:6]] == [f"a dog runs.-{i}.mp4" for i in range(5)] + ["a  still life-0.mp4"]
    assert len(videos) == 5 + 25
    assert [one.seed for one in videos] == list(range(30))
    assert len(vbench_videos(path, dimensions=["scene"])) == 5
    with pytest.raises(ConfigError, match="got the dimensions speed; known are dynamic_degree"):
        vbench_videos(path, dimensions=["speed"])


@pytest.mark.parametrize("prompt", ["either/or", "x" * 300])
def test_prompts_that_cannot_be_names_are_refused_before_any_work(tmp_path, prompt):
    path = tmp_path / "VBench_full_info.json"
    path.write_text(json.dumps([{"prompt_en": prompt, "dimension": ["scene"]}]))
    with pytest.raises(ConfigError, match="cannot be a file name"):
        vbench_videos(path)
    path.write_text("{}")
    assert vbench_videos(path) == []
    path.write_text('[{"prompt": "a"}]')
    with pytest.raises(ConfigError, match="is not VBench_full_info"):
        vbench_videos(path)


def test_an_export_that_was_stopped_goes_on_with_the_same_seeds(tmp_path):
    path = tmp_path / "prompt700.txt"
    path.write_text("a dog\na cat\na bird")  # no newline at the end
    videos = evalcrafter_videos(path, seed=7)
    assert [one.name for one in videos] == ["0000.mp4", "0001.mp4", "0002.mp4"]
    model = Renderer()
    made = export_videos(model, videos, tmp_path / "out", fps=6.0, batch_size=1)
    next(made)
    made.close()
    assert len(list(export_videos(model, videos, tmp_path / "out", fps=6.0))) == 2
    assert model.asked == [("a dog", 7), ("a cat", 8), ("a bird", 9)]
    assert sorted(one.name for one in (tmp_path / "out/videos").iterdir()) == [one.name for one in videos]
    assert json.loads((tmp_path / "out/seeds.json").read_text())["0001.mp4"] == {
        "prompt": "a cat",
        "seed": 8,
        "model": "renderer",
    }
    path.write_text("a dog\n\na bird\n")
    with pytest.raises(ConfigError, match="line 2: is empty"):
        evalcrafter_videos(path)


def test_videos_of_two_models_are_not_mixed(tmp_path):
    path = tmp_path / "prompt700.txt"
    path.write_text("a dog\na cat")
    videos, out = evalcrafter_videos(path), tmp_path / "out"
    first = export_videos(Renderer(), videos, out, fps=6.0, batch_size=1)
    next(first)
    first.close()
    with pytest.raises(ConfigError, match=r"0000\.mp4: was made by another model"):
        list(export_videos(Renderer("another"), videos, out, fps=6.0))
    assert len(list(export_videos(Renderer(), videos, out, fps=6.0))) == 1


def test_seeds_are_told_of_every_video_that_is_there(tmp_path):
    path = tmp_path / "prompt700.txt"
    path.write_text("a dog\na cat")
    videos, out = evalcrafter_videos(path), tmp_path / "out"
    assert len(list(export_videos(Renderer(), videos, out, fps=6.0))) == 2
    assert list(export_videos(Renderer(), videos[:1], out, fps=6.0)) == []
    told = json.loads((out / "seeds.json").read_text())
    assert {name: one["seed"] for name, one in told.items()} == {"0000.mp4": 0, "0001.mp4": 1}
    with pytest.raises(ConfigError, match=r"0000\.mp4: was made from seed 0, not 5"):
        list(export_videos(Renderer(), evalcrafter_videos(path, seed=5), out, fps=6.0))
    assert json.loads((out / "seeds.json").read_text()) == told
    for video in (out / "videos").iterdir():
        video.unlink()
    assert len(list(export_videos(Renderer(), evalcrafter_videos(path, seed=5), out, fps=6.0))) == 2
    assert json.loads((out / "seeds.json").read_text())["0001.mp4"]["seed"] == 6


@dataclass
class Manifest:
    """As lmms-eval's, with the fields that are used."""

    model_id: str
    simple_class_path: str | None = None
    chat_class_path: str | None = None
    aliases: tuple[str, ...] = ()


class Base:
    """As lmms-eval's: the tasks set `task_dict`."""

    def __init__(self) -> None:
        self.task_dict = {}


class Messages:
    def __init__(self, messages):
        self.messages = messages

    def extract_media(self):
        parts = [part for message in self.messages for part in message["content"]]
        found = {kind: [part["url"] for part in parts if part["type"] == kind] for kind in ("image", "video", "audio")}
        return found["image"], found["video"], found["audio"]


@pytest.fixture
def lmms_eval(monkeypatch):
    """The interface of lmms-eval 0.7 as far as a model touches it."""
    names = ["", ".models", ".models.registry_v2", ".api", ".api.model", ".protocol"]
    modules = {f"lmms_eval{name}": ModuleType(f"lmms_eval{name}") for name in names}
    modules["lmms_eval.models.registry_v2"].ModelManifest = Manifest
    modules["lmms_eval.api.model"].lmms = Base
    modules["lmms_eval.protocol"].ChatMessages = Messages
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)


class Answering:
    def answer(self, questions, *, images, videos, max_new_tokens):
        return [f"{q}|{i}|{v}|{max_new_tokens}\nmore" for q, i, v in zip(questions, images, videos, strict=True)]

    def option_likelihood(self, question, option, *, image=None, video=None):
        return (-1.5 if image is not None else -2.5, option == "Yes")


def test_lmms_eval_finds_the_model_and_asks_it(lmms_eval, monkeypatch):
    from importlib import import_module

    from videolavit.evaluation import lmms_eval_plugin

    opened = []
    monkeypatch.setattr(lmms_eval_plugin, "open_adapter", lambda *given: opened.append(given) or Answering())
    found = lmms_eval_plugin.manifest()
    assert (found.model_id, found.simple_class_path) == ("videolavit", None)
    module, _, name = found.chat_class_path.rpartition(".")
    kind = getattr(import_module(module), name)
    monkeypatch.delitem(vars(lmms_eval_plugin), name)
    assert issubclass(kind, Base)
    assert kind.is_simple is False
    model = kind(model="a/b")
    assert opened == [("a/b", "auto")]  # lmms-eval names no device unless it was told one
    model.task_dict = {"mme": {"test": [{"question": "Is it red?", "image": "x.png"}]}}

    def to_messages(document):
        shown = {"type": "image", "url": document["image"]}
        return [{"role": "user", "content": [shown, {"type": "text", "text": document["question"]}]}]

    request = SimpleNamespace(args=("", to_messages, {"max_new_tokens": 16, "until": ["\n"]}, 0, "mme", "test"))
    assert model.generate_until([request]) == ["Is it red?|x.png|None|16"]
    image = Image.new("RGB", (4, 4))
    shown = {"an image": [image], "a video": ["clip.mp4"], "nothing": []}
    for name, likelihood in (("an image", -1.5), ("a video", -2.5), ("nothing", -2.5)):
        arguments = ("Is it red?", " Yes", lambda document, media=shown[name]: media, 0, "mme", "test")
        assert model.loglikelihood([SimpleNamespace(args=arguments)]) == [(likelihood, True)]
    with pytest.raises(ValueError, match="got the model_args colour"):
        kind(colour="red")
