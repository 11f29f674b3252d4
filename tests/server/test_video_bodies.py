"""Lengths of videos that are asked for, by which work is counted and shown."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import numpy as np
import pytest

from videolavit.server.api_error import ApiError
from videolavit.server.model_tasks import VideoRequest, video_task
from videolavit.server.video_bodies import num_frames, read_video
from videolavit.video import Frames
from videolavit.video.processor import VideoProcessorConfig

PROCESSOR = VideoProcessorConfig(fps=6.0, frames_per_clip=24)


def frames(count: int) -> Frames:
    return Frames(images=np.zeros((count, 8, 8, 3), np.uint8), fps=6)


IMAGE = np.zeros((8, 8, 3), np.uint8)


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (VideoRequest(prompt="a circle", clips=3), 72),
        (VideoRequest(way="extend", video=frames(60), clips=2), 48),
        (VideoRequest(way="edit", video=frames(24)), 24),
        (VideoRequest(way="edit", video=frames(60)), 60),
        (VideoRequest(way="edit", video=frames(60), motion_of=frames(25)), 25),
        (VideoRequest(way="edit", image=IMAGE, motion_of=frames(48)), 48),
        (VideoRequest(way="edit", image=IMAGE), 24),
        (VideoRequest(way="tokens", tokens="# a note\n\nK 1 | M 2 # two\nK 1"), 24 + 1),
        (VideoRequest(way="tokens", tokens="K 1 | M 2 | show 900\nM 3"), 900 + 23),
    ],
)
def test_a_request_tells_how_long_its_video_is(request_, expected):
    assert num_frames(request_, PROCESSOR) == expected


def test_text_that_is_no_tokens_is_the_fault_of_its_field():
    with pytest.raises(ApiError, match="from_tokens: ") as refused:
        num_frames(VideoRequest(way="tokens", tokens="# nothing"), PROCESSOR)
    assert (refused.value.status, refused.value.param) == (400, "from_tokens")


def test_work_costs_as_many_steps_as_its_clips_take():
    assert video_task(VideoRequest(clips=3, candidates=2), steps=10).cost == 60


def test_a_video_whose_files_are_gone_is_the_fault_of_its_field(tmp_path):
    job = SimpleNamespace(status="completed")
    jobs = SimpleNamespace(get=lambda video_id: job, path=lambda video_id: tmp_path / "video.mp4")
    with pytest.raises(ApiError, match="motion_of: the files of this video are gone") as refused:
        asyncio.run(read_video("video_1", "motion_of", SimpleNamespace(jobs=jobs)))
    assert (refused.value.status, refused.value.param) == (400, "motion_of")
