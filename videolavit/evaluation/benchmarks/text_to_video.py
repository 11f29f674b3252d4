"""MSR-VTT and UCF-101: videos of captions and of classes, against real ones (paper, section 4.2, table 4).

CLIPSIM is the mean cosine of every frame with its caption. FVD compares I3D logits, frame FID the CLIP ViT-B/32 vectors
of frames of one number over all videos, averaged over the numbers; the inception score is that of C3D on the central 16
frames. The paper does not say which frames of the real videos it compares, so a value stands for a named protocol.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from videolavit.errors import ConfigError
from videolavit.evaluation.benchmark import Outcome
from videolavit.evaluation.files import DataFile, field_of, found_file, read_json
from videolavit.evaluation.generation_benchmark import (
    GenerationBenchmark,
    Prompt,
    distance_estimate,
    distances,
    features_of_real,
    generated_clip,
    mean_of,
)
from videolavit.evaluation.metrics.distances import frechet_distance
from videolavit.evaluation.metrics.inception_score import inception_score, softmax
from videolavit.evaluation.metrics.moments import Moments
from videolavit.evaluation.statistics import Estimate

__all__ = ["MsrVtt", "Ucf101"]


class TextToVideo(GenerationBenchmark):
    """Base class of the two."""

    useful = ("i3d", "clip", "clip32", "c3d")

    def measure(self, model: Any, samples: Sequence[Prompt]) -> list[Outcome]:
        videos = model.generate_videos([one.text for one in samples], [one.seed for one in samples])
        return [self._outcome(sample, video) for sample, video in zip(samples, videos, strict=True)]

    def _outcome(self, sample: Prompt, video: np.ndarray) -> Outcome:
        fake = generated_clip(video, self.protocol)
        values: dict[str, Any] = {}
        arrays: dict[str, np.ndarray] = {}
        if "clip" in self.networks:
            network = self.networks["clip"]
            values["CLIPSIM"] = float((network.features(video) @ network.text_features([sample.text])[0]).mean())
        if "c3d" in self.networks:
            arrays["c3d"] = self.networks["c3d"].features(video)
        compared = [name for name in ("i3d", "clip32") if name in self.networks]
        for name, real in features_of_real(self.real_features, sample, compared, self.protocol).items():
            arrays |= {f"{name}, generated": self.networks[name].features(fake), f"{name}, real": real}
        said = {"prompt": sample.text, "seed": sample.seed, "frames": len(video), **dict(sample.facts)}
        return Outcome(id=sample.id, group=sample.id, values=values, said=said, arrays=arrays)

    def summary(self, outcomes: Sequence[Outcome]) -> dict[str, Estimate]:
        found = mean_of(outcomes, "CLIPSIM")
        found |= distances(outcomes, "i3d, generated", "i3d, real", frechet="FVD", kernel="KVD")
        logits = [one.arrays["c3d"] for one in outcomes if "c3d" in one.arrays]
        if logits:
            found["IS"] = distance_estimate(inception_score(softmax(np.stack(logits)))[0], len(logits))
        return found | _frame_fid(outcomes)


class MsrVtt(TextToVideo):
    """MSR-VTT, the 2 990 test videos, one caption each by the seed; the record is the list of captions."""

    name = "msrvtt"
    about = "videos of captions of MSR-VTT: CLIPSIM, FVD, frame FID"
    files = (
        DataFile(name="test_videodatainfo.json", holds="about 20 captions of each", source="the MSR-VTT page"),
        DataFile(name="TestVideo", holds="2 990 test videos, videoN.mp4", source="the MSR-VTT page of its authors"),
    )
    official_count = 2_990

    def read(self, data: Path) -> list[Prompt]:
        path, videos = (found_file(data, file, self.name) for file in self.files)
        assert path is not None
        assert videos is not None
        document = read_json(path)
        captions: dict[str, list[str]] = defaultdict(list)
        for place, one in enumerate(field_of(document, "sentences", path, "top")):
            captions[field_of(one, "video_id", path, place)].append(one["caption"])
        chosen = [one["video_id"] for one in document["videos"] if one.get("split", "test") == "test"]
        if missing := [name for name in chosen if not captions[name]]:
            raise ConfigError(f"{path}: {missing[0]} (of {len(missing)}) has no caption")
        ordered = sorted(chosen, key=_number)
        return [self._prompt(place, name, captions[name], videos) for place, name in enumerate(ordered)]

    def _prompt(self, place: int, name: str, captions: Sequence[str], videos: Path) -> Prompt:
        random = np.random.default_rng([self.options.seed, place])
        text = captions[int(random.integers(len(captions)))]
        return Prompt(id=name, text=text, seed=self.options.seed + place, real=videos / f"{name}.mp4")


class Ucf101(TextToVideo):
    """UCF-101, 20 videos of each class; prompts of a file `prompts.txt` (class, tab, text), or made of class names."""

    name = "ucf101"
    about = "videos of the 101 classes of UCF-101: inception score, FVD"
    files = (
        DataFile(name="classInd.txt", holds="numbers and names of 101 classes", source="crcv.ucf.edu, UCF101"),
        DataFile(name="UCF-101", holds="13 320 videos, CLASS/v_*.avi", source="crcv.ucf.edu, UCF101"),
        DataFile(name="prompts.txt", holds="a text for each class", source="the appendix of PYoCo", optional=True),
    )
    official_count = 2_020
    per_class = 20

    def read(self, data: Path) -> list[Prompt]:
        path, videos, texts = (found_file(data, file, self.name) for file in self.files)
        assert path is not None
        assert videos is not None
        names = [line.split()[-1] for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        told = {} if texts is None else dict(_told(texts))
        if missing := [name for name in names if told and name not in told]:
            raise ConfigError(f"{texts}: has no text for {missing[0]}")
        return [one for place, name in enumerate(names) for one in self._class(place, name, told, videos)]

    def _class(self, place: int, name: str, told: Mapping[str, str], videos: Path) -> list[Prompt]:
        found = sorted(path for path in (videos / name).glob("*") if path.suffix in (".avi", ".mp4"))
        if len(found) < self.per_class and self.options.limit is None:
            raise ConfigError(f"{videos / name}: holds {len(found)} videos, expected at least {self.per_class}")
        order = np.random.default_rng([self.options.seed, place]).permutation(len(found))[: self.per_class]
        text = told.get(name, f"a person doing {_words(name)}")
        first = self.options.seed + place * self.per_class
        return [
            Prompt(id=found[one].stem, text=text, seed=first + number, real=found[one], facts=(("class", name),))
            for number, one in enumerate(order)
        ]


def _frame_fid(outcomes: Sequence[Outcome]) -> dict[str, Estimate]:
    """Mean over frame numbers of the distance between all generated and all real frames of that number."""
    both = [one for one in outcomes if "clip32, real" in one.arrays]
    if len(both) < 2:
        return {}
    shared = min(len(one.arrays[f"clip32, {side}"]) for one in both for side in ("generated", "real"))
    found = []
    for frame in range(shared):
        fake, real = (
            Moments.of(np.stack([one.arrays[f"clip32, {side}"][frame] for one in both]))
            for side in ("generated", "real")
        )
        found.append(frechet_distance(fake, real))
    return {"frame FID": distance_estimate(float(np.mean(found)), len(both))}


def _told(path: Path) -> list[tuple[str, str]]:
    rows = [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    if wrong := [row for row in rows if len(row) != 2]:
        raise ConfigError(f"{path}: expected a class, a tab and a text on each line, found {wrong[0]}")
    return [(name, text) for name, text in rows]


def _words(name: str) -> str:
    """`ApplyEyeMakeup` as words."""
    return " ".join(re.findall(r"[A-Z][a-z]*|[a-z]+", name)).lower()


def _number(name: str) -> tuple[int, str]:
    digits = re.findall(r"\d+", name)
    return (int(digits[0]) if digits else 0, name)
