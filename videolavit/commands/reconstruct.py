"""Take a video apart and put it together again: what keyframes and motion keep of it.

A model turns keyframes and motion into tokens, and tokens into frames again. --keyframe-from raw
and --motion-from raw go around the tokens of either, which tells how much these lose. How close
the result comes is printed as PSNR and SSIM, with the ids and bits that a second of video takes.

With --detokenizer warp each keyframe is moved along its motion, as a video codec does. That
needs no network and no model unless tokens are asked for: the result then has the video's size,
and any length. What comes into view later is missing.

The extension of the output names its format: .mp4, .gif, .webp, or .png for a sheet of all frames.

examples:
  videolavit reconstruct video.mp4 -o again.mp4
  videolavit reconstruct video.mp4 -o both.mp4 --compare --keyframe-from raw
  videolavit reconstruct video.mp4 -o fast.gif --detokenizer warp --json
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import OmitArgPrefixes, Positional

from videolavit.commands._shared.clip_options import CodingOptions, refuse_pipe
from videolavit.commands._shared.console import StageBars
from videolavit.commands._shared.generation_options import VideoOptions
from videolavit.commands._shared.model_options import ModelOptions, open_model
from videolavit.commands._shared.report import named, report
from videolavit.commands._shared.result_files import STDOUT, ResultFile
from videolavit.errors import ConfigError
from videolavit.video.io.write import write_video
from videolavit.video.visualize import side_by_side

if TYPE_CHECKING:
    from videolavit.pipeline.outputs import Reconstruction

__all__ = ["Config", "run"]

Way = Literal["tokens", "raw"]

_FOR_WARP = CodingOptions(shots="encoder")


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """Options of `videolavit reconstruct`."""

    file: Annotated[str, Positional]
    """Video to reconstruct."""
    result: Annotated[ResultFile, OmitArgPrefixes] = field(default_factory=ResultFile)
    detokenizer: Literal["diffusion", "warp"] = "diffusion"
    """Method that turns keyframes and motion into frames."""
    keyframe_from: Way | None = None
    """Decode keyframes from their tokens, or show those of the video. By default tokens, and raw with warp."""
    motion_from: Way | None = None
    """Take motion from its tokens, or as the video has it. By default tokens, and raw with warp."""
    motion_layers: int = 1
    """Layers of motion codes: further ones make motion finer, for motion tokenizers that have them."""
    compare: bool = False
    """Show the original on the left and the result on the right."""
    max_clips: int = 64
    """With a model: take so many clips of the video at most."""
    generation: Annotated[VideoOptions, OmitArgPrefixes] = field(default_factory=VideoOptions)
    model: Annotated[ModelOptions, OmitArgPrefixes] = field(default_factory=ModelOptions)
    coding: Annotated[CodingOptions, OmitArgPrefixes] = field(default_factory=lambda: _FOR_WARP)
    json: bool = False
    """Print one JSON document on stdout, and nothing else."""

    @property
    def needs_model(self) -> bool:
        """True if anything goes through tokens or a network."""
        return self.detokenizer != "warp" or "tokens" in (self.keyframe_from, self.motion_from)

    @property
    def ways(self) -> tuple[Way, Way]:
        """Of keyframes and of motion."""
        default: Way = "raw" if self.detokenizer == "warp" else "tokens"
        return self.keyframe_from or default, self.motion_from or default


def run(config: Config) -> int:
    """Reconstruct one video, report how close it came, and return the exit code."""
    refuse_pipe(config.file)
    output = config.result.path(f"{Path(config.file).stem} reconstructed", ".mp4", config.file)
    if output == STDOUT:
        raise ConfigError("what is measured is told on stdout; name a file with -o")
    if config.motion_layers != 1 and config.ways[1] == "raw":
        raise ConfigError("--motion-layers is for tokens of motion, and none are made; leave it out")
    if config.needs_model:
        _through_model(config, output)
        return 0
    if (config.generation, config.model) != (VideoOptions(), ModelOptions()):
        raise ConfigError("warp without tokens uses no model; leave out the options of models and generation")
    from videolavit.commands._shared.reconstruct_warp import warp_video

    warp_video(config.file, output, config.coding, compare=config.compare, json=config.json)
    return 0


def _through_model(config: Config, output: Path) -> None:
    if config.coding != _FOR_WARP:
        raise ConfigError("a model has its own way to find keyframes and motion; leave out those options, or use warp")
    model = open_model(config.model)
    keyframe, motion = config.ways
    with StageBars(quiet=config.json) as progress:
        result = model.reconstruct(
            config.file,
            keyframe=keyframe,
            motion=motion,
            motion_layers=config.motion_layers,
            detokenizer=config.detokenizer,
            max_clips=config.max_clips,
            progress=progress,
            **config.generation.changes(),
        )
    frames = result.frames
    if config.compare:
        frames = side_by_side([result.original, frames], ["original", f"reconstruction, {config.detokenizer}"])
    metadata = {**result.metadata, "compare": config.compare, **named(source=config.file)}
    write_video(frames, output, fps=result.fps, metadata=metadata)
    _report(result, config, output)


def _report(result: Reconstruction, config: Config, output: Path) -> None:
    facts: dict[str, Any] = {"psnr_db": result.psnr_db, "ssim": result.ssim}
    facts |= {"ids_per_second": result.ids_per_second, "bits_per_second": result.bits_per_second}
    report(result, output, json=config.json, **facts)
    if not config.json:
        print(f"  {result.psnr_db:.2f} dB PSNR, {result.ssim:.3f} SSIM against the original at the same size")
        print(f"  {result.ids_per_second:.1f} ids and {result.bits_per_second:.0f} bits for a second of video")
