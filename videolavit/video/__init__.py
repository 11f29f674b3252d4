"""Files to clips and frames to files, through PyAV alone."""

from videolavit.video.decompose import decompose, iter_clips
from videolavit.video.frames import Frames
from videolavit.video.limits import Limits
from videolavit.video.open import VideoReader, open_video
from videolavit.video.options import DecomposeOptions
from videolavit.video.probe import VideoInfo, probe
from videolavit.video.reencode import Reencoding
from videolavit.video.selection import Selection, select_clips

__all__ = [
    "DecomposeOptions",
    "Frames",
    "Limits",
    "Reencoding",
    "Selection",
    "VideoInfo",
    "VideoReader",
    "decompose",
    "iter_clips",
    "open_video",
    "probe",
    "select_clips",
]
