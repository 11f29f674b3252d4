"""The unified vocabulary: text, image and motion as one row of ids (reference section 1).

The only place that computes an offset. Everything else asks a `Vocabulary` for ids and codes: a *code* is an index
into one codebook, from 0; an *id* is an index into the vocabulary of the language model.

    0 .. num_text - 1           text; the first three are <unk>, <s>, </s>
    image_start, image_end      [IMG], [/IMG]
    num_visual_codes ids        visual codes
    motion_start, motion_end    [MOV], [/MOV]
    num_motion_codes ids        motion codes
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from videolavit.errors import ConfigError, VocabularyError

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Vocabulary"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Vocabulary:
    """Sizes of the three modalities and, from them, every id. The defaults are those of the released model."""

    num_text: int = 32000
    """Ids of the text tokenizer, its special ones included."""
    num_visual_codes: int = 16384
    num_motion_codes: int = 1024
    unknown: int = 0
    text_start: int = 1
    """`<s>`."""
    text_end: int = 2
    """`</s>`."""

    def __post_init__(self) -> None:
        if min(self.num_text, self.num_visual_codes, self.num_motion_codes) < 1:
            raise ConfigError(f"every modality needs at least one id, got {self}")
        if not all(0 <= special < self.num_text for special in (self.unknown, self.text_start, self.text_end)):
            raise ConfigError(f"special ids must be text ids, 0 to {self.num_text - 1}; got {self}")

    @property
    def image_start(self) -> int:
        """`[IMG]`."""
        return self.num_text

    @property
    def image_end(self) -> int:
        """`[/IMG]`."""
        return self.num_text + 1

    @property
    def motion_start(self) -> int:
        """`[MOV]`."""
        return self.visual_range.stop

    @property
    def motion_end(self) -> int:
        """`[/MOV]`."""
        return self.visual_range.stop + 1

    @property
    def text_range(self) -> range:
        return range(self.num_text)

    @property
    def visual_range(self) -> range:
        """Ids of the visual codes, `[IMG]` and `[/IMG]` not included."""
        first = self.num_text + 2
        return range(first, first + self.num_visual_codes)

    @property
    def motion_range(self) -> range:
        """Ids of the motion codes, `[MOV]` and `[/MOV]` not included."""
        first = self.visual_range.stop + 2
        return range(first, first + self.num_motion_codes)

    @property
    def size(self) -> int:
        return self.motion_range.stop

    def visual_ids(self, codes: Tensor) -> Tensor:
        """Ids of visual codes, any shape. Raises `VocabularyError` for a code outside the codebook."""
        return _shift(codes, range(self.num_visual_codes), self.visual_range.start, "visual code")

    def visual_codes(self, ids: Tensor) -> Tensor:
        """Visual codes of ids, any shape. Raises `VocabularyError` for an id that is not a visual one."""
        return _shift(ids, self.visual_range, -self.visual_range.start, "visual id")

    def motion_ids(self, codes: Tensor) -> Tensor:
        """Ids of motion codes, any shape. Raises `VocabularyError` for a code outside the codebook."""
        return _shift(codes, range(self.num_motion_codes), self.motion_range.start, "motion code")

    def motion_codes(self, ids: Tensor) -> Tensor:
        """Motion codes of ids, any shape. Raises `VocabularyError` for an id that is not a motion one."""
        return _shift(ids, self.motion_range, -self.motion_range.start, "motion id")


def _shift(values: Tensor, allowed: range, offset: int, name: str) -> Tensor:
    outside = (values < allowed.start) | (values >= allowed.stop)
    if outside.any():
        raise VocabularyError(
            f"{int(outside.sum())} of {values.numel()} values are not a {name} "
            f"({allowed.start} to {allowed.stop - 1}), the first is {int(values[outside][0])}; "
            "check that ids and codes are not mixed up and that model and ids belong together"
        )
    return values + offset
