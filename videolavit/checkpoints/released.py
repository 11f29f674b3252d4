"""The released layout: which file holds which part, and what its keys are called (reference section 8).

    language_model/                 transformers folder, shards or one file
    language_model_sft/             the same for answering, with tokenizers of its own inside
    visual_tokenizer/               eva_vitg_psz14, tokenizer_encoder, highres_tokenizer_decoder
    motion_tokenizer
    image_detokenizer/{vae,unet,scheduler}
    video_detokenizer/{vae,unet,scheduler}, video_3d_unet
    videolavit.json                 not in the release: sizes that shapes cannot tell, for checkpoints of other sizes,
                                    and settings if they are not the release's

Files may end in `.bin` or `.safetensors`. Nothing is skipped: every key of a file belongs to a part or is an error.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from videolavit.checkpoints import names
from videolavit.checkpoints.files import SUFFIXES, StoredTensor, find_tensors, open_tensors, rename, some
from videolavit.checkpoints.loading import Origin
from videolavit.checkpoints.names import Renaming
from videolavit.checkpoints.registry import ANSWERING, Checkpoint, StoredComponent
from videolavit.checkpoints.sizes import infer_config
from videolavit.checkpoints.source import Source, read_json, weight_patterns
from videolavit.config import from_dict
from videolavit.errors import CheckpointError, ConfigError
from videolavit.old_names import current_names
from videolavit.settings import ModelSettings
from videolavit.vocabulary import Vocabulary

__all__ = ["EVA_STEM", "LOCATIONS", "SCHEDULER_FOLDERS", "SIZES_FILE", "TEXT_TOKENIZER_FILES", "ReleasedCheckpoint"]

SIZES_FILE = "videolavit.json"

_LANGUAGE = ("language_model/model", "language_model/pytorch_model")
_ANSWERING = ("language_model_sft/model", "language_model_sft/pytorch_model")
EVA_STEM = "visual_tokenizer/eva_vitg_psz14"
_VIDEO = ("video_3d_unet", "video_detokenizer/unet/diffusion_pytorch_model")
_MODEL_VISUAL, _MODEL_MOTION = "model.visual_tokenizer.", "model.motion_tokenizer."
_UNET, _MOTION_ENCODER = "unet.", "motion_encoder."


@dataclass(frozen=True, kw_only=True, slots=True)
class _Location:
    """Place of a part."""

    stems: tuple[str, ...]
    """Paths of its file without ending, the preferred one first."""
    prefix: str = ""
    """Prefix of its keys, where a file holds several parts."""
    others: tuple[str, ...] = ()
    """Prefixes of the other parts in the file; every key that has none of them belongs here."""
    names: Renaming = names.UNCHANGED
    config_folder: str | None = None
    """Folder of the config.json of a transformers or diffusers model; None for ours, whose sizes are inferred."""


LOCATIONS = {
    "language_model": _Location(stems=_LANGUAGE, config_folder="language_model"),
    "answering_language_model": _Location(
        stems=_ANSWERING, others=(_MODEL_VISUAL, _MODEL_MOTION), config_folder="language_model_sft"
    ),
    "answering_visual_tokenizer": _Location(stems=_ANSWERING, prefix=_MODEL_VISUAL, names=names.VISUAL_TOKENIZER),
    "answering_motion_tokenizer": _Location(stems=_ANSWERING, prefix=_MODEL_MOTION, names=names.MOTION_TOKENIZER),
    "visual_tokenizer": _Location(stems=("visual_tokenizer/tokenizer_encoder",), names=names.VISUAL_TOKENIZER),
    "condition_decoder": _Location(
        stems=("visual_tokenizer/highres_tokenizer_decoder",), names=names.CONDITION_DECODER
    ),
    "motion_tokenizer": _Location(stems=("motion_tokenizer",), names=names.MOTION_TOKENIZER),
    "keyframe_unet": _Location(
        stems=("image_detokenizer/unet/diffusion_pytorch_model",), config_folder="image_detokenizer/unet"
    ),
    "keyframe_vae": _Location(
        stems=("image_detokenizer/vae/diffusion_pytorch_model",), config_folder="image_detokenizer/vae"
    ),
    "video_vae": _Location(
        stems=("video_detokenizer/vae/diffusion_pytorch_model",), config_folder="video_detokenizer/vae"
    ),
    "video_unet": _Location(
        stems=_VIDEO, prefix=_UNET, others=(_MOTION_ENCODER,), config_folder="video_detokenizer/unet"
    ),
    "motion_encoder": _Location(stems=_VIDEO, prefix=_MOTION_ENCODER, names=names.MOTION_ENCODER),
}
"""Place of each part; `names.py` has the names of its keys."""

SCHEDULER_FOLDERS = {
    "keyframe_scheduler": "image_detokenizer/scheduler",
    "video_scheduler": "video_detokenizer/scheduler",
}

TEXT_TOKENIZER_FILES = (
    "tokenizer.model",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
)


class ReleasedCheckpoint(Checkpoint):
    """A checkpoint in the released layout."""

    def __init__(self, source: Source) -> None:
        self.name = source.name
        self._source = source
        self._opened: dict[Path, dict[str, StoredTensor]] = {}
        self._stated = self._read_stated()

    @property
    def vocabulary(self) -> Vocabulary:
        return from_dict(Vocabulary, self._stated.get("vocabulary", {}), where=f"{self.name}/{SIZES_FILE}: vocabulary")

    @property
    def hash(self) -> str | None:
        return self._source.commit

    @property
    def settings(self) -> ModelSettings:
        return from_dict(
            ModelSettings, current_names(self._stated.get("settings", {})), where=f"{self.name}/{SIZES_FILE}: settings"
        )

    def held(self) -> list[str]:
        folder = self._source.fetch("*")
        parts = [name for name, place in LOCATIONS.items() if self._found(place, folder) is not None]
        return parts + [name for name, path in SCHEDULER_FOLDERS.items() if (folder / path).is_dir()]

    def part(self, name: str) -> StoredComponent:
        place = LOCATIONS[name]
        tensors, origin = self._tensors(name, place)
        if name == "visual_tokenizer" and not any(key.startswith("vit.") for key in tensors):
            tensors, origin = self._with_eva(tensors, origin)
        if place.config_folder is None:
            stated = self._stated.get(name, self._stated.get(name.removeprefix(ANSWERING), {}))
            config = infer_config(name, tensors, stated, where=self.name)
            return StoredComponent(name=name, config=config, tensors=tensors, origin=origin)
        config = self._library_config(name, place.config_folder)
        words = self._text_tokenizer(place.config_folder) if place.stems in (_LANGUAGE, _ANSWERING) else None
        return StoredComponent(name=name, config=config, tensors=tensors, origin=origin, text_tokenizer=words)

    def answering(self, name: str) -> str:
        if not self._stated:  # of the released sizes, which come with parts of their own for answering
            return ANSWERING + name
        place = LOCATIONS[ANSWERING + name]
        folder = self._source.fetch(*(pattern for stem in place.stems for pattern in weight_patterns(stem)))
        return ANSWERING + name if self._found(place, folder) is not None else name

    def scheduler(self, name: str) -> dict[str, Any]:
        path = f"{SCHEDULER_FOLDERS[name]}/scheduler_config.json"
        return read_json(self._source.fetch(path) / path)

    def _tensors(self, name: str, place: _Location) -> tuple[dict[str, StoredTensor], Origin]:
        """Tensors of a part by our keys, and where each comes from."""
        folder = self._source.fetch(*(pattern for stem in place.stems for pattern in weight_patterns(stem)))
        found = self._found(place, folder)
        if found is None:
            patterns = (pattern for stem in place.stems for pattern in weight_patterns(stem, variants=True))
            found = self._found(place, self._source.fetch(*patterns))
        if found is None:
            raise CheckpointError(_not_found(name, place, folder))
        path, prefix, keys = found
        tensors = rename(keys, lambda key: place.names.native(key.removeprefix(prefix)))
        return tensors, lambda key: (str(path), prefix + place.names.released(key))

    def _found(self, place: _Location, folder: Path) -> tuple[Path, str, dict[str, StoredTensor]] | None:
        """The first of a part's files that holds any of its keys, their prefix there, and the keys."""
        for stem in place.stems:
            path = find_tensors(folder, stem)
            prefix, keys = ("", {}) if path is None else _keys_of(place, self._open(path))
            if path is not None and keys:
                return path, prefix, keys
        return None

    def _with_eva(self, tensors: dict[str, StoredTensor], origin: Origin) -> tuple[dict[str, StoredTensor], Origin]:
        """The tokenizer completed by the vision transformer, which the release keeps in a file of its own."""
        folder = self._source.fetch(*weight_patterns(EVA_STEM))
        path = find_tensors(folder, EVA_STEM)
        if path is None:
            raise CheckpointError(
                f"{folder / EVA_STEM}.bin: no such file, and {origin('')[0]} has no encoder.* keys in its place; "
                "download it too"
            )
        vit = rename(self._open(path), lambda key: "vit." + names.EVA_VIT.native(key))

        def origin_with_eva(key: str) -> tuple[str, str]:
            own = key.removeprefix("vit.")
            return origin(key) if own == key else (str(path), names.EVA_VIT.released(own))

        return vit | tensors, origin_with_eva

    def _library_config(self, name: str, config_folder: str) -> dict[str, Any]:
        folder = self._source.fetch(f"{config_folder}/config.json") / config_folder
        if name == "video_unet" and not (folder / "config.json").is_file():
            return {}  # video_3d_unet may come alone; the defaults are the released sizes
        return read_json(folder / "config.json")

    def _text_tokenizer(self, config_folder: str) -> Path | None:
        """The folder's own text tokenizer, or the one beside the first language model."""
        for candidate in dict.fromkeys((config_folder, "language_model")):
            folder = self._source.fetch(*(f"{candidate}/{file}" for file in TEXT_TOKENIZER_FILES)) / candidate
            if any((folder / file).is_file() for file in TEXT_TOKENIZER_FILES[:2]):
                return folder
        return None

    def _open(self, path: Path) -> dict[str, StoredTensor]:
        if path not in self._opened:
            self._opened[path] = open_tensors(path)
        return self._opened[path]

    def _read_stated(self) -> dict[str, Any]:
        path = self._source.fetch(SIZES_FILE) / SIZES_FILE
        stated = read_json(path) if path.is_file() else {}
        known = {"vocabulary", "settings", *(name for name, place in LOCATIONS.items() if place.config_folder is None)}
        unknown = sorted(set(stated) - known)
        if unknown:
            raise ConfigError(f"{path}: unknown key {some(unknown)}; known are {', '.join(sorted(known))}")
        return stated


def _keys_of(place: _Location, tensors: dict[str, StoredTensor]) -> tuple[str, dict[str, StoredTensor]]:
    """Prefix and tensors of one part in a file; what has no known prefix stays, to be found unexpected."""
    if place.prefix and not place.others:
        return place.prefix, {key: tensor for key, tensor in tensors.items() if key.startswith(place.prefix)}
    keys = {key: tensor for key, tensor in tensors.items() if not key.startswith(place.others)}
    # A plain diffusers folder has the same keys without the prefix.
    return (place.prefix if any(key.startswith(place.prefix) for key in keys) else ""), keys


def _not_found(name: str, place: _Location, folder: Path) -> str:
    path = find_tensors(folder, *place.stems)
    if path is None:
        tried = " or ".join(f"{stem}{{{','.join(SUFFIXES)}}}" for stem in place.stems)
        return f"{folder}: has no {tried}, which would hold the {name}; download it, or check the folder"
    hint = "; a plain UNet folder has none: put video_3d_unet.bin of the release beside it" * (name == "motion_encoder")
    return f"{path}: holds no key {place.prefix}* of the {name}{hint}"
