"""Files to clips and frames to files, through PyAV alone."""

from videolavit.video.limits import Limits
from videolavit.video.open import VideoReader, open_video
from videolavit.video.probe import VideoInfo, probe

__all__ = ["Limits", "VideoInfo", "VideoReader", "open_video", "probe"]
