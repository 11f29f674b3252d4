"""Files to clips and frames to files, through PyAV alone."""

from videolavit.video.decompose import decompose, iter_clips
from videolavit.video.draw import color_wheel, contact_sheet, draw_arrows, draw_clip, draw_colors, side_by_side
from videolavit.video.frames import Frames
from videolavit.video.limits import Limits
from videolavit.video.open import VideoReader, open_video
from videolavit.video.options import DecomposeOptions
from videolavit.video.probe import VideoInfo, probe
from videolavit.video.reencode import Reencoding
from videolavit.video.selection import Selection, select_clips
from videolavit.video.warp import warp
from videolavit.video.write import read_metadata, write_video

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
    "iter_clips",
    "open_video",
    "probe",
    "read_metadata",
    "select_clips",
    "side_by_side",
    "warp",
    "write_video",
]
