"""Make two images of docs/gallery.md with the small model.

    python examples/images.py                  into docs/images
    python examples/images.py --folder out     somewhere else

`generated.png` shows clips generated from a sentence each, the first ones that come: nothing is picked by hand.
`tokens.png` shows what one of them is to the language model: patches of its keyframe, and its motion, as codes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

from videolavit import MotionField, VideoLaVIT
from videolavit.pipeline.outputs import GeneratedVideo
from videolavit.video import draw_arrows, film_strips, write_video

PROMPTS = ("a large red circle moves to the right", "a small blue star moves up", "a green square moves down and left")
PANEL, LINE, GAP = 384, 26, 8
"""Sides in pixels of a panel of the token view, of a line of text, and between things."""
GROUND, INK = (24, 24, 27), (235, 235, 235)

RGB = UInt8[np.ndarray, "_ _ 3"]


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of the script."""

    folder: Path = Path("docs/images")
    model: str | None = None
    """A folder; by default the model that comes with the package."""
    seed: int = 1


def main(options: Options) -> None:
    """Generate and write."""
    model = VideoLaVIT.from_pretrained(options.model)
    videos = [model.video(prompt, seed=options.seed) for prompt in PROMPTS]
    images = {
        "generated": film_strips([video.frames for video in videos], PROMPTS),
        "tokens": token_view(model, videos[0]),
    }
    options.folder.mkdir(parents=True, exist_ok=True)
    for name, image in images.items():
        metadata = {"made_by": "videolavit examples/images.py", "prompts": PROMPTS, "seed": options.seed}
        print(write_video([image], options.folder / f"{name}.png", fps=1, metadata=metadata))


def token_view(model: VideoLaVIT, video: GeneratedVideo) -> RGB:
    """A clip as tokens: kept patches of its keyframe with their codes, motion codes, and what these say."""
    keyframe, codes = video.frames[0], video.tokens[0].motion
    assert codes is not None
    seen = model.visual_tokenizer.encode(model.visual_tokenizer.preprocess([keyframe]))
    keep = seen.keep[0].numpy()
    motion = model.motion_tokenizer.decode(codes[None])[0].detach().numpy()
    height, width = keyframe.shape[:2]
    field = MotionField.from_tokenizer_units(motion, height=height, width=width)
    grid = codes.numpy().reshape(model.motion_tokenizer.config.code_grid)
    return beside(
        [
            labelled(kept_patches(keyframe, keep, seen.codes[0].tolist()), f"keyframe: {len(seen.codes[0])} codes"),
            labelled(motion_codes(grid), f"motion: {grid.size} codes, time goes down"),
            labelled(draw_arrows(resized(keyframe, PANEL), field), "what the motion codes say"),
        ]
    )


def kept_patches(image: RGB, keep: np.ndarray, codes: list[int]) -> RGB:
    """An image in which dropped patches are dark and kept ones bear their codes."""
    count = round(keep.size**0.5)
    cell = PANEL // count
    canvas = Image.fromarray(resized(image, cell * count))
    pen = ImageDraw.Draw(canvas, "RGBA")
    left = iter(codes)
    for row, col in np.ndindex(count, count):
        box = (col * cell, row * cell, (col + 1) * cell - 1, (row + 1) * cell - 1)
        if keep[row * count + col]:
            pen.rectangle(box, outline=(*INK, 160))
            number(pen, box, next(left))
        else:
            pen.rectangle(box, fill=(*GROUND, 190))
    return np.asarray(canvas)


def motion_codes(grid: np.ndarray) -> RGB:
    """Motion codes, (times, rows, cols): one block for each time, one colour for each code."""
    times, rows, cols = grid.shape
    cell = min(PANEL // cols, (PANEL - (times - 1) * GAP) // (rows * times))
    canvas = Image.new("RGB", (PANEL, PANEL), GROUND)
    pen = ImageDraw.Draw(canvas, "RGBA")
    for time, row, col in np.ndindex(times, rows, cols):
        x, y = col * (PANEL // cols), time * (rows * cell + GAP) + row * cell
        box = (x, y, x + PANEL // cols - 2, y + cell - 2)
        code = int(grid[time, row, col])
        pen.rectangle(box, fill=tuple(np.random.default_rng(code).integers(40, 150, 3).tolist()))
        number(pen, box, code)
    return np.asarray(canvas)


def number(pen: ImageDraw.ImageDraw, box: tuple[int, int, int, int], value: int) -> None:
    """A number in the middle of a box."""
    middle = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
    pen.text(middle, str(value), INK, ImageFont.load_default(14), anchor="mm", stroke_width=2, stroke_fill=GROUND)


def labelled(image: RGB, words: str) -> RGB:
    """An image with a line of text above it."""
    line = Image.new("RGB", (image.shape[1], LINE), GROUND)
    ImageDraw.Draw(line).text((2, LINE // 2), words, INK, ImageFont.load_default(15), anchor="lm")
    return np.concatenate([np.asarray(line), image])


def beside(images: list[RGB]) -> RGB:
    """Images of one height in a row."""
    gap = np.full((images[0].shape[0], GAP, 3), GROUND, np.uint8)
    return np.concatenate([part for image in images for part in (image, gap)][:-1], axis=1)


def resized(image: RGB, size: int) -> RGB:
    """An image as a square of that size."""
    return np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.BICUBIC))


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
