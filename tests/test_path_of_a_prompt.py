"""Files that a prompt passes on its way to frames, counted by tracing the calls of one generation."""

from __future__ import annotations

import sys
from collections import defaultdict
from pathlib import Path

import pytest

import videolavit

PACKAGE = Path(videolavit.__file__).parent
MOST_FILES = 40
"""Building blocks in `nn` apart. Half of them are the networks and the decoding engine; 20 are the aim."""


@pytest.mark.slow
def test_a_prompt_passes_four_files_of_the_pipeline(shipped_model):
    from videolavit import VideoLaVIT

    model = VideoLaVIT.from_pretrained(shipped_model)
    model.generate_video("a red circle moves right", seed=0)  # loads all components: only generation is counted
    called = defaultdict(set)

    def trace(frame, event, _):
        name = frame.f_code.co_filename
        if event == "call" and name.startswith(str(PACKAGE)):
            parts = Path(name).relative_to(PACKAGE).parts
            called[parts[0]].add("/".join(parts))

    sys.setprofile(trace)
    try:
        video = model.generate_video("a blue square moves left", seed=1)
    finally:
        sys.setprofile(None)
    assert video.frames.shape[0] == 24
    assert called["pipeline"] == {
        "pipeline/model.py",
        "pipeline/generation_states.py",
        "pipeline/token_generation.py",
        "pipeline/clip_decoder.py",
    }
    files = sorted(name for part, names in called.items() if part != "nn" for name in names)
    assert len(files) <= MOST_FILES, files
