"""Pixels of clips: first the keyframe, then the frames that follow it (paper, section 3.2; reference sections 5 and 6).

What a clip is drawn from is a `EncodedClip`: codes that were written or tokenized, or in place of either an image or a
field of motion itself. Frames come from the video detokenizer, or at once from moving the keyframe along ("warp").
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Int, UInt8
from torch import Tensor

from videolavit.clip import MotionField
from videolavit.detokenizers.continuation import inversion_latents, restart_latents
from videolavit.detokenizers.keyframe_detokenizer import KeyframeDetokenizer, KeyframeStart
from videolavit.detokenizers.vae import signed_images, to_uint8, vae_factor
from videolavit.detokenizers.video_detokenizer import to_frames
from videolavit.errors import ConfigError
from videolavit.pipeline.model_components import Components
from videolavit.pipeline.options import GenerationOptions, resize_image
from videolavit.pipeline.outputs import ClipTokens
from videolavit.pipeline.progress import Work
from videolavit.tiny.compensation import compensate
from videolavit.video.motion.warp import warp

__all__ = ["ClipDecoder", "Detokenizer", "EncodedClip", "as_field", "generated_size", "size_for_shape"]

Detokenizer = Literal["diffusion", "warp"]
RGB = UInt8[np.ndarray, "_ _ 3"]
Motion = Int[Tensor, "_"] | MotionField


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class EncodedClip:
    """What one clip is drawn from."""

    keyframe: Int[Tensor, "n"] | RGB | None
    """Codes, or an image; None for the last frame of the clip before, which is then not shown again."""
    motion: Motion | None
    """Codes, or a field; None for an image that does not move."""
    num_frames: int | None = None
    """Frames to show; None for all. Of a clip that is shown for longer than it has frames the last one stays."""

    @classmethod
    def of(cls, clip: ClipTokens) -> EncodedClip:
        """Drawn from codes alone."""
        return cls(keyframe=clip.keyframe, motion=clip.motion, num_frames=clip.num_frames)


class ClipDecoder:
    """Draws the clips of one video at one size."""

    def __init__(self, model: Components, options: GenerationOptions, work: Work, size: tuple[int, int]) -> None:
        self.model, self.options, self.work, self.size = model, options, work, size

    def sketch(
        self, sketch: EncodedClip, index: int, detokenizer: Detokenizer, before: RGB | None = None
    ) -> UInt8[np.ndarray, "_ _ _ 3"]:
        """Frames of a clip that is drawn for itself, or goes on from the frame before."""
        keyframe = before if sketch.keyframe is None else sketch.keyframe
        assert keyframe is not None, "the first sketch has a keyframe"
        image = self.keyframe(keyframe, index) if isinstance(keyframe, Tensor) else keyframe
        image = resize_image(image, *self.size)
        frames = image[None] if sketch.motion is None else self.frames(image, sketch.motion, index, detokenizer)
        if sketch.num_frames is not None:
            frames = frames[np.minimum(np.arange(sketch.num_frames), len(frames) - 1)]
        return frames if sketch.keyframe is not None else frames[1:]

    @torch.no_grad()
    def keyframe(self, codes: Int[Tensor, "n"], index: int = 0, last_frame: RGB | None = None) -> RGB:
        """The image of codes; one that goes on from a last frame starts from that, as `options.continuation` says."""
        options = self.options
        with self.work.step("load"):
            detokenizer = self.model.keyframe_detokenizer
        vectors = [self.model.parts.quantizer("visual_tokenizer").vectors(codes.to(self.model.parts.device))]
        with self.work.step("keyframe", _number(options.keyframe_num_inference_steps)) as report:
            images = detokenizer.draw(
                vectors,
                height=self.size[0],
                width=self.size[1],
                steps=_number(options.keyframe_num_inference_steps),
                guidance=_number(options.keyframe_guidance_scale),
                generators=options.generators(f"keyframe {index}"),
                start=None if last_frame is None else self._start(detokenizer, last_frame, vectors, index),
                on_step=_on_step(report),
            )
            return to_uint8(images)[0].cpu().numpy()

    @torch.no_grad()
    def frames(
        self, image: RGB, motion: Motion, index: int = 0, detokenizer: Detokenizer = "diffusion"
    ) -> UInt8[np.ndarray, "_ _ _ 3"]:
        """A keyframe of this size, and what follows it."""
        if detokenizer == "warp":
            return self.warped(image, motion)
        options = self.options.frames
        with self.work.step("load"):
            drawer = self.model.video_detokenizer
        with self.work.step("frames", options.num_inference_steps) as report:
            frames = drawer.draw(
                image[None],
                self._normalised(motion),
                options=options,
                generators=self.options.generators(f"frames {index}"),
                on_step=_on_step(report),
            )
            return frames[0].cpu().numpy()

    @torch.no_grad()
    def preview(self, image: RGB, motion: Motion) -> UInt8[np.ndarray, "_ _ _ 3"]:
        """About what `frames` will be, at once: `warped`, or what a video detokenizer of residuals adds them to.

        No part of that detokenizer is loaded for it.
        """
        if not self.model.parts.config("video_unet").get("residual_scale"):
            return self.warped(image, motion)
        with self.work.step("load"):
            tokenizer = self.model.motion_tokenizer
        with self.work.step("warp"):
            grid, device = (tokenizer.config.rows, tokenizer.config.cols), self.model.parts.device
            field = self._on_grid(motion, grid)
            frames = compensate(signed_images(image[None], device), field).frames[0]
            return to_frames(frames).cpu().numpy()

    @torch.no_grad()
    def warped(self, image: RGB, motion: Motion) -> UInt8[np.ndarray, "_ _ _ 3"]:
        """The keyframe moved along its motion, without a network but the motion tokenizer's decoder."""
        with self.work.step("load"):
            _ = self.model.motion_tokenizer if isinstance(motion, Tensor) else None
        with self.work.step("warp"):
            return warp(image, as_field(self.model, motion, self.size))

    def _normalised(self, motion: Motion) -> Tensor:
        """Motion as the video detokenizer takes it, of the latents' size."""
        factor = vae_factor(self.model.video_detokenizer.vae)
        return self._on_grid(motion, (self.size[0] // factor, self.size[1] // factor))

    def _on_grid(self, motion: Motion, grid: tuple[int, int]) -> Tensor:
        """Normalised motion of so many (rows, cols)."""
        if isinstance(motion, MotionField):
            return torch.from_numpy(motion.for_detokenizer(*grid))[None].to(self.model.parts.device)
        return self.model.motion_tokenizer.condition(motion[None].to(self.model.parts.device), *grid)

    def _start(
        self, detokenizer: KeyframeDetokenizer, last_frame: RGB, vectors: list[Tensor], index: int
    ) -> KeyframeStart | None:
        """Latents of the last frame for the next keyframe to start from."""
        options, frames = self.options, resize_image(last_frame, *self.size)[None]
        settings: dict[str, Any] = {"steps": options.keyframe_num_inference_steps}
        if options.inverse_rate is not None:
            settings["inverse_rate"] = options.inverse_rate
        if options.continuation == "restart":
            return restart_latents(detokenizer, frames, generators=options.generators(f"restart {index}"), **settings)
        if options.continuation == "inversion":
            return inversion_latents(detokenizer, frames, detokenizer.condition(vectors), **settings)
        return None


def as_field(model: Components, motion: Motion, size: tuple[int, int]) -> MotionField:
    """Motion as a field, decoded where it is codes, in pixels of an image of that (height, width)."""
    if isinstance(motion, MotionField):
        return motion
    with torch.no_grad():
        values = model.motion_tokenizer.decode(motion[None].to(model.parts.device))[0].cpu().numpy()
    return MotionField.from_tokenizer_units(values, height=size[0], width=size[1])


def generated_size(model: Components, options: GenerationOptions, *, moving: bool) -> tuple[int, int]:
    """(height, width) of what is drawn: what the options say, or else what the UNet was made for.

    Raises:
        ConfigError: neither says it.
    """
    if options.height is not None and options.width is not None:
        return options.height, options.width
    detokenizer = model.video_detokenizer if moving else model.keyframe_detokenizer
    size = detokenizer.unet.config["sample_size"] or model.keyframe_detokenizer.unet.config["sample_size"]
    if size is None:
        raise ConfigError("the model does not say what size it was made for; give height= and width=")
    rows, cols = (size, size) if isinstance(size, int) else size
    factor = vae_factor(detokenizer.vae)
    return rows * factor, cols * factor


def size_for_shape(model: Components, image: RGB, options: GenerationOptions) -> tuple[int, int]:
    """(height, width) with about the shape of an image and about as many pixels as the model draws otherwise."""
    height, width = generated_size(model, options, moving=True)
    step = vae_factor(model.video_detokenizer.vae) * 2 ** (
        len(model.video_detokenizer.unet.config["block_out_channels"]) - 1
    )
    root = math.sqrt(height * width * image.shape[0] / image.shape[1])
    return max(step, step * round(root / step)), max(step, step * round(height * width / root / step))


def _on_step(report: Callable[[int], None]) -> Callable[[int, int, Tensor], None]:
    return lambda done, total, latents: report(done)


def _number(value: Any) -> Any:
    assert value is not None, "options are completed by the model's settings before anything is drawn"
    return value
