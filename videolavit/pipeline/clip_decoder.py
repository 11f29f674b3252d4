"""Pixels of clips: first the keyframe, then the frames that follow it (paper, section 3.2; reference sections 5 and 6).

A clip is decoded from an `EncodedClip`: codes that were generated or tokenized, or in place of either an image or a
field of motion itself. Frames come from the video detokenizer, or at once from moving the keyframe along ("warp").
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from videolavit.checkpoints.model_components import Components
from videolavit.clip import MotionField
from videolavit.clip_tokens import ClipTokens
from videolavit.errors import ConfigError
from videolavit.generation_options import GenerationOptions
from videolavit.progress import Progress
from videolavit.video.adaptive import next_image
from videolavit.video.io.pixels import resize_image
from videolavit.video.motion.warp import warp

__all__ = ["ClipDecoder", "Detokenizer", "EncodedClip", "as_field", "check_size", "generated_size", "size_for_shape"]

Detokenizer = Literal["diffusion", "warp"]
RGB = UInt8[np.ndarray, "_ _ 3"]
Motion = Int[Tensor, "*layers _"] | MotionField


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class EncodedClip:
    """A clip to decode: keyframe and motion, each as codes or as it is."""

    keyframe: Int[Tensor, "n"] | RGB | None
    """Codes, or an image; None for the last frame of the clip before, which is then not shown again."""
    motion: Motion | None
    """Codes, of one layer or (layers, codes), or a field; None for an image that does not move."""
    num_frames: int | None = None
    """Frames to show; None for all. Of a clip that is shown for longer than it has frames the last one stays."""
    keeps_time: bool = False
    """Without a keyframe: True where the clip begins one tick behind the last frame, as in a video that was taken apart
    tick by tick, so that all of its frames are shown."""

    @classmethod
    def of(cls, clip: ClipTokens) -> EncodedClip:
        """A clip of codes alone."""
        keeps_time = clip.keyframe is None and clip.num_frames is not None
        return cls(keyframe=clip.keyframe, motion=clip.all_motion, num_frames=clip.num_frames, keeps_time=keeps_time)


class ClipDecoder:
    """Keyframes and frames of several samples at one size.

    `options` are completed ones, one for each sample; they differ in seeds and negative prompts alone.
    """

    def __init__(
        self, model: Components, options: Sequence[GenerationOptions], progress: Progress, size: tuple[int, int]
    ) -> None:
        self.model, self.samples, self.progress, self.size = model, tuple(options), progress, size
        self.options = self.samples[0]

    def clip(
        self, clip: EncodedClip, index: int, detokenizer: Detokenizer, last_frame: RGB | None = None
    ) -> UInt8[np.ndarray, "_ _ _ 3"]:
        """Frames of the one sample's clip, decoded for itself, or going on from `last_frame`, that of the clip before
        or, where the clip keeps time, what `next_image` makes of it."""
        keyframe = last_frame if clip.keyframe is None else clip.keyframe
        assert keyframe is not None, "the first clip has a keyframe"
        image = self.keyframes([keyframe], index)[0] if isinstance(keyframe, Tensor) else keyframe
        image = resize_image(image, *self.size)
        frames = image[None] if clip.motion is None else self.frames([image], [clip.motion], index, detokenizer)[0]
        if clip.num_frames is not None:
            frames = frames[np.minimum(np.arange(clip.num_frames), len(frames) - 1)]
        return frames[1:] if clip.keyframe is None and not clip.keeps_time else frames

    def next_image(self, before: EncodedClip, last_frame: RGB) -> RGB:
        """The image one tick behind the last frame of a clip, where its motion leads."""
        if before.motion is None:
            return last_frame
        field = as_field(self.model, before.motion, self.size)
        shown = field.num_frames if before.num_frames is None else before.num_frames
        return next_image(last_frame, field, shown)

    @torch.no_grad()
    def keyframes(
        self, codes: Sequence[Int[Tensor, "_"]], index: int = 0, last_frames: Sequence[RGB] | None = None
    ) -> list[RGB]:
        """Images of codes, one for each sample; those that go on from a last frame start as `continuation` says."""
        images = self.drawn(codes, index, last_frames)
        if self.model.repainted is not None:
            pixels = rearrange(images, "b h w c -> b c h w").to(self.model.components.device)
            images = rearrange(self.model.repainted(2 * pixels - 1) / 2 + 0.5, "b c h w -> b h w c")
        return list(_to_uint8(images).cpu().numpy())

    @torch.no_grad()
    def drawn(
        self, codes: Sequence[Int[Tensor, "_"]], index: int = 0, last_frames: Sequence[RGB] | None = None
    ) -> Float[Tensor, "batch height width 3"]:
        """Images as the keyframe detokenizer draws them, 0 to 1, before a model that can do so paints things anew."""
        options, device = self.options, self.model.components.device
        with self.progress.step("load"):
            detokenizer = self.model.keyframe_detokenizer
        codebook = self.model.components.quantizer("visual_tokenizer")
        vectors = [codebook.vectors(row.to(device)) for row in codes]
        with self.progress.step("keyframe", _number(options.keyframe_num_inference_steps)) as report:
            return detokenizer.generate(
                vectors,
                height=self.size[0],
                width=self.size[1],
                steps=_number(options.keyframe_num_inference_steps),
                guidance=_number(options.keyframe_guidance_scale),
                generators=self._generators(f"keyframe {index}"),
                start=None if last_frames is None else self._start(last_frames, vectors, index),
                on_step=self._on_step(report, "keyframe", index),
            )

    def keyframes_or_last(
        self, codes: Sequence[Int[Tensor, "_"] | None], index: int, last_frames: Sequence[RGB] | None
    ) -> list[RGB]:
        """Images of codes as `keyframes` makes them; the last frame itself for samples that have none."""
        written = {number: row for number, row in enumerate(codes) if row is not None}
        if len(written) == len(codes):
            return self.keyframes(list(written.values()), index, last_frames)
        assert last_frames is not None, "the first clip has a keyframe"
        images = {number: resize_image(frame, *self.size) for number, frame in enumerate(last_frames)}
        if written:
            shown = ClipDecoder(self.model, [self.samples[number] for number in written], self.progress, self.size)
            before = [last_frames[number] for number in written]
            images |= zip(written, shown.keyframes(list(written.values()), index, before), strict=True)
        return list(images.values())

    @torch.no_grad()
    def frames(
        self, images: Sequence[RGB], motions: Sequence[Motion], index: int = 0, detokenizer: Detokenizer = "diffusion"
    ) -> list[UInt8[np.ndarray, "_ _ _ 3"]]:
        """Keyframes of this size, each with what follows it."""
        if detokenizer == "warp":
            return [self.warped(image, motion) for image, motion in zip(images, motions, strict=True)]
        options = self.options.frames
        if options.num_inference_steps == 0:
            return [self.preview(image, motion) for image, motion in zip(images, motions, strict=True)]
        with self.progress.step("load"):
            video_detokenizer = self.model.video_detokenizer
        with self.progress.step("frames", options.num_inference_steps) as report:
            frames = video_detokenizer.generate(
                np.stack(images),
                torch.cat([self._normalised(motion) for motion in motions]),
                options=options,
                generators=self._generators(f"frames {index}"),
                on_step=self._on_step(report, "frames", index),
            )
            return list(frames.cpu().numpy())

    @torch.no_grad()
    def preview(self, image: RGB, motion: Motion) -> UInt8[np.ndarray, "_ _ _ 3"]:
        """About what `frames` will be, at once: `warped`, or the base to which a residual detokenizer adds.

        No part of that detokenizer is loaded for it.
        """
        preview_frames = self.model.preview_frames
        if preview_frames is None:
            return self.warped(image, motion)
        with self.progress.step("load"):
            tokenizer = self.model.motion_tokenizer
        with self.progress.step("warp"):
            grid = tokenizer.config.rows, tokenizer.config.cols
            return preview_frames(image, self._on_grid(motion, grid))

    @torch.no_grad()
    def warped(self, image: RGB, motion: Motion) -> UInt8[np.ndarray, "_ _ _ 3"]:
        """The keyframe moved along its motion, without a network but the motion tokenizer's decoder."""
        with self.progress.step("load"):
            _ = self.model.motion_tokenizer if isinstance(motion, Tensor) else None
        with self.progress.step("warp"):
            return warp(image, as_field(self.model, motion, self.size))

    def _on_step(
        self, report: Callable[[int], None], stage: str, clip: int
    ) -> Callable[[int, int, Tensor, Tensor], Any]:
        """Report each denoising step, and show its latents to the callback of the options."""
        callback = self.options.callback_on_step_end

        def on_step(done: int, total: int, latents: Tensor, timestep: Tensor) -> Any:
            report(done)
            if callback is None:
                return None
            shown = {"latents": latents, "stage": stage, "clip": clip}
            returned = callback(self.model, done - 1, timestep, shown)
            return _latents_of(returned)

        return on_step

    def _generators(self, name: str) -> list[torch.Generator]:
        return [generator for options in self.samples for generator in options.generators(name)]

    def _normalised(self, motion: Motion) -> Tensor:
        """Motion as the video detokenizer takes it, of the latents' size."""
        factor = self.model.vae_factor("video_vae")
        return self._on_grid(motion, (self.size[0] // factor, self.size[1] // factor))

    def _on_grid(self, motion: Motion, grid: tuple[int, int]) -> Tensor:
        """Normalised motion of so many (rows, cols)."""
        if isinstance(motion, MotionField):
            return torch.from_numpy(motion.for_detokenizer(*grid))[None].to(self.model.components.device)
        return self.model.motion_tokenizer.condition(motion[None].to(self.model.components.device), *grid)

    def _start(self, last_frames: Sequence[RGB], vectors: list[Tensor], index: int) -> Any:
        """Latents of last frames for the next keyframes to start from."""
        from videolavit.detokenizers.continuation import inversion_latents, restart_latents

        options, detokenizer = self.options, self.model.keyframe_detokenizer
        frames = np.stack([resize_image(frame, *self.size) for frame in last_frames])
        settings: dict[str, Any] = {"steps": options.keyframe_num_inference_steps}
        if options.inverse_rate is not None:
            settings["inverse_rate"] = options.inverse_rate
        if options.continuation == "restart":
            return restart_latents(detokenizer, frames, generators=self._generators(f"restart {index}"), **settings)
        if options.continuation == "inversion":
            return inversion_latents(detokenizer, frames, detokenizer.condition(vectors), **settings)
        return None


def as_field(model: Components, motion: Motion, size: tuple[int, int]) -> MotionField:
    """Motion as a field, decoded where it is codes, in pixels of an image of that (height, width)."""
    if isinstance(motion, MotionField):
        return motion
    with torch.no_grad():
        values = model.motion_tokenizer.decode(motion[None].to(model.components.device))[0].cpu().numpy()
    return MotionField.from_tokenizer_units(values, height=size[0], width=size[1])


def generated_size(model: Components, options: GenerationOptions, *, moving: bool) -> tuple[int, int]:
    """(height, width) of what is generated: what the options say, or else what the UNet was made for.

    Raises:
        ConfigError: neither says it, or the VAE does not divide that size.
    """
    if options.height is not None and options.width is not None:
        check_size(model, (options.height, options.width), moving=moving)
        return options.height, options.width
    unet = "video_unet" if moving else "keyframe_unet"
    size = model.components.config(unet).get("sample_size") or model.components.config("keyframe_unet").get(
        "sample_size"
    )
    if size is None:
        raise ConfigError("the model does not say what size it was made for; give height= and width=")
    rows, cols = (size, size) if isinstance(size, int) else size
    factor = model.vae_factor("video_vae" if moving else "keyframe_vae")
    return rows * factor, cols * factor


def check_size(model: Components, size: tuple[int, int], *, moving: bool) -> None:
    """Raise ConfigError for a size that the autoencoders cannot make, before anything is computed."""
    factors = [model.vae_factor("keyframe_vae"), *([model.vae_factor("video_vae")] if moving else [])]
    step = math.lcm(*factors)
    if any(side % step for side in size):
        nearest = [max(step, round(side / step) * step) for side in size]
        raise ConfigError(
            f"got height={size[0]} and width={size[1]}, expected multiples of {step}; "
            f"try height={nearest[0]}, width={nearest[1]}"
        )


def size_for_shape(model: Components, image: RGB, options: GenerationOptions) -> tuple[int, int]:
    """(height, width) with about the shape of an image and about as many pixels as the model generates otherwise."""
    height, width = generated_size(model, options, moving=True)
    blocks = model.components.config("video_unet")["block_out_channels"]
    step = model.vae_factor("video_vae") * 2 ** (len(blocks) - 1)
    root = math.sqrt(height * width * image.shape[0] / image.shape[1])
    return max(step, step * round(root / step)), max(step, step * round(height * width / root / step))


def _latents_of(returned: Any) -> Any:
    """Latents in what a callback returned, if it has any.

    Raises:
        ConfigError: it is neither None nor a dictionary with "latents" and "interrupt".
    """
    from videolavit.detokenizers.denoise import StopDenoising

    if returned is None:
        return None
    if not isinstance(returned, Mapping):
        raise ConfigError(f"callback_on_step_end returned a {type(returned).__name__}, expected a dictionary or None")
    if returned.get("interrupt"):
        raise StopDenoising(returned.get("latents"))
    return returned.get("latents")


def _to_uint8(images: Tensor) -> Tensor:
    from videolavit.detokenizers.vae import to_uint8

    return to_uint8(images)


def _number(value: Any) -> Any:
    assert value is not None, "options are completed by the model's settings before anything is generated"
    return value
