"""Files to clips and frames to files, through PyAV alone."""

from videolavit.video.clips.decompose import decompose, iter_clips
from videolavit.video.clips.decompose_options import DecomposeOptions
from videolavit.video.clips.selection import Selection, select_clips
from videolavit.video.io.frames import Frames
from videolavit.video.io.limits import Limits
from videolavit.video.io.open import VideoReader, open_video
from videolavit.video.io.probe import VideoInfo, probe
from videolavit.video.io.write import read_metadata, write_video
from videolavit.video.motion.reencode import Reencoding
from videolavit.video.motion.warp import warp
from videolavit.video.visualize import (
    color_wheel,
    contact_sheet,
    draw_arrows,
    draw_clip,
    draw_colors,
    film_strips,
    side_by_side,
)

__all__ = [
    "DecomposeOptions",
    "Frames",
    "Limits",
    "Reencoding",
    "Selection",
    "VideoInfo",
    "VideoReader",
    "color_wheel",
    "contact_sheet",
    "decompose",
    "draw_arrows",
    "draw_clip",
    "draw_colors",
    "film_strips",
    "iter_clips",
    "open_video",
    "probe",
    "read_metadata",
    "select_clips",
    "side_by_side",
    "warp",
    "write_video",
]
