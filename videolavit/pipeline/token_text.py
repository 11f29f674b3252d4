"""Codes as text that can be read, stored and edited: one line per clip.

    # what follows a hash is a comment
    K 12 877 3 | M 3 3 17 0
    K 40 41 | M 3 3 3 3 | show 6        a clip of which six frames are shown
    M 3 17 0 0                          a clip that goes on from the last frame of the one before
    K 12 877 3 | M 3 3 17 0 | R 5 1 0 2 a clip with a further layer of motion codes
    K 5 6 7                             an image

`K` are the codes of the keyframe, as many as the tokenizer kept; `M` those of the motion, always equally many. Motion
of one clip on the keyframe of another is a matter of copying half a line. `R`, as often as there are further layers,
are codes for what those before leave out; the last ones may be deleted.

The first line may be a note, `# videolavit {...}`. Texts with clips of motion alone say `"token_format": 2` there,
those with further layers 3; a text that says nothing has format 1 or was written by hand.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, overload

import torch
from jaxtyping import Int
from torch import Tensor

from videolavit.clip_tokens import ClipTokens
from videolavit.errors import OutputError, PromptError, ShapeError, VocabularyError
from videolavit.video.io.write import check_output, complete_or_absent
from videolavit.vocabulary import Vocabulary

__all__ = [
    "Tokens",
    "check_codes",
    "format_tokens",
    "is_row_of_ids",
    "is_token_text",
    "parse_tokens",
    "read_note",
    "save_token_text",
]

_NOTE = "# videolavit "
FORMAT = 3
"""Newest form of the text: 1 has a keyframe in every clip, 2 knows clips of motion alone, 3 layers of motion."""
_EXPECTED = "expected a line such as `K 12 877 | M 3 3 17`, with ` | show 6` behind it to show six frames only"
_LARGEST = 2**31
_MOST_FRAMES = 1000
_BEGINNING = re.compile(r"(?:\s*(?:#[^\n]*)?\n)*\s*[KM] +[0-9]+[ |\n]")
"""Notes and empty lines, and a line of codes."""
_NUMBER = re.compile(r"[0-9]+\Z")  # ASCII digits alone, unlike str.isdigit


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Tokens(Sequence[ClipTokens]):
    """The clips of a video, or an image, as codes: a sequence of `ClipTokens`."""

    clips: tuple[ClipTokens, ...]
    ids: Int[Tensor, "n"]
    """The same in the unified vocabulary of the language model, special tokens included."""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """Source, options and model; written into files."""
    timings: Mapping[str, float] = field(default_factory=dict)
    """Seconds of each step of the work."""

    def __repr__(self) -> str:
        return f"Tokens({len(self.clips)} clips, {len(self.ids)} ids)"

    def __len__(self) -> int:
        return len(self.clips)

    def __iter__(self) -> Iterator[ClipTokens]:
        return iter(self.clips)

    @overload
    def __getitem__(self, index: int) -> ClipTokens: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[ClipTokens, ...]: ...
    def __getitem__(self, index: int | slice) -> ClipTokens | tuple[ClipTokens, ...]:
        return self.clips[index]

    @property
    def text(self) -> str:
        """The text form, which `VideoLaVIT.detokenize` takes as well."""
        return format_tokens(self.clips)

    @property
    def seconds(self) -> float:
        """Seconds that the work took."""
        return sum(self.timings.values(), 0.0)

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = True) -> Path:
        """Write the text form into a `.txt`, with the metadata as its first line.

        Raises:
            OutputError: another extension, no such folder, no space; or the file exists and may not be overwritten.
        """
        return save_token_text(Path(path), self.clips, self.metadata, overwrite=overwrite)


def format_tokens(clips: Iterable[ClipTokens], note: Mapping[str, Any] | None = None) -> str:
    """The text of clips, with `note` as its first line; `parse_tokens` and `read_note` read them back."""
    clips = list(clips)
    if (needed := _format(clips)) > 1:
        note = {**(note or {}), "token_format": needed}
    first = [] if note is None else [_NOTE + json.dumps(dict(note), sort_keys=True, default=str)]
    return "\n".join([*first, *map(_line, clips)]) + "\n"


def save_token_text(
    path: Path, clips: Iterable[ClipTokens], note: Mapping[str, Any], *, overwrite: bool = True
) -> Path:
    """Write `format_tokens` into a `.txt`, whole or not at all.

    Raises:
        OutputError: another extension, no such folder, no space; or the file exists and may not be overwritten.
    """
    check_output(path, (".txt",))
    if not overwrite and path.exists():
        raise OutputError(f"{path} exists already; name another file, or pass overwrite=True")
    with complete_or_absent(path) as unfinished:
        unfinished.write_text(format_tokens(clips, note), encoding="utf-8")
    return path


def check_codes(clips: Iterable[ClipTokens], vocabulary: Vocabulary, motion_length: Callable[[], int]) -> None:
    """Refuse codes that a model cannot decode, by the line or the number of their clip.

    Args:
        clips: as they were given.
        vocabulary: the model's.
        motion_length: codes of a clip's motion; asked where there is one.

    Raises:
        ShapeError: a clip has more or fewer codes of motion than that.
        VocabularyError: a code is not in its codebook.
    """
    for number, clip in enumerate(clips, start=1):
        where = f"clip {number}" if clip.line is None else f"line {clip.line}"
        if clip.motion is not None and len(clip.motion) != (needed := motion_length()):
            codes = f"{len(clip.motion)} code{'s' if len(clip.motion) != 1 else ''}"
            raise ShapeError(f"{where}: {codes} behind M, this model needs {needed}")
        for letter, codes, size in (
            ("K", clip.keyframe, vocabulary.num_visual_codes),
            ("M", clip.motion, vocabulary.num_motion_codes),
            ("R", clip.motion_layers, vocabulary.num_motion_codes),
        ):
            outside = None if codes is None else codes[(codes < 0) | (codes >= size)]
            if outside is not None and len(outside):
                raise VocabularyError(
                    f"{where}: the code {int(outside[0])} behind {letter}, those of this model are 0 to {size - 1}; "
                    "tokens can be decoded by the model that wrote them"
                )


def is_token_text(text: str) -> bool:
    """True if a text begins as that of tokens does, and is no name of a file."""
    return _BEGINNING.match(text) is not None


def is_row_of_ids(ids: Tensor) -> bool:
    """True for one row of whole numbers; other tensors show images."""
    return ids.ndim == 1 and not ids.is_floating_point() and not ids.is_complex() and ids.dtype != torch.bool


def parse_tokens(text: str) -> tuple[ClipTokens, ...]:
    """The clips that a text writes down.

    Raises:
        PromptError: a line is something else, or there is none, or a newer version of the package wrote the text; the
            message says which and what was expected.
    """
    written = read_note(text).get("token_format", 1)
    if not isinstance(written, int) or written > FORMAT:
        raise PromptError(
            f"got tokens of format {written}, this version reads up to format {FORMAT}; update videolavit to read them"
        )
    lines = [(number, line.partition("#")[0].strip()) for number, line in enumerate(text.splitlines(), start=1)]
    clips = tuple(_clip(line, number) for number, line in lines if line)
    if not clips:
        raise PromptError(f"got a text without clips; {_EXPECTED}")
    if clips[0].keyframe is None:
        raise PromptError(f"the first clip has motion alone, and there is none before it; {_EXPECTED}")
    return clips


def read_note(text: str) -> dict[str, Any]:
    """Note that `format_tokens` was given; empty where there is none."""
    first = text.partition("\n")[0]
    if not first.startswith(_NOTE):
        return {}
    try:
        note = json.loads(first.removeprefix(_NOTE))
    except (ValueError, RecursionError):
        return {}
    return note if isinstance(note, dict) else {}


def _format(clips: Sequence[ClipTokens]) -> int:
    """The oldest form that can say these clips."""
    if any(clip.motion_layers is not None for clip in clips):
        return 3
    return 2 if any(clip.keyframe is None for clip in clips) else 1


def _line(clip: ClipTokens) -> str:
    parts = [] if clip.keyframe is None else [_codes("K", clip.keyframe)]
    if clip.motion is not None:
        parts.append(_codes("M", clip.motion))
    if clip.motion_layers is not None:
        parts += [_codes("R", layer) for layer in clip.motion_layers]
    if clip.num_frames is not None:
        parts.append(f"show {clip.num_frames}")
    return " | ".join(parts)


def _codes(letter: str, codes: Tensor) -> str:
    return " ".join([letter, *map(str, codes.tolist())])


def _clip(line: str, number: int) -> ClipTokens:
    fields, layers = _fields(line, number)
    if next(iter(fields)) == "M" and "K" in fields:
        raise PromptError(f"line {number}: got the keyframe behind the motion; {_EXPECTED}")
    if fields.get("K") == []:
        raise PromptError(f"line {number}: the keyframe has no codes; {_EXPECTED}")
    if fields.get("M") == []:
        raise PromptError(f"line {number}: got M without codes; {_EXPECTED}, or no M for an image")
    if "show" in fields and (len(fields["show"]) != 1 or not 1 <= fields["show"][0] <= _MOST_FRAMES):
        raise PromptError(f"line {number}: got show {fields['show']}, expected one number, 1 to {_MOST_FRAMES}")
    return ClipTokens(
        keyframe=torch.tensor(fields["K"]) if "K" in fields else None,
        motion=torch.tensor(fields["M"]) if "M" in fields else None,
        num_frames=fields["show"][0] if "show" in fields else None,
        motion_layers=torch.tensor(layers) if layers else None,
        line=number,
    )


def _fields(line: str, number: int) -> tuple[dict[str, list[int]], list[list[int]]]:
    """The parts of a line by name, and its further layers of motion."""
    fields: dict[str, list[int]] = {}
    layers: list[list[int]] = []
    for part in line.split("|"):
        name, *values = part.split() or [""]
        is_layer = name == "R" and "M" in fields and "show" not in fields
        is_new = name in ("K", "M", "show") and name not in fields and (name != "show" or bool(fields))
        if not is_layer and not is_new:
            raise PromptError(f"line {number}: got {_short(part.strip() or line)}; {_EXPECTED}")
        codes = [_code(value, number) for value in values]
        if not is_layer:
            fields[name] = codes
        elif len(codes) == len(fields["M"]):
            layers.append(codes)
        else:
            raise PromptError(f"line {number}: got R with {len(codes)} codes, expected {len(fields['M'])} as of M")
    return fields, layers


def _code(word: str, number: int) -> int:
    if not _NUMBER.match(word) or len(word) > 10 or int(word) >= _LARGEST:
        raise PromptError(f"line {number}: got {_short(word)} among the codes, expected whole numbers from 0")
    return int(word)


def _short(text: str) -> str:
    return repr(text if len(text) <= 40 else f"{text[:37]}...")
