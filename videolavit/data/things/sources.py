"""Images of the world of things: read once out of the packages that hold them, into one file of about 50 MB.

Nothing of them is part of this project. `build_sources` needs the npm packages of `PACKAGES` in a `node_modules`
folder, and `OpenEXR` and `resvg_py` from PyPI (the `things` extra); what is made of them needs NumPy alone.
"""

from __future__ import annotations

import base64
import io
import json
import os
import tempfile
import zipfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from videolavit.data.things.catalogue import PLACES, THINGS, Thing
from videolavit.errors import ConfigError, MediaError, OutputError

__all__ = ["CELL", "PACKAGES", "Sources", "build_sources", "load_sources", "missing_packages", "write_sources"]

CELL = 96
"""Side of a thing's cell in pixels."""
MOST_POSES = 18
_POSE_STEP = 4
"""The artwork runs at 24 frames a second, videos at 6."""

PACKAGES = {
    "@lobehub/fluent-emoji-3d": "1.1.0",
    "@lobehub/fluent-emoji-anim-1": "1.0.0",
    "@lobehub/fluent-emoji-anim-2": "1.0.0",
    "@lobehub/fluent-emoji-anim-3": "1.0.0",
    "@lobehub/fluent-emoji-anim-4": "1.0.0",
    "@lobehub/fluent-emoji-flat": "1.1.0",
    "@iconify-json/noto": "1.2.9",
    "@pmndrs/assets": "1.7.0",
    "emojibase-data": "17.0.0",
}
"""npm packages and the versions that were looked at."""

_TONE = 0.25
"""Brightness to which a panorama's geometric mean is brought before its lights are compressed."""
_BRIGHTEST = 50.0


class Sources:
    """Poses, other styles and panoramas by name, each read from the file when it is first asked for."""

    def __init__(self, file: str | Path) -> None:
        self.path = Path(file)
        self._arrays: dict[str, UInt8[np.ndarray, "..."]] = {}
        try:
            with np.load(self.path) as stored:
                self.names = frozenset(stored.files)
        except (OSError, ValueError, TypeError, AttributeError, EOFError, zipfile.BadZipFile) as error:
            raise MediaError(
                f"{self.path}: holds no images of things: {error}; make it with `videolavit prepare things-sources`"
            ) from error

    def __repr__(self) -> str:
        return f"Sources({str(self.path)!r}, {len(self.names)} arrays)"

    def poses(self, name: str, style: str = "rendered") -> UInt8[np.ndarray, "poses cell cell 4"]:
        """A thing in all its poses, colours and alpha; other styles have one pose."""
        return self._array(f"{style}/{name}")

    def panorama(self, place: str) -> UInt8[np.ndarray, "rows cols 3"]:
        """A place all round: longitudes from left to right, the zenith at the top."""
        return self._array(f"place/{place}")

    def _array(self, name: str) -> np.ndarray:
        if name not in self._arrays:
            if name not in self.names:
                raise MediaError(f"{self.path}: holds no {name}; make the file again")
            with np.load(self.path) as stored:
                self._arrays[name] = stored[name]
        return self._arrays[name]


@cache
def load_sources(file: str | Path) -> Sources:
    """The images of a file, kept for the whole process."""
    return Sources(file)


def missing_packages(node_modules: Path) -> list[str]:
    """Sources that `build_sources` does not find: npm packages as `name@version`, modules of Python by name."""
    import importlib.util

    missing = [f"{name}@{version}" for name, version in PACKAGES.items() if not (node_modules / name).is_dir()]
    return missing + [name for name in ("OpenEXR", "resvg_py") if importlib.util.find_spec(name) is None]


def build_sources(node_modules: Path, target: Path) -> Sources:
    """Read everything out of the packages; takes half a minute.

    Raises:
        ConfigError: packages are missing; the message says how to get them.
        OutputError: the file cannot be written.
    """
    if missing := missing_packages(node_modules):
        npm = [name for name in missing if "@" in name[1:]]
        pip = [name for name in missing if name not in npm]
        how = [f"`npm install --prefix {node_modules.parent} {' '.join(npm)}`"] if npm else []
        how += ["`pip install videolavit[things]`"] if pip else []
        raise ConfigError(f"{node_modules}: {len(missing)} packages are missing; try {' and '.join(how)}")
    codes, noto = _codes(node_modules), _noto_names(node_modules)
    arrays = {}
    for thing in THINGS:
        code = codes[thing.label]
        arrays[f"rendered/{thing.name}"] = _fitted(_frames(node_modules, code), thing)
        flat = (_asset(node_modules / "@lobehub/fluent-emoji-flat/assets", code, ".svg") or Path()).read_text()
        arrays[f"flat/{thing.name}"] = _fitted([_drawn(flat)], thing)
        arrays[f"cartoon/{thing.name}"] = _fitted([_drawn(_noto_svg(noto, thing.label, code))], thing)
    for place in PLACES:
        arrays[f"place/{place.name}"] = _panorama(node_modules / f"@pmndrs/assets/hdri/{place.file}.exr.js")
    write_sources(arrays, target)
    return Sources(target)


