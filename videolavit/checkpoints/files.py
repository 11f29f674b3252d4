"""Tensor files, read lazily and safely: `.safetensors`, `.bin` / `.pt`, and folders of shards with an index.

`open_tensors` maps each key to a `StoredTensor`: shape and type at once, the values only when asked for, memory-mapped.
Pickles go through PyTorch's restricted unpickler, so a file that would run code is refused. Which file holds what, and
what its keys are called here, is the business of `released.py` and `native.py`.
"""

from __future__ import annotations

import json
import pickle
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from videolavit.errors import CheckpointError

__all__ = ["SAFETENSORS_TYPES", "SUFFIXES", "StoredTensor", "find_tensors", "open_tensors", "rename", "some", "stored"]

SUFFIXES = (".safetensors", ".safetensors.index.json", ".bin", ".bin.index.json", ".pt")
"""Endings of the files that `open_tensors` takes, the preferred ones first."""

VARIANT_SUFFIXES = tuple(
    suffix
    for variant in ("fp16", "bf16")
    for suffix in (
        f".{variant}.safetensors",
        f".safetensors.index.{variant}.json",
        f".{variant}.safetensors.index.json",
        f".{variant}.bin",
        f".bin.index.{variant}.json",
    )
)
"""The same as diffusers names them where a repository has several types of numbers; taken where there is no other."""

_INDEX = re.compile(r"\.index(\.\w+)?\.json$")

REOPEN_AFTER_BYTES = 64 * 2**20
"""A mapping is opened anew after so many bytes, else every page read while converting would stay in memory."""

SAFETENSORS_TYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """A tensor that is known but not read yet."""

    key: str
    """Its name where it is stored, for messages."""
    where: str
    """The file, or a description of what else holds it."""
    shape: tuple[int, ...]
    dtype: torch.dtype
    load: Callable[[], Tensor]
    """Reads the values; memory-mapped, so a tensor that is used as it is stored takes no memory of its own."""


def open_tensors(path: str | Path) -> dict[str, StoredTensor]:
    """All tensors of a file, or of the shards that an index file names.

    Raises:
        CheckpointError: the file is missing, truncated, no tensor file, or a pickle that holds more than tensors.
    """
    return _without_wrappers(_open_raw(Path(path)))


def _without_wrappers(tensors: dict[str, StoredTensor]) -> dict[str, StoredTensor]:
    """Keys without what `torch.compile` and DistributedDataParallel put before them when a state dict is saved."""
    tensors = rename(tensors, lambda key: ".".join(word for word in key.split(".") if word != "_orig_mod"))
    while tensors and all(key.startswith("module.") for key in tensors):
        tensors = rename(tensors, lambda key: key.removeprefix("module."))
    return tensors


def _open_raw(path: Path) -> dict[str, StoredTensor]:
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file; check the folder, or download the file again")
    if _INDEX.search(path.name):
        return _open_shards(path)
    file = _SafetensorsFile(path) if path.suffix == ".safetensors" else _PickledFile(path)
    return {
        key: StoredTensor(key=key, where=str(path), shape=shape, dtype=dtype, load=lambda key=key: file.tensor(key))
        for key, (shape, dtype) in file.entries.items()
    }


def find_tensors(folder: str | Path, *stems: str) -> Path | None:
    """The first file of `folder` with the tensors of one of `stems` (names without ending), None if there is none."""
    candidates = (Path(folder) / (stem + suffix) for stem in stems for suffix in SUFFIXES + VARIANT_SUFFIXES)
    return next((path for path in candidates if path.is_file()), None)


def stored(tensors: Mapping[str, Tensor], where: str) -> dict[str, StoredTensor]:
    """Tensors in memory in the form of tensors in a file."""
    return {
        key: StoredTensor(
            key=key, where=where, shape=tuple(value.shape), dtype=value.dtype, load=lambda value=value: value
        )
        for key, value in tensors.items()
    }


def rename(tensors: Mapping[str, StoredTensor], name: Callable[[str], str]) -> dict[str, StoredTensor]:
    """The same tensors under `name(key)`; each still knows what it is called where it is stored.

    Raises:
        CheckpointError: two keys get the same name.
    """
    renamed: dict[str, StoredTensor] = {}
    for key, tensor in tensors.items():
        other = renamed.setdefault(name(key), tensor)
        if other is not tensor:
            raise CheckpointError(f"{tensor.where}: keys {other.key!r} and {tensor.key!r} both mean {name(key)!r}")
    return renamed


def _open_shards(index: Path) -> dict[str, StoredTensor]:
    weight_map = _weight_map(index)
    shards = {name: _open_raw(_shard_path(index, name)) for name in sorted(set(weight_map.values()))}
    for name, tensors in shards.items():
        promised = {key for key, file in weight_map.items() if file == name}
        if promised != set(tensors):
            missing, extra = sorted(promised - set(tensors)), sorted(set(tensors) - promised)
            raise CheckpointError(
                f"{index}: does not match its shard {name}: {some(missing)} missing from the shard, {some(extra)} not "
                "in the index; index and shards are from different saves, download the folder again"
            )
    return {key: shards[name][key] for key, name in weight_map.items()}


