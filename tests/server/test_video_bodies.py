"""Lengths of videos that are asked for, by which work is counted and shown."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import numpy as np
import pytest

from videolavit.server.api_error import ApiError
from videolavit.server.model_tasks import VideoRequest, video_task
from videolavit.server.video_bodies import length_of, read_video
from videolavit.video import Frames
from videolavit.video.processor import VideoProcessorConfig

PROCESSOR = VideoProcessorConfig(fps=6.0, frames_per_clip=24)


def frames(count: int) -> Frames:
    return Frames(images=np.zeros((count, 8, 8, 3), np.uint8), fps=6)


IMAGE = np.zeros((8, 8, 3), np.uint8)


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (VideoRequest(prompt="a circle", clips=3), (3, 12.0)),
        (VideoRequest(way="extend", video=frames(60), clips=2), (2, 8.0)),
        (VideoRequest(way="edit", video=frames(24)), (1, 4.0)),
        (VideoRequest(way="edit", video=frames(60)), (3, 10.0)),
        (VideoRequest(way="edit", video=frames(60), motion_of=frames(25)), (2, 25 / 6)),
        (VideoRequest(way="edit", image=IMAGE, motion_of=frames(48)), (2, 8.0)),
        (VideoRequest(way="edit", image=IMAGE), (1, 4.0)),
        (VideoRequest(way="tokens", tokens="# a note\n\nK 1 | M 2 # two\nK 1"), (2, 8.0)),
        (VideoRequest(way="tokens", tokens="# nothing"), (1, 4.0)),
    ],
)
def test_a_request_tells_how_long_its_video_is(request_, expected):
    assert length_of(request_, PROCESSOR) == expected


def test_work_costs_as_many_steps_as_its_clips_take():
    assert video_task(VideoRequest(clips=3, candidates=2), steps=10).cost == 60


def test_a_video_whose_files_are_gone_is_the_fault_of_its_field(tmp_path):
    job = SimpleNamespace(status="completed")
    jobs = SimpleNamespace(get=lambda video_id: job, path=lambda video_id: tmp_path / "video.mp4")
    with pytest.raises(ApiError, match="motion_of: the files of this video are gone") as refused:
        asyncio.run(read_video("video_1", "motion_of", SimpleNamespace(jobs=jobs)))
    assert (refused.value.status, refused.value.param) == (400, "motion_of")
