"""Long videos: 2 048 of 64 frames from the prompts of EvalCrafter, first 16 frames against last 16 (paper, table 5).

FVD and KVD near zero say that a video ends as it began. Printed as CLIPSIM in the paper, the similarity of neighbouring
frames is here under its own name. A variant says how a clip goes on from the one before.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from videolavit.evaluation.benchmark import Outcome
from videolavit.evaluation.files import DataFile, found_file
from videolavit.evaluation.generation_benchmark import GenerationBenchmark, Prompt, distances, mean_of
from videolavit.evaluation.statistics import Estimate

__all__ = ["LongVideo"]

_VIDEOS = 2_048
_FRAMES = 64
_CLIPS = 3
"""Of 24 frames each, which join to 70."""
_ENDS = 16


class LongVideo(GenerationBenchmark):
    """Long videos; see the text of this module."""

    name = "long_video"
    about = "videos of 64 frames, first 16 against last 16: FVD, KVD"
    files = (DataFile(name="prompt700.txt", holds="700 prompts", source="the EvalCrafter repository of its authors"),)
    variants = ("inversion", "restart", "none")
    useful = ("i3d", "clip")
    official_count = _VIDEOS
    batch_size = 2

    def read(self, data: Path) -> list[Prompt]:
        path = found_file(data, self.files[0], self.name)
        assert path is not None
        texts = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        return [
            Prompt(id=f"{number:04d}", text=texts[number % len(texts)], seed=self.options.seed + number)
            for number in range(_VIDEOS if texts else 0)
        ]

    def settings(self) -> dict[str, Any]:
        return {**super().settings(), "clips": {"num_frames": _FRAMES, "compared at each end": _ENDS}}

    def measure(self, model: Any, samples: Sequence[Prompt]) -> list[Outcome]:
        texts, seeds = [one.text for one in samples], [one.seed for one in samples]
        found = model.generate_long_videos(texts, seeds, clips=_CLIPS, continuations=(self.variant,))
        return [self._outcome(one, videos[self.variant][:_FRAMES]) for one, videos in zip(samples, found, strict=True)]

    def _outcome(self, sample: Prompt, video: np.ndarray) -> Outcome:
        values, arrays = {}, {}
        if "i3d" in self.networks:
            arrays["i3d, first"] = self.networks["i3d"].features(video[:_ENDS])
            arrays["i3d, last"] = self.networks["i3d"].features(video[-_ENDS:])
        if "clip" in self.networks:
            vectors = self.networks["clip"].features(video)
            values["frame similarity"] = float((vectors[1:] * vectors[:-1]).sum(axis=1).mean())
        said = {"prompt": sample.text, "seed": sample.seed, "frames": len(video)}
        return Outcome(id=sample.id, group=sample.id, values=values, said=said, arrays=arrays)

    def summary(self, outcomes: Sequence[Outcome]) -> dict[str, Estimate]:
        found = distances(outcomes, "i3d, first", "i3d, last", frechet="FVD", kernel="KVD")
        return found | mean_of(outcomes, "frame similarity")
