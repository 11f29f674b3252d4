"""Places inside the denoisers and decoders where a long step may be interrupted for something short."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

__all__ = ["add_pauses"]

_PLACES = re.compile(r"(?:down_blocks|up_blocks|resnets|attentions)\.\d+$|mid_block$")
"""Names of the blocks of diffusers' UNets and VAEs."""


def add_pauses(model: Any, pause: Callable[[], None]) -> int:
    """Have `pause` called before each block of the two detokenizers runs; the number of such places.

    What it does must leave the detokenizers alone. Compiled UNets have no such places: they only pause between steps.
    """
    places = 0
    for detokenizer in (model.keyframe_detokenizer, model.video_detokenizer):
        for name, module in detokenizer.named_modules():
            if _PLACES.search(name) and "_orig_mod" not in name:
                module.register_forward_pre_hook(lambda *_: pause())
                places += 1
    return places
