"""Published values that stand beside ours: those of the paper, and those of LLaVA-1.5-7B to calibrate a port.

Where a paper's protocol is not known in every point, or its judge is switched off, a value here is a neighbour and not
a target: docs/evaluation.md says which can be compared.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["PUBLISHED", "Published"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Published:
    """One printed value."""

    measure: str
    """Ours that it stands beside."""
    paper: float | None
    """Video-LaVIT (arXiv 2402.03161), after instruction tuning; shares in per cent."""
    llava: float | None = None
    """LLaVA-1.5-7B."""
    note: str = ""


PUBLISHED: Mapping[str, tuple[Published, ...]] = {
    "vqav2": (Published(measure="accuracy", paper=80.3, llava=78.5, note="test-dev by the server; val is not it"),),
    "gqa": (Published(measure="accuracy", paper=64.4, llava=62.0),),
    "vizwiz": (Published(measure="accuracy", paper=56.0, llava=50.0, note="test by the server; val is not it"),),
    "scienceqa": (Published(measure="accuracy", paper=70.0, llava=66.8),),
    "mme": (Published(measure="perception", paper=1551.8, llava=1510.7),),
    "mmbench": (Published(measure="accuracy", paper=67.3, llava=64.3, note="dev, circular by the server"),),
    "seed": (Published(measure="accuracy", paper=64.0, llava=58.6, note="JSON before December 2023"),),
    "mmvet": (Published(measure="score (judge)", paper=33.2, llava=30.5, note="gpt-4-0613, switched off"),),
    "msvd_qa": (
        Published(measure="accuracy (judge)", paper=73.2, note="gpt-3.5-turbo, not pinned"),
        Published(measure="score (judge)", paper=3.9, note="gpt-3.5-turbo, not pinned"),
    ),
    "msrvtt_qa": (
        Published(measure="accuracy (judge)", paper=59.3, note="gpt-3.5-turbo, not pinned"),
        Published(measure="score (judge)", paper=3.3, note="gpt-3.5-turbo, not pinned"),
    ),
    "activitynet_qa": (
        Published(measure="accuracy (judge)", paper=50.1, note="gpt-3.5-turbo, not pinned"),
        Published(measure="score (judge)", paper=3.3, note="gpt-3.5-turbo, not pinned"),
    ),
    "perception_test": (Published(measure="accuracy", paper=47.9, note="test by the server"),),
    "egoschema": (Published(measure="accuracy", paper=37.3, note="all questions by the server"),),
    "msrvtt": (
        Published(measure="CLIPSIM", paper=0.3012, note="without SVD initialisation"),
        Published(measure="FVD", paper=188.36, note="frame choice not given; with SVD 169.51"),
        Published(measure="frame FID", paper=11.27, note="CLIP ViT-B/32 features"),
    ),
    "ucf101": (
        Published(measure="IS", paper=44.26, note="splits not given"),
        Published(measure="FVD", paper=280.57, note="frame choice not given; with SVD 274.96"),
    ),
    "long_video": (
        Published(measure="FVD", paper=113.37, note="first against last 16 frames"),
        Published(measure="KVD", paper=4.94),
        Published(measure="frame similarity", paper=0.9621, note="printed as CLIPSIM"),
    ),
    "coco": (Published(measure="FID", paper=None, note="no value is printed"),),
}
"""By benchmark."""
