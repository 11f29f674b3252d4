"""Latent shards: what the frozen parts make of clips or keyframes, computed once, so that training a UNet is all UNet.

Encoding the true and the compensated frames of a clip costs about as much as a training step on it, codes and latents
of a keyframe a part of one, and both are the same in every epoch. A shard is one safetensors file of samples that
are mirrored, and whose motion is tokenized, as the stage would have drawn them. Shards appear only when complete, so a
run that was interrupted goes on where it stopped.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from videolavit.data.made_of import claim, digest_of_shards
from videolavit.errors import ConfigError, MediaError, OutputError
from videolavit.jobs.devices import worker_device
from videolavit.jobs.partial_files import create_once, partial_path
from videolavit.jobs.shard_jobs import ALONE, JobOptions, raise_failures, run_jobs, write_alone
from videolavit.training.batches import Samples
from videolavit.training.blocks import convolve_channels_last
from videolavit.training.data_folders import folders_and_shares, named_folders
from videolavit.training.shard_folders import FolderSamples, ShardFolder

__all__ = ["LatentClips", "frozen_digest", "has_latents", "latent_samples", "prepare_latents"]

CLIPS_PER_SHARD = 128
_CLIPS_AT_ONCE = 4
_NOTE = "made_by.txt"


@runtime_checkable
class LatentStage(Protocol):
    """A stage whose module has frozen parts. It is sent to other processes, so it must be picklable."""

    def build(self) -> nn.Module:
        """The module; its `prepared(batch)` does the frozen work, and it takes the result in place of a batch."""
        ...

    def samples(self) -> Samples: ...

    def collate(self, samples: list[Any]) -> dict[str, Tensor]: ...

    def frozen(self) -> str:
        """All that decides what `prepared` makes of a sample; shards of another kind are not taken."""
        ...


class LatentClips:
    """All clips of all latent shards in a folder, by (number, draw) as `Shuffled` asks for them.

    Raises:
        ConfigError: the shards were made by other frozen parts than those of the stage.
        MediaError: the folder holds no latent shard, or one is damaged.
    """

    def __init__(self, folder: str | Path, frozen: str) -> None:
        self.folder = Path(folder)
        _claim(self.folder, frozen)
        self._shards = [_open(path) for path in _shards(self.folder)]
        if not self._shards:
            raise MediaError(f"{self.folder}: holds no latent shards; make some with `prepare latents`")
        self._ends = np.cumsum([shard.get_slice("latents").get_shape()[0] for shard in self._shards])

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __repr__(self) -> str:
        return f"LatentClips({str(self.folder)!r}, {len(self)} clips)"

    def __getitem__(self, key: tuple[int, int]) -> dict[str, Tensor]:
        index, _ = key
        number = int(np.searchsorted(self._ends, index, side="right"))
        shard, row = self._shards[number], index - int(self._ends[number - 1] if number else 0)
        return {name: shard.get_slice(name)[row] for name in shard.keys()}  # noqa: SIM118 - it is no dictionary


def latent_samples(data: str | Sequence[str], frozen: Callable[[], str], seed: int) -> Samples | None:
    """Samples of a stage's folders if they hold latent shards; None if they hold shards of videos.

    Raises:
        ConfigError: there are folders of both kinds, or latents of other frozen parts than `frozen` tells.
    """
    named = named_folders(data)
    with_latents = [has_latents(folder) for _, folder, _ in named]
    if not any(with_latents):
        return None
    if not all(with_latents):
        raise ConfigError("got folders of shards beside folders of latent shards, expected only one of both kinds")
    of_parts = frozen()
    folders = [ShardFolder(name=name, share=share, reader=folder) for name, folder, share in named]
    return FolderSamples(folders, lambda folder: LatentClips(folder, of_parts), seed)


def has_latents(folder: str | Path) -> bool:
    """True if a folder holds latent shards."""
    return bool(_shards(Path(folder)))


@dataclass(frozen=True, kw_only=True, slots=True)
class _LatentShard:
    """A latent shard, as a piece of work."""

    stage: LatentStage
    target: Path
    draws: range

    @property
    def path(self) -> Path:
        return _path(self.target, self.draws)

    def is_current(self) -> bool:
        return self.path.exists()

    def write(self) -> None:
        _write_shard(self.stage, self.target, self.draws)

    def look_into(self) -> None:
        write_alone(self)

    def forget_failures(self) -> None:
        """Nothing of it can fail alone."""


def prepare_latents(stage: LatentStage, target: Path, num_clips: int, *, jobs: JobOptions = ALONE) -> LatentClips:
    """The first `num_clips` samples of a stage through its frozen parts; shards that are there already are kept.

    Raises:
        ConfigError: the target holds shards of other frozen parts.
        JobError: some shards could not be made.
        OutputError: the target cannot be written.
    """
    try:
        target.mkdir(parents=True, exist_ok=True)
        create_once(target / _NOTE, stage.frozen())
    except OSError as error:
        raise OutputError(f"{target}: cannot be used for latent shards: {error}") from error
    _claim(target, stage.frozen())
    data = getattr(stage, "data", "")
    folders = [folder for folder, _ in folders_and_shares(data)] if data else []
    if shards := [path for folder in folders for path in Path(folder).glob("*.tar")]:
        claim(target, "data.made_of.txt", digest_of_shards(sorted(shards)))
    draws = [range(start, min(start + CLIPS_PER_SHARD, num_clips)) for start in range(0, num_clips, CLIPS_PER_SHARD)]
    raise_failures(run_jobs([_LatentShard(stage=stage, target=target, draws=part) for part in draws], jobs))
    return LatentClips(target, stage.frozen())


def frozen_digest(files: Sequence[Path], *options: Any) -> str:
    """A name for the work of frozen parts: of their weights, by what they are, and of options."""
    digest = sha256(repr(options).encode())
    for path in files:
        with path.open("rb") as file:
            digest.update(file_digest(file, "sha256").digest())
    return digest.hexdigest()


def _write_shard(stage: LatentStage, target: Path, draws: range) -> None:
    device = worker_device()
    module, path = _module(stage, device), _path(target, draws)
    samples, parts = stage.samples(), []
    with torch.random.fork_rng(), torch.inference_mode(), torch.autocast(device.partition(":")[0], torch.bfloat16):
        torch.manual_seed(draws.start)
        for start in range(draws.start, draws.stop, _CLIPS_AT_ONCE):
            chosen = range(start, min(start + _CLIPS_AT_ONCE, draws.stop))
            batch = stage.collate([samples[draw] for draw in chosen])
            made = module.prepared({name: value.to(device) for name, value in batch.items()})
            parts.append({name: _short(value) for name, value in made.items()})
    tensors = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    partial = partial_path(path)
    try:
        save_file(tensors, partial)
        os.replace(partial, path)
        for other in set(target.glob(f"latents-{draws.start:08d}-*")) - {path}:
            other.unlink()  # the last shard of a run that asked for another number of clips
    except (OSError, SafetensorError) as error:
        raise OutputError(f"{path}: cannot be written: {error}; is there space?") from error
    finally:
        partial.unlink(missing_ok=True)


def _short(value: Tensor) -> Tensor:
    return (value.half() if value.is_floating_point() else value).cpu().contiguous()


@lru_cache(maxsize=1)
def _module(stage: LatentStage, device: str) -> Any:
    module = stage.build().eval().to(device)
    convolve_channels_last(module)
    return module


def _claim(folder: Path, frozen: str) -> None:
    """Refuse shards that were made by other frozen parts: nothing else would tell them from one's own."""
    note = folder / _NOTE
    if not note.is_file() or note.read_text() != frozen:
        raise ConfigError(
            f"{folder}: its latents are not those of this autoencoder, this tokenizer and these options, or an earlier "
            "version made them; give what they were prepared with, or remove the folder and prepare them anew"
        )


def _shards(folder: Path) -> list[Path]:
    return sorted(folder.glob("latents-*.safetensors"))


def _path(folder: Path, draws: range) -> Path:
    return folder / f"latents-{draws.start:08d}-{len(draws)}.safetensors"


def _open(path: Path) -> Any:
    try:
        return safe_open(path, framework="pt")
    except (OSError, SafetensorError) as error:
        raise MediaError(f"{path}: cannot be read: {error}; remove it and prepare it again") from error
