"""Image-text encoders of users: images and words as vectors that are near where they fit (CLIP and its kin)."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Float16, Float32, UInt8

from videolavit.errors import ConfigError, MediaError
from videolavit.language.loading_bars import without_bars
from videolavit.memory.token_memory import TokenMemory

__all__ = ["ClipEncoder", "ImageTextScorer", "size_by_short_side"]

_IMAGES_AT_A_TIME = 32
_MEAN = np.array([0.48145466, 0.4578275, 0.40821073], np.float32)
_STD = np.array([0.26862954, 0.26130258, 0.27577711], np.float32)


class ClipEncoder:
    """A CLIP model of transformers in a folder: unit vectors of images and of texts. Nothing is downloaded."""

    def __init__(self, path: Path, *, device: str = "cpu") -> None:
        """Take a folder, and the name of the device on which it computes; it is loaded when it is first used.

        Raises:
            ConfigError: there is no model of transformers in it.
        """
        if not (path / "config.json").is_file():
            raise ConfigError(f"{path}: holds no CLIP model of transformers (config.json)")
        self.path, self.device = path, device

    @property
    def name(self) -> str:
        """Digest of its configuration and of sizes and dates of its weights: another model has another name."""
        digest = hashlib.blake2b((self.path / "config.json").read_bytes(), digest_size=6)
        for weights in sorted(self.path.glob("*.safetensors")):
            state = weights.stat()
            digest.update(f"{weights.name} {state.st_size} {state.st_mtime_ns}".encode())
        return digest.hexdigest()

    @property
    def size(self) -> int:
        """Height and width of the images that it takes."""
        return self._loaded[1].config.vision_config.image_size

    def features(self, frames: Iterable[UInt8[np.ndarray, "height width 3"]]) -> Float32[np.ndarray, "frames dim"]:
        """One unit vector for each image."""
        return _unit(self._projected(frames)).cpu().numpy()

    def text_features(self, texts: Sequence[str]) -> Float32[np.ndarray, "texts dim"]:
        """One unit vector for each text."""
        import torch

        tokenizer, model = self._loaded
        most = model.config.text_config.max_position_embeddings
        ids = tokenizer(list(texts), padding=True, truncation=True, max_length=most, return_tensors="pt")
        given = {name: ids[name].to(model.device) for name in ("input_ids", "attention_mask")}
        with torch.inference_mode():
            return _unit(model.text_projection(model.text_model(**given).pooler_output)).cpu().numpy()

    def _projected(self, frames: Iterable[np.ndarray]) -> Any:
        """Tensor of one vector for each image, of the length that the model gives it."""
        import torch

        _, model = self._loaded
        pixels = torch.from_numpy(np.stack([self._pixels(frame) for frame in frames])).to(model.device)
        with torch.inference_mode():
            return model.visual_projection(model.vision_model(pixel_values=pixels).pooler_output)

    def _pixels(self, frame: np.ndarray) -> np.ndarray:
        """Short side to the model's size by Pillow's bicubic filter, centre cropped, normalised."""
        from PIL import Image

        size = self.size
        new = size_by_short_side(frame.shape[1], frame.shape[0], size)
        image = np.asarray(Image.fromarray(frame).resize(new, Image.Resampling.BICUBIC), dtype=np.float32) / 255
        top, left = (image.shape[0] - size) // 2, (image.shape[1] - size) // 2
        crop = image[top : top + size, left : left + size]
        return ((crop - _MEAN) / _STD).transpose(2, 0, 1)

    @cached_property
    def _loaded(self) -> tuple[Any, Any]:
        from transformers import AutoTokenizer, CLIPModel

        from videolavit.checkpoints.placement import usable_device

        device = usable_device(self.device)
        with without_bars():
            model: Any = CLIPModel.from_pretrained(self.path, local_files_only=True)
        return AutoTokenizer.from_pretrained(self.path, local_files_only=True), model.to(device).eval()


def size_by_short_side(width: int, height: int, size: int) -> tuple[int, int]:
    """Width and height of an image whose short side becomes `size`; the long one rounded down, as transformers does."""
    short = min(width, height)
    return width * size // short, height * size // short


class ImageTextScorer:
    """Cosine of each keyframe and the question; vectors of keyframes are kept beside the memory."""

    def __init__(self, encoder: ClipEncoder) -> None:
        self.encoder = encoder

    def __call__(self, memory: TokenMemory, question: str) -> Float[np.ndarray, " clips"]:
        """Scores of all clips.

        Raises:
            MediaError: the memory holds no images of its keyframes.
        """
        [asked] = self.encoder.text_features([question])
        return (self._vectors(memory) @ asked).astype(np.float64)

    def _vectors(self, memory: TokenMemory) -> Float32[np.ndarray, "clips dim"]:
        """A vector for each clip, rounded as it is kept; one that goes on from another keyframe has that one's."""
        path = memory.folder / f"encoder-{self.encoder.name}.npy"
        known = np.load(path) if path.exists() else np.zeros((0, 0), np.float16)
        rows = list(known[: len(memory)])
        for start in range(len(rows), len(memory), _IMAGES_AT_A_TIME):
            images = [_image(memory, number) for number in range(start, min(start + _IMAGES_AT_A_TIME, len(memory)))]
            own = [image for image in images if image is not None]
            seen = iter(self.encoder.features(own).astype(np.float16) if own else ())
            for image in images:
                rows.append(rows[-1] if image is None else next(seen))
        if len(rows) > len(known):
            _keep(path, np.stack(rows))
        return np.stack(rows).astype(np.float32)


def _image(memory: TokenMemory, number: int) -> UInt8[np.ndarray, "height width 3"] | None:
    """The keyframe of a clip; None where it has none of its own."""
    from PIL import Image

    if not len(memory.visual_ids(number)):
        return None
    jpeg = memory.jpeg(number)
    if not jpeg:
        raise MediaError(
            f"{memory.folder}: holds no images of its keyframes; read the video again with them, or score by words"
        )
    return np.asarray(Image.open(io.BytesIO(jpeg)).convert("RGB"))


def _keep(path: Path, vectors: Float16[np.ndarray, "clips dim"]) -> None:
    """Write beside and rename; where the folder cannot be written, the next question computes them again."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.npy")
    try:
        np.save(unfinished, vectors)
        unfinished.replace(path)
    except OSError:
        unfinished.unlink(missing_ok=True)


def _unit(vectors: Any) -> Any:
    return vectors / vectors.norm(dim=-1, keepdim=True)
