"""Make the images and clips of docs/gallery.md with the library: rendered videos taken apart, and what the model makes.

    python examples/gallery.py --sources data/things_sources.npz        everything, into docs/images
    python examples/gallery.py --only written animated                  some of it, somewhere else with --folder

`apart` and `edited` show a rendered video of the world of things (docs/things.md says where its images come from) and
need no network; the others need a model. Nothing is picked by hand: seeds count from --seed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import tyro
from jaxtyping import UInt8
from PIL import Image, ImageDraw

from videolavit import Clip, VideoLaVIT, warp
from videolavit.video import Frames, decompose, draw_arrows, draw_colors, side_by_side, write_video

RGB = UInt8[np.ndarray, "_ _ 3"]
WRITTEN = ("a large red circle moves to the right", "a small blue star moves up", "a green square moves down and left")
FPS, FRAME = 6, 176


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of the script."""

    folder: Path = Path("docs/images")
    sources: Path | None = None
    """Images of the world of things, as `videolavit prepare things-sources` writes them."""
    model: str | None = None
    """Folder of a model; by default the one in the package."""
    seed: int = 1
    scenes: tuple[int, ...] = (7, 11)
    """Seeds of the rendered scenes that are taken apart; the last one is edited."""
    only: tuple[str, ...] = ()
    """Names of what to make; everything if none is named."""


class Gallery:
    """Everything that can be made, each by a method of its name."""

    def __init__(self, options: Options) -> None:
        self.options = options

    @cached_property
    def model(self) -> VideoLaVIT:
        """Model, opened when it is first needed."""
        return VideoLaVIT.from_pretrained(self.options.model)

    def rendered(self, seed: int) -> UInt8[np.ndarray, "frames height width 3"]:
        """One clip of the world of things with an outdoor place."""
        from videolavit.data.things.render import render
        from videolavit.data.things.sampling import SceneOptions, sample_scene
        from videolavit.data.things.sources import load_sources

        if self.options.sources is None:
            raise SystemExit("gallery: name the images of the world of things: --sources FILE (docs/things.md)")
        return render(sample_scene(seed, SceneOptions(num_things=1)), load_sources(self.options.sources)).frames

    def apart(self) -> Path:
        """Rendered videos as keyframe and motion, and as frames that are the keyframe moved along."""
        rows = []
        for seed in self.options.scenes:
            frames = self.rendered(seed)
            clip = one_clip(frames)
            moved = warp(clip.keyframe, clip.motion)
            keyframe = resized(clip.keyframe)
            parts = [
                keyframe,
                draw_arrows(keyframe, clip.motion),
                draw_colors(clip.motion, height=FRAME, width=FRAME),
                *(resized(moved[frame]) for frame in (12, 23)),
                *(resized(frames[frame]) for frame in (12, 23)),
            ]
            rows.append(np.concatenate(parts, axis=1))
        names = ("keyframe", "its motion, as arrows", "as colours", "moved along, 2 s", "4 s", "original, 2 s", "4 s")
        return self.write(np.concatenate([headings(names), *rows]), "apart.png")

    def edited(self) -> Path:
        """One rendered video with its motion reversed, doubled and frozen; no network."""
        frames = self.rendered(self.options.scenes[-1])
        how = {
            "as it was": {},
            "reversed": {"reverse": True},
            "twice as far": {"scale": 2.0},
            "frozen": {"freeze": True},
        }
        given = {"keyframe": "raw", "motion": "raw", "detokenizer": "warp"}
        video = Frames(images=list(frames), fps=FPS)
        edits = [self.model.edit(video, **given, **changes).frames if changes else frames for changes in how.values()]
        return self.write(side_by_side(edits, list(how)), "edited.webp")

    def written(self) -> Path:
        """Clips from a sentence each, the first that come."""
        videos = [self.model.video(prompt, seed=self.options.seed) for prompt in WRITTEN]
        return self.write(side_by_side([doubled(video.frames) for video in videos], list(WRITTEN)), "written.webp")

    def animated(self) -> Path:
        """An image from Pillow that moves as a sentence says."""
        image = Image.new("RGB", (128, 128), (214, 210, 202))
        ImageDraw.Draw(image).ellipse((18, 44, 58, 84), fill=(230, 120, 20))
        videos = [
            self.model.video(words, image=image, seed=self.options.seed) for words in ("it moves right", "it moves up")
        ]
        still = [np.asarray(image)] * len(videos[0].frames)
        clips = [still, *(video.frames for video in videos)]
        return self.write(side_by_side(clips, ["an image", "it moves right", "it moves up"]), "animated.webp")

    def write(self, frames: RGB | object, name: str) -> Path:
        """A file, with what made it inside."""
        self.options.folder.mkdir(parents=True, exist_ok=True)
        images = [frames] if isinstance(frames, np.ndarray) and frames.ndim == 3 else frames
        note = {"made_by": "videolavit examples/gallery.py", "seed": self.options.seed, "scenes": self.options.scenes}
        return write_video(images, self.options.folder / name, fps=FPS, metadata=note)  # type: ignore[arg-type]


def one_clip(frames: UInt8[np.ndarray, "frames height width 3"]) -> Clip:
    """Video of one clip taken apart: its image is enlarged, so that blocks of 16 pixels make a grid of 8."""
    large = [np.asarray(Image.fromarray(frame).resize((256, 256), Image.Resampling.BICUBIC)) for frame in frames]
    return decompose(Frames(images=large, fps=FPS), select="every 2", slices=1)[0]


def doubled(frames: UInt8[np.ndarray, "frames height width 3"]) -> UInt8[np.ndarray, "frames height width 3"]:
    """Frames at twice their size, so that there is room for a sentence above them."""
    return frames.repeat(2, axis=1).repeat(2, axis=2)


def headings(names: tuple[str, ...]) -> RGB:
    """A line of text above columns."""
    line = Image.new("RGB", (FRAME * len(names), 26), (24, 24, 27))
    for column, name in enumerate(names):
        ImageDraw.Draw(line).text((column * FRAME + 4, 13), name, (235, 235, 235), anchor="lm", font_size=14)
    return np.asarray(line)


def resized(image: RGB) -> RGB:
    """Image at the size of the page."""
    return np.asarray(Image.fromarray(image).resize((FRAME, FRAME), Image.Resampling.BICUBIC))


def main(options: Options) -> None:
    """Make what was asked for, and print the names of the files."""
    gallery = Gallery(options)
    every: dict[str, Callable[[], Path]] = {
        name: getattr(gallery, name) for name in ("apart", "edited", "written", "animated")
    }
    if unknown := set(options.only) - set(every):
        raise SystemExit(f"gallery: got {', '.join(sorted(unknown))}; there are {', '.join(every)}")
    for name in options.only or every:
        print(every[name]())


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
