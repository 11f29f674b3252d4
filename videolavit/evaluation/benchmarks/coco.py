"""COCO: images of 30 000 random captions of the validation images, against the images that these describe (FID).

The paper describes this measurement and prints no value.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from videolavit.evaluation.benchmark import Outcome
from videolavit.evaluation.files import DataFile, field_of, found_file, read_json
from videolavit.evaluation.generation_benchmark import GenerationBenchmark, Prompt, distances, mean_of
from videolavit.evaluation.needs import IMAGE
from videolavit.evaluation.statistics import Estimate

__all__ = ["Coco"]

_CAPTIONS = 30_000


class Coco(GenerationBenchmark):
    """COCO captions; see the text of this module."""

    name = "coco"
    about = "images of captions of COCO: FID, CLIPSIM"
    files = (
        DataFile(name="captions_val2014.json", holds="202 654 captions", source="cocodataset.org, annotations 2014"),
        DataFile(name="val2014", holds="40 504 photographs, 6 GB", source="cocodataset.org, 2014 Val images"),
    )
    variants = ("fid",)
    useful = ("inception", "clip")
    needs = IMAGE
    official_count = _CAPTIONS
    batch_size = 16

    def read(self, data: Path) -> list[Prompt]:
        path, images = (found_file(data, file, self.name) for file in self.files)
        assert path is not None
        assert images is not None
        document = read_json(path)
        names = {one["id"]: one["file_name"] for one in field_of(document, "images", path, "top")}
        entries = field_of(document, "annotations", path, "top")
        order = np.random.default_rng(self.options.seed).permutation(len(entries))[:_CAPTIONS]
        chosen = [entries[int(place)] for place in order]
        return [
            Prompt(
                id=str(field_of(one, "id", path, number)),
                text=one["caption"].strip(),
                seed=self.options.seed + number,
                real=images / names[one["image_id"]],
            )
            for number, one in enumerate(chosen)
        ]

    def measure(self, model: Any, samples: Sequence[Prompt]) -> list[Outcome]:
        images = model.generate_images([one.text for one in samples], [one.seed for one in samples])
        return [self._outcome(sample, image) for sample, image in zip(samples, images, strict=True)]

    def _outcome(self, sample: Prompt, image: np.ndarray) -> Outcome:
        from videolavit.video.io.images import read_image

        values, arrays = {}, {}
        if "clip" in self.networks:
            network = self.networks["clip"]
            values["CLIPSIM"] = float(network.features(image[None])[0] @ network.text_features([sample.text])[0])
        if "inception" in self.networks:
            path = sample.real
            assert path is not None
            real = self.real_features.of(path, ["inception"], {"image": "whole"}, lambda: read_image(path)[None])
            arrays["inception, generated"] = self.networks["inception"].features(image[None])[0]
            arrays["inception, real"] = real["inception"][0]
        said = {"prompt": sample.text, "seed": sample.seed}
        return Outcome(id=sample.id, group=sample.id, values=values, said=said, arrays=arrays)

    def summary(self, outcomes: Sequence[Outcome]) -> dict[str, Estimate]:
        return distances(outcomes, "inception, generated", "inception, real", frechet="FID") | mean_of(
            outcomes, "CLIPSIM"
        )