def _weight_map(index: Path) -> dict[str, str]:
    try:
        weight_map = json.loads(index.read_text())["weight_map"]
        if not weight_map or not all(isinstance(name, str) for name in weight_map.values()):
            raise TypeError("weight_map does not map keys to file names")
    except (UnicodeDecodeError, json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"{index}: not an index of shards ({type(error).__name__}: {error}); expected JSON with a 'weight_map' of "
            "key to file name; download it again"
        ) from error
    return weight_map


def _shard_path(index: Path, name: str) -> Path:
    path = index.parent / name
    if Path(name).name != name or name in ("", ".", ".."):
        raise CheckpointError(f"{index}: names the shard {name!r}, which is not a plain file name beside the index")
    if not path.is_file():
        raise CheckpointError(f"{index}: names the shard {name}, which is not there; download the folder again")
    return path


class _SafetensorsFile:
    """Keys, shapes and types of a `.safetensors` file; tensors are views of a private mapping."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._read_bytes = 0
        self._file = self._open()
        self.entries = {key: self._entry(key) for key in self._file.keys()}  # noqa: SIM118 - not a mapping

    def tensor(self, key: str) -> Tensor:
        if self._read_bytes > REOPEN_AFTER_BYTES:
            self._file, self._read_bytes = self._open(), 0
        tensor = self._file.get_tensor(key)
        self._read_bytes += tensor.nbytes
        return tensor

    def _entry(self, key: str) -> tuple[tuple[int, ...], torch.dtype]:
        part = self._file.get_slice(key)
        if part.get_dtype() not in SAFETENSORS_TYPES:
            raise CheckpointError(f"{self.path}: key {key!r} has the unknown type {part.get_dtype()}")
        return tuple(part.get_shape()), SAFETENSORS_TYPES[part.get_dtype()]

    def _open(self) -> Any:
        try:
            return safe_open(self.path, framework="pt", device="cpu")
        except (SafetensorError, OSError) as error:
            raise CheckpointError(f"{self.path}: {_diagnosis(self.path, 'a safetensors file')} ({error})") from error


class _PickledFile:
    """Keys, shapes and types of a `.bin` or `.pt` file; tensors are views of a private mapping."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._can_map = _head(path).startswith(b"PK")
        self._read_bytes = 0
        self._tensors = self._open()
        self.entries = {key: (tuple(value.shape), value.dtype) for key, value in self._tensors.items()}

    def tensor(self, key: str) -> Tensor:
        if self._can_map and self._read_bytes > REOPEN_AFTER_BYTES:
            self._tensors, self._read_bytes = self._open(), 0
        tensor = self._tensors[key].detach()
        self._read_bytes += tensor.nbytes
        return tensor

    def _open(self) -> dict[str, Tensor]:
        if not self._can_map and not _head(self.path).startswith(b"\x80"):
            raise CheckpointError(f"{self.path}: {_diagnosis(self.path, 'a PyTorch file')}")
        try:
            # Files from before PyTorch 1.6 are no archives and cannot be mapped: they are read whole, as safely.
            content = torch.load(self.path, map_location="cpu", weights_only=True, mmap=self._can_map)
        except pickle.UnpicklingError as error:
            raise CheckpointError(
                f"{self.path}: refused, this pickle does more than rebuild tensors and could run code when loaded "
                f"({_first_sentence(error)}); take a .safetensors file, or save a plain dict of tensors"
            ) from error
        except (RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
            raise CheckpointError(
                f"{self.path}: {_diagnosis(self.path, 'a PyTorch file')} ({_first_sentence(error)})"
            ) from error
        return self._checked(content)

    def _checked(self, content: object) -> dict[str, Tensor]:
        if not isinstance(content, dict):
            raise CheckpointError(f"{self.path}: holds a {type(content).__name__}, expected a dict of key to tensor")
        other = next((key for key, value in content.items() if not isinstance(value, Tensor)), None)
        if other is not None:
            raise CheckpointError(
                f"{self.path}: key {other!r} is a {type(content[other]).__name__}, expected a tensor; if the state "
                "dict lies inside, save that alone"
            )
        return content


def _diagnosis(path: Path, expected: str) -> str:
    """Guess what a file is that cannot be read, from its first bytes, and what to try."""
    head = _head(path)
    if not head:
        return f"is empty, expected {expected}; download it again"
    if head.startswith(b"version https://git-lfs"):
        return f"is a Git LFS pointer, not {expected}; fetch the file itself with `git lfs pull` or from the hub"
    if head.lstrip()[:1] == b"<":
        return f"is a web page, not {expected}; the download failed (a login page?), fetch it again"
    if head.startswith((b"PK", b"\x80")) or (path.suffix == ".safetensors" and head[8:9] == b"{"):
        return (
            f"is a truncated or damaged {expected.split(' ', 1)[1]} of {path.stat().st_size} bytes; download it again"
        )
    return f"starts with {head[:8]!r} and is not {expected}; check the path, or download it again"


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(64)


def _first_sentence(error: Exception) -> str:
    """The line of a library's message that says what happened, without its advice to switch the safety off."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = [line for line in lines if line.startswith(("Unsupported", "WeightsUnpickler error: U"))]
    return (telling or [line.split(". ")[0] for line in lines] or [type(error).__name__])[0][:200]


def some(keys: list[str]) -> str:
    """The first three of a list of keys, for messages."""
    if not keys:
        return "nothing"
    return ", ".join(map(repr, keys[:3])) + (f" and {len(keys) - 3} more" if len(keys) > 3 else "")
