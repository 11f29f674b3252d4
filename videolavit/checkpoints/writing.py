"""Writing checkpoints: tensor by tensor, and whole folders or nothing.

`write_safetensors` streams, so a file larger than memory can be written; `new_folder` makes a folder appear complete
under its name or not at all.
"""

from __future__ import annotations

import json
import mmap
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import torch
from safetensors import SafetensorError
from torch import Tensor

from videolavit.checkpoints.files import REOPEN_AFTER_BYTES, SAFETENSORS_TYPES, StoredTensor
from videolavit.errors import CheckpointError, OutputError, VideoLaVITError
from videolavit.jobs.partial_files import followed

__all__ = ["new_folder", "write_pickled", "write_safetensors"]

_TYPE_NAMES = {dtype: name for name, dtype in SAFETENSORS_TYPES.items()}


def write_safetensors(path: Path, tensors: Mapping[str, StoredTensor]) -> None:
    """Write one file with one tensor in memory at a time."""
    header, position = {}, 0
    for key, tensor in tensors.items():
        end = position + torch.Size(tensor.shape).numel() * tensor.dtype.itemsize
        header[key] = {"dtype": _TYPE_NAMES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [position, end]}
        position = end
    text = json.dumps({"__metadata__": {"format": "pt"}, **header}).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for tensor in tensors.values():
            _write_bytes(file, tensor.load())


def write_pickled(path: Path, tensors: Mapping[str, StoredTensor]) -> None:
    """Write one `.bin` file, laid out first and then filled through a shared mapping, so memory stays flat here too."""
    empty = {key: torch.empty(tensor.shape, dtype=tensor.dtype) for key, tensor in tensors.items()}
    with torch.serialization.skip_data():
        torch.save(empty, path)
    for keys in _batches(empty):
        with torch.serialization.set_default_mmap_options(mmap.MAP_SHARED):
            on_disk = torch.load(path, weights_only=True, mmap=True)
        for key in keys:
            on_disk[key].copy_(tensors[key].load())


@contextmanager
def new_folder(target: str | Path, *, overwrite: bool = False) -> Iterator[Path]:
    """A folder to write into that becomes `target` when the block ends without an error, and vanishes otherwise.

    Raises:
        CheckpointError: `target` exists and is not empty, and `overwrite` is False.
        OutputError: the disk is full, or the folder may not be written to.
    """
    target = followed(Path(target))
    if not overwrite and (target.is_file() or (target.is_dir() and any(target.iterdir()))):
        raise CheckpointError(f"{target}: exists already and is not overwritten; choose another folder or remove it")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    except OSError as error:
        raise OutputError(f"{target}: cannot be made: {error}; choose another folder") from error
    try:
        partial.chmod(0o755)
        yield partial
        _replace_folder(partial, target)
    except VideoLaVITError:
        raise
    except (OSError, SafetensorError) as error:
        raise OutputError(f"{target}: cannot be written: {error}; is there space on the disk?") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _replace_folder(new: Path, target: Path) -> None:
    if not target.exists():
        new.rename(target)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{target.name}-old-", dir=target.parent)) / target.name
    target.rename(old)
    new.rename(target)
    shutil.rmtree(old.parent)


def _batches(tensors: Mapping[str, Tensor]) -> Iterator[list[str]]:
    """Keys in runs of at most `REOPEN_AFTER_BYTES`, or of one tensor that is larger."""
    keys, num_bytes = [], 0
    for key, tensor in tensors.items():
        if keys and num_bytes + tensor.nbytes > REOPEN_AFTER_BYTES:
            yield keys
            keys, num_bytes = [], 0
        keys.append(key)
        num_bytes += tensor.nbytes
    yield keys


def _write_bytes(file: BinaryIO, tensor: Tensor) -> None:
    if tensor.numel():
        tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tofile(file)