def write_sources(arrays: dict[str, UInt8[np.ndarray, "..."]], target: Path) -> None:
    """One file of named arrays; it appears when it is complete."""
    partial = target.with_suffix(".partial")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            np.savez_compressed(file, **arrays)  # pyright: ignore[reportArgumentType]
        os.replace(partial, target)
    except OSError as error:
        raise OutputError(f"{target}: cannot be written: {error}") from error
    finally:
        partial.unlink(missing_ok=True)


def _codes(node_modules: Path) -> dict[str, str]:
    entries = json.loads((node_modules / "emojibase-data/en/data.json").read_text())
    return {entry["label"]: entry["hexcode"].lower() for entry in entries}


def _asset(folder: Path, code: str, suffix: str) -> Path | None:
    """File of a code point; some packages leave out the selector of the emoji form."""
    for form in (code, code.replace("-fe0f", ""), f"{code}-fe0f"):
        if (folder / f"{form}{suffix}").is_file():
            return folder / f"{form}{suffix}"
    return None


def _frames(node_modules: Path, code: str) -> list[Image.Image]:
    """Every fourth frame of the animation, or the one image of what has none."""
    animated = (node_modules / f"@lobehub/fluent-emoji-anim-{part}/assets" for part in (1, 2, 3, 4))
    found = next((path for folder in animated if (path := _asset(folder, code, ".webp"))), None)
    found = found or _asset(node_modules / "@lobehub/fluent-emoji-3d/assets", code, ".webp")
    if found is None:
        raise MediaError(f"{node_modules}: no image of {code}; are the packages complete?")
    with Image.open(found) as image:
        count = getattr(image, "n_frames", 1)
        frames = []
        for number in range(0, min(count, MOST_POSES * _POSE_STEP), _POSE_STEP):
            image.seek(number)
            frames.append(image.convert("RGBA"))
    return frames


def _fitted(frames: list[Image.Image], thing: Thing) -> UInt8[np.ndarray, "poses cell cell 4"]:
    """All poses at one scale in a square cell: feet on its lower edge, or in its middle what stands on nothing."""
    alpha = np.max([np.asarray(frame)[..., 3] for frame in frames], axis=0) > 24
    rows, cols = np.flatnonzero(alpha.any(1)), np.flatnonzero(alpha.any(0))
    top, bottom, left, right = rows[0], rows[-1] + 1, cols[0], cols[-1] + 1
    side = max(bottom - top, right - left)
    x = (left + right - side) / 2
    y = bottom - side if thing.on_ground else (top + bottom - side) / 2
    box = (round(x), round(y), round(x) + side, round(y) + side)
    cells = [frame.crop(box).convert("RGBa").resize((CELL, CELL), Image.Resampling.LANCZOS) for frame in frames]
    return np.stack([np.asarray(cell.convert("RGBA")) for cell in cells])


def _noto_names(node_modules: Path) -> dict[str, Any]:
    folder = node_modules / "@iconify-json/noto"
    return {
        "names": json.loads((folder / "chars.json").read_text()),
        "icons": json.loads((folder / "icons.json").read_text())["icons"],
    }


def _noto_svg(noto: dict[str, Any], label: str, code: str) -> str:
    name = noto["names"].get(code.replace("-fe0f", "")) or noto["names"].get(code)
    body = noto["icons"][name or label.lower().replace(" ", "-")]["body"]
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 128 128">{body}</svg>'


def _drawn(svg: str) -> Image.Image:
    import resvg_py  # pyright: ignore[reportMissingImports]

    return Image.open(io.BytesIO(bytes(resvg_py.svg_to_bytes(svg_string=svg, width=256, height=256)))).convert("RGBA")


def _panorama(script: Path) -> UInt8[np.ndarray, "rows cols 3"]:
    """A panorama for the screen: lights are compressed, and pixels without a colour take their nearest neighbour's."""
    import OpenEXR  # pyright: ignore[reportMissingImports]
    from scipy.ndimage import distance_transform_edt

    with tempfile.NamedTemporaryFile(suffix=".exr") as file:
        file.write(base64.b64decode(script.read_text().partition("base64,")[2].partition("'")[0]))
        file.flush()
        with OpenEXR.File(file.name) as opened:
            channels = opened.channels()
            values = channels["RGB"].pixels if "RGB" in channels else np.stack([channels[c].pixels for c in "RGB"], -1)
    values = values.astype(np.float32)
    bad = ~np.isfinite(values).all(-1) | (values < 0).any(-1)
    nearest = distance_transform_edt(bad, return_distances=False, return_indices=True)
    values = values[tuple(np.asarray(nearest))].clip(0, _BRIGHTEST)
    light = values * (_TONE / np.exp(np.log(values.mean(2) + 1e-3).mean()))
    shown = (light * (1 + light / 16) / (1 + light)).clip(0, 1) ** (1 / 2.2)
    return (shown * 255).round().astype(np.uint8)
