"""Real videos through tokens and back: PSNR, SSIM, LPIPS where its weights are given, ids and bits per second."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from videolavit.data.video_lists import VIDEO_EXTENSIONS
from videolavit.evaluation.benchmark import Outcome
from videolavit.evaluation.files import DataFile
from videolavit.evaluation.generation_benchmark import GenerationBenchmark, Prompt, mean_of
from videolavit.evaluation.metrics.lpips import Lpips
from videolavit.evaluation.needs import ANIMATION, RECONSTRUCTION
from videolavit.evaluation.statistics import Estimate

__all__ = ["Reconstruction"]

_MEASURES = ("PSNR, dB", "SSIM", "LPIPS", "ids per second", "bits per second")


class Reconstruction(GenerationBenchmark):
    """Reconstruction; any folder of videos."""

    name = "reconstruction"
    about = "real videos to tokens and back: PSNR, SSIM, LPIPS, ids and bits per second"
    files: tuple[DataFile, ...] = ()
    variants = ("tokens", "raw-keyframes", "raw-motion")
    useful = ()
    needs = tuple(dict.fromkeys((*RECONSTRUCTION, *ANIMATION)))
    batch_size = 1

    def check(self) -> None:
        _ = self.prompts

    def read(self, data: Path) -> list[Prompt]:
        paths = [path for path in sorted(data.rglob("*")) if path.suffix.lower() in VIDEO_EXTENSIONS]
        return [
            Prompt(id=str(path.relative_to(data)), text="", seed=self.options.seed + number, real=path)
            for number, path in enumerate(paths)
        ]

    def measure(self, model: Any, samples: Sequence[Prompt]) -> list[Outcome]:
        return [self._outcome(model, one) for one in samples]

    def _outcome(self, model: Any, sample: Prompt) -> Outcome:
        keyframes = "raw" if self.variant == "raw-keyframes" else "tokens"
        motion = "raw" if self.variant == "raw-motion" else "tokens"
        made = model.reconstruct_video(sample.real, seed=sample.seed, keyframes=keyframes, motion=motion)
        values = {
            "PSNR, dB": made.psnr_db,
            "SSIM": made.ssim,
            "ids per second": made.ids_per_second,
            "bits per second": made.bits_per_second,
        }
        if (lpips := self._lpips) is not None:
            pairs = zip(made.frames, made.original, strict=True)
            values["LPIPS"] = sum(lpips.distance(one, other) for one, other in pairs) / len(made.frames)
        return Outcome(id=sample.id, group=sample.id, values=values, said={"frames": len(made.frames)})

    @cached_property
    def _lpips(self) -> Lpips | None:
        """Of all videos, since it reads half a gigabyte of weights; None where they are not given."""
        paths = self.networks.paths
        if not {"vgg", "lpips"} <= set(paths):
            return None
        return Lpips(paths["vgg"], paths["lpips"], device=self.options.device)

    def summary(self, outcomes: Sequence[Outcome]) -> dict[str, Estimate]:
        return {name: found for measure in _MEASURES for name, found in mean_of(outcomes, measure).items()}
