"""Feature networks that a user names by file: never downloaded, each with SHA-256 and input recipe in the record.

    i3d        TorchScript I3D of Kinetics-400 (i3d_torchscript.pt), 400 logits of a video: FVD, KVD
    c3d        TorchScript C3D of UCF-101 (c3d_ucf101.pt), 101 logits of 16 frames: inception score
    inception  TorchScript Inception V3 (inception-2015-12-05.pt), 2 048 features of an image: FID
    clip       folder of openai/clip-vit-base-patch16 for transformers: CLIPSIM
    clip32     folder of openai/clip-vit-base-patch32, its vectors as they are: frame FID
    vgg, lpips state dict of VGG16, and of the linear heads of LPIPS 0.1: LPIPS (`lpips.py`)

Any TorchScript module with the same inputs and outputs will do, under its own hash. All compute on the device of the
model that is measured, in float32; a GPU's vectors differ from a CPU's by what is rounded.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, UInt8

from videolavit.errors import ConfigError, MediaError
from videolavit.evaluation.files import file_sha256
from videolavit.memory.image_text import ClipEncoder

__all__ = [
    "ClipImageNetwork",
    "ClipNetwork",
    "FrameNetwork",
    "Networks",
    "VideoNetwork",
    "full_precision",
    "placed",
    "resized",
]

_LEAST_FRAMES = 10
"""I3D halves time three times and pools over two frames."""


class VideoNetwork:
    """A TorchScript network of whole videos."""

    def __init__(
        self,
        path: Path,
        *,
        size: int = 224,
        num_frames: int | None = None,
        signed: bool = True,
        device: str = "cpu",
    ) -> None:
        """Take a file; it is loaded when the first video comes.

        Args:
            path: of a TorchScript module.
            size: height and width of its input.
            num_frames: take so many from the middle; None for all.
            signed: it takes values from -1 to 1, as I3D; else from 0 to 255, as C3D, which subtracts its own mean.
            device: on which it computes, by name.
        """
        self.path, self.size, self.num_frames, self.signed, self.device = path, size, num_frames, signed, device

    def recipe(self) -> dict[str, Any]:
        """File, hash and input of the network, for records."""
        return {
            "file": self.path.name,
            "sha256": file_sha256(self.path),
            "input": f"{self.size} x {self.size}, bilinear without antialias, aspect ignored, "
            + ("-1 to 1" if self.signed else "0 to 255"),
            "frames": self.num_frames or "all",
        }

    def features(self, frames: UInt8[np.ndarray, "frames height width 3"]) -> Float32[np.ndarray, "dim"]:
        """Feature vector of one video.

        Raises:
            MediaError: it has too few frames.
            ConfigError: the file or the device cannot be used.
        """
        least = self.num_frames or _LEAST_FRAMES
        if len(frames) < least:
            raise MediaError(f"got {len(frames)} frames, expected at least {least} for {self.path.name}")
        if self.num_frames is not None:
            start = (len(frames) - self.num_frames) // 2
            frames = frames[start : start + self.num_frames]
        values = resized(frames, self.size)
        values = values / 127.5 - 1 if self.signed else values
        with full_precision():
            found = self._call(placed(values.permute(1, 0, 2, 3)[None], self.device))
        return found.reshape(-1).float().cpu().numpy()

    def _call(self, video: Any) -> Any:
        """Features of (1, 3, frames, size, size); flags of the I3D file are passed where the module takes them."""
        names = [one.name for one in self._module.forward.schema.arguments]
        flags = {"rescale": False, "resize": False, "return_features": True}
        return self._module(video, **{name: flag for name, flag in flags.items() if name in names})

    @cached_property
    def _module(self) -> Any:
        return load_torchscript(self.path, self.device)


class FrameNetwork:
    """A TorchScript network of images, such as Inception V3.

    One whose call takes `return_features`, as that of inception-2015-12-05.pt, gets images as they are, since it
    resizes them itself as TensorFlow 1 does; another gets them resized.
    """

    def __init__(self, path: Path, *, size: int = 299, device: str = "cpu") -> None:
        self.path, self.size, self.device = path, size, device

    def recipe(self) -> dict[str, Any]:
        """File, hash and input of the network, for records."""
        return {
            "file": self.path.name,
            "sha256": file_sha256(self.path),
            "input": "0 to 255, as it is where the network resizes it (return_features), "
            f"else {self.size} x {self.size}, bilinear without antialias, aspect ignored",
        }

    def features(self, frames: UInt8[np.ndarray, "frames height width 3"]) -> Float32[np.ndarray, "frames dim"]:
        """One vector for each frame."""
        import torch

        resizes = any(one.name == "return_features" for one in self._module.forward.schema.arguments)
        flags = {"return_features": True} if resizes else {}
        if resizes:
            values = torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2)
        else:
            values = resized(frames, self.size).round().clamp(0, 255).to(torch.uint8)
        with full_precision():
            found = self._module(placed(values, self.device), **flags)
        return found.reshape(len(frames), -1).float().cpu().numpy()

    @cached_property
    def _module(self) -> Any:
        return load_torchscript(self.path, self.device)


class ClipNetwork(ClipEncoder):
    """A CLIP model of transformers in a folder: unit vectors of frames and of texts."""

    @property
    def sha256(self) -> str:
        """Digest of its files of weights: of those that transformers reads where there are two forms."""
        weights = sorted(self.path.glob("*.safetensors")) or sorted(self.path.glob("*.bin"))
        return hashlib.sha256("".join(file_sha256(path) for path in weights).encode()).hexdigest()

    def recipe(self) -> dict[str, Any]:
        """Folder, hash and input of the network, for records."""
        return {
            "folder": self.path.name,
            "sha256": self.sha256,
            "input": f"short side {self.size}, bicubic, centre",
            "text": "77 tokens, then cut",
        }

    def _projected(self, frames: Iterable[np.ndarray]) -> Any:
        with full_precision():
            return super()._projected(frames)


class ClipImageNetwork(ClipNetwork):
    """A CLIP model of transformers in a folder: vectors of frames of the model's own lengths, for distances.

    Published distances are of these: between unit vectors a Frechet distance is at most 4.
    """

    def features(self, frames: Iterable[UInt8[np.ndarray, "height width 3"]]) -> Float32[np.ndarray, "frames dim"]:
        """One vector for each frame."""
        return self._projected(frames).cpu().numpy()

    def recipe(self) -> dict[str, Any]:
        """Folder, hash and input of the network, for records."""
        return {**super().recipe(), "vectors": "of their own length"}


class Networks:
    """The feature networks that a user gave, by name, each opened when it is first used."""

    def __init__(self, paths: Mapping[str, Path], *, device: str = "cpu") -> None:
        """Take files by name, and the name of the device on which all of them compute.

        Raises:
            ConfigError: there is no such kind of network, or no such file.
        """
        if unknown := sorted(set(paths) - set(_KINDS) - {"vgg", "lpips"}):
            known = ", ".join([*_KINDS, "vgg", "lpips"])
            raise ConfigError(f"got the networks {', '.join(unknown)}; known are {known}")
        self.paths, self.device = dict(paths), device
        self._made = {name: _KINDS[name](path, device=device) for name, path in paths.items() if name in _KINDS}

    def __contains__(self, name: str) -> bool:
        return name in self.paths

    def __getitem__(self, name: str) -> Any:
        return self._made[name]

    def recipes(self) -> dict[str, Any]:
        """Entry of each in a record."""
        plain = {name: {"sha256": file_sha256(path)} for name, path in self.paths.items() if name not in self._made}
        return plain | {name: one.recipe() for name, one in self._made.items()}


def resized(frames: UInt8[np.ndarray, "frames height width 3"], size: int) -> Any:
    """Frames as a float tensor (frames, 3, size, size), 0 to 255, bilinear without antialias."""
    import torch
    from torch.nn import functional

    values = torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2).float()
    return functional.interpolate(values, (size, size), mode="bilinear", align_corners=False)


@contextmanager
def full_precision() -> Iterator[None]:
    """Inference in all bits of float32, of which convolutions on a GPU leave out 13 by default (TensorFloat-32)."""
    import torch

    cudnn: Any = torch.backends.cudnn
    before = cudnn.allow_tf32
    cudnn.allow_tf32 = False
    try:
        with torch.inference_mode():
            yield
    finally:
        cudnn.allow_tf32 = before


def placed(values: Any, device: str) -> Any:
    """A tensor on the device of a name.

    Raises:
        ConfigError: there is no such device, or none that works here.
    """
    from videolavit.checkpoints.placement import usable_device

    return values.to(usable_device(device))


def load_torchscript(path: Path, device: str) -> Any:
    """A TorchScript module on a device, ready to be called.

    Raises:
        ConfigError: the file is none, or there is no such device.
    """
    import warnings

    import torch

    from videolavit.checkpoints.placement import usable_device

    place = usable_device(device)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            return torch.jit.load(str(path), map_location=place).eval()
    except (RuntimeError, ValueError) as error:
        raise ConfigError(f"{path}: is no TorchScript module: {str(error).splitlines()[0]}") from error


_KINDS: Mapping[str, Any] = {
    "i3d": VideoNetwork,
    "c3d": lambda path, device: VideoNetwork(path, size=112, num_frames=16, signed=False, device=device),
    "inception": FrameNetwork,
    "clip": ClipNetwork,
    "clip32": ClipImageNetwork,
}
