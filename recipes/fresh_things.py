"""Fresh scenes of things straight to what the last stages read, without frames on disk.

    python recipes/fresh_things.py videos -o runs/fresh/videos --shards 40      ids of whole videos
    python recipes/fresh_things.py images -o runs/fresh/images --shards 60      ids and latents of first frames alone

A model of this size learns some thousand videos by heart (docs/things.md), and what cures that is more of the world. A
whole video goes through the front end; a first frame takes about a quarter of the time, and its latents with it. Seeds
are those of training, from 20 million on, which `recipes/things.py` does not draw. Start it again, or with another
--first-shard on another core, and it goes on with the shards that are not there.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch
import tyro
from safetensors.torch import save_file

from videolavit.checkpoints.artifacts import load_artifact, open_artifact
from videolavit.data.prepare_tokens import tokenize_records
from videolavit.data.prepare_videos import SHAPES_FRONT_END
from videolavit.data.scene_labels import SceneLabels
from videolavit.data.things.captions import image_captions
from videolavit.data.things.labels import label_thing_keyframe
from videolavit.data.things.matching import caption_questions
from videolavit.data.things.prepare import ThingsData, things_record, things_truth
from videolavit.data.things.questions import distinct_questions
from videolavit.data.things.render import render
from videolavit.data.things.sampling import SceneOptions, sample_scene
from videolavit.data.things.scene import Scene
from videolavit.data.things.sources import load_sources
from videolavit.data.tokens import TokenizedClip, TokenizedVideo, write_tokens
from videolavit.errors import ConfigError, VideoLaVITError
from videolavit.jobs.partial_files import create_once
from videolavit.training.presets import THINGS
from videolavit.training.stages.keyframe_codes import NO_CODE, OBJECT_PATCH, codes_and_latents
from videolavit.video import Frames
from videolavit.video.processor import front_end_clips

FIRST_SEEDS = {"videos": 20_000_000, "images": 30_000_000}
WORDINGS, QUESTION_DRAWINGS = 4, 3
"""Of an image; a video has more, as `prepare things` gives it."""
AT_ONCE = 4
"""Images that go through the frozen parts together."""


@dataclass(frozen=True, kw_only=True)
class Fresh:
    """Options of the script."""

    kind: Annotated[Literal["videos", "images"], tyro.conf.Positional]
    """Whole videos, or first frames alone."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """Folder for token shards; latents of images lie in `latents` inside."""
    sources: Path = Path("data/things_sources.npz")
    """File that `videolavit prepare things-sources` wrote."""
    model: str = "things"
    """Model whose tokenizers, text tokenizer and autoencoder are used."""
    things: int = 24
    shards: int = 20
    first_shard: int = 0
    scenes_per_shard: int = 250


def main(fresh: Fresh) -> None:
    """Write the shards that are not there yet."""
    fresh.output.mkdir(parents=True, exist_ok=True)
    write = write_videos if fresh.kind == "videos" else write_images
    for shard in range(fresh.first_shard, fresh.first_shard + fresh.shards):
        path = fresh.output / f"{fresh.kind}-{shard:05d}"
        if not path.with_name(f"{path.name}.tokens.json").exists():
            seeds = range(shard * fresh.scenes_per_shard, (shard + 1) * fresh.scenes_per_shard)
            print(f"{path}: {write(fresh, path, seeds)} {fresh.kind}", flush=True)


def write_videos(fresh: Fresh, path: Path, numbers: range) -> int:
    """A token shard of whole videos, in which one of four has two clips."""
    data = ThingsData(
        sources=str(fresh.sources), things=fresh.things, first_seed=FIRST_SEEDS["videos"], clips=(1, 1, 1, 2)
    )
    records = (record for number in numbers if (record := things_record(data, number)) is not None)
    visual, motion = (load_artifact(f"{name}_tokenizer", fresh.model) for name in ("visual", "motion"))
    vocabulary = open_artifact(fresh.model).vocabulary
    return write_tokens(tokenize_records(records, visual, motion, vocabulary, batch_size=8), path, vocabulary)


def write_images(fresh: Fresh, path: Path, numbers: range) -> int:
    """A token shard of first frames and, before it, their latents, as `train keyframe_detokenizer` takes them."""
    stage = replace(THINGS["keyframe_detokenizer"], tokenizer=fresh.model, autoencoder=fresh.model)
    tokenizer, _, autoencoder = stage.parts()
    vocabulary = open_artifact(fresh.model).vocabulary
    made: list[dict[str, torch.Tensor]] = []
    videos: list[TokenizedVideo] = []
    for first in range(0, len(numbers), AT_ONCE):
        seeds = [FIRST_SEEDS["images"] + number for number in numbers[first : first + AT_ONCE]]
        scenes = [sample_scene(seed, SceneOptions(things=fresh.things)) for seed in seeds]
        batch = stage.collate([first_keyframe(scene, fresh.sources) for scene in scenes])
        seen = codes_and_latents(batch, tokenizer, autoencoder, with_merged=True)
        for scene, seed, codes, features in zip(scenes, seeds, seen["codes"], seen.pop("merged"), strict=True):
            kept = codes != NO_CODE
            if kept.any():
                clip = TokenizedClip(
                    visual_ids=vocabulary.visual_ids(codes[kept].long()),
                    motion_ids=torch.empty(0, dtype=torch.long),
                    features=features[kept],
                )
                videos.append(described(clip, scene, seed, fresh.things))
        made.append(seen)
    latents = {name: torch.cat([part[name] for part in made]).contiguous() for name in made[0]}
    folder = path.parent / "latents"
    folder.mkdir(exist_ok=True)
    if create_once(folder / "made_by.txt", stage.frozen()) != stage.frozen():
        raise ConfigError(f"{folder}: holds latents of another model; name another folder, or that model")
    save_file(
        latents | {"latents": latents["latents"].half()},
        folder / f"latents-{numbers.start:08d}-{len(numbers)}.safetensors",
    )
    return write_tokens(videos, path, vocabulary)


def described(clip: TokenizedClip, scene: Scene, seed: int, num_things: int) -> TokenizedVideo:
    """A first frame with what is said of it alone."""
    asked = distinct_questions(scene, seed, QUESTION_DRAWINGS, num_things) + caption_questions(scene, seed, num_things)
    questions = tuple((one.text, one.answer, one.topic) for one in asked if one.about_image)
    return TokenizedVideo(
        clips=(clip,),
        image_captions=tuple(image_captions(scene, seed, WORDINGS)),
        questions=questions,
        about_image=(True,) * len(questions),
    )


def first_keyframe(scene: Scene, sources: Path) -> tuple[np.ndarray, SceneLabels]:
    """The first frame of a scene as the codec gives it back, and what its patches show."""
    rendered = render(scene, load_sources(str(sources)), num_frames=1)
    still = Frames(images=np.repeat(rendered.frames, 3, axis=0), fps=SHAPES_FRONT_END.fps)
    clip = next(iter(front_end_clips(still, SHAPES_FRONT_END, select="every 2")))
    labels = label_thing_keyframe(things_truth(scene, rendered), 0, OBJECT_PATCH, mirror=False)
    return clip.keyframe, labels


if __name__ == "__main__":
    try:
        main(tyro.cli(Fresh, description=__doc__))
    except VideoLaVITError as error:
        sys.exit(str(error))
