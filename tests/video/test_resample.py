from __future__ import annotations

from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st
from video.media import moving_images, synthetic_video

from videolavit.video import Limits, open_video
from videolavit.video.io.resample import show, video_on_ticks


def shown(stamps: list[int], end: int) -> list[int]:
    """Positions of the frames that ticks show, for frames rounded to these ticks."""
    items = [*enumerate(stamps), (None, end)]
    return list(show(((tick, position) for position, tick in items), Fraction(6), Limits(), "frames"))


@given(stamps=st.lists(st.integers(-5, 60), min_size=1, max_size=30).map(sorted), extra=st.integers(0, 5))
def test_a_tick_shows_the_last_frame_whose_tick_has_come(stamps: list[int], extra: int):
    end = max(stamps[-1] + extra, 1)
    for tick, position in enumerate(shown(stamps, end)):
        come = [index for index, stamp in enumerate(stamps) if stamp <= tick]
        assert position == (come[-1] if come else 0)
    assert len(shown(stamps, end)) == end


def test_times_that_go_back_do_not_stop_the_clock():
    assert shown([0, 5, 2, 7], 9) == [0, 0, 0, 0, 0, 2, 2, 3, 3]


def test_a_video_shorter_than_half_a_tick_is_one_frame():
    assert shown([0, 0, 0], 0) == [2]


def times_on_ticks(data: bytes, fps: int, **options: bool) -> list[int]:
    with open_video(data) as video:
        return [frame.pts for frame in video_on_ticks(video, Fraction(fps), **options)]


@settings(max_examples=15, deadline=None)
@given(
    frame_rate=st.sampled_from([5, 6, 12, 25, 30]),
    fps=st.sampled_from([2, 6, 12]),
    b_frames=st.integers(0, 3),
    gop=st.integers(1, 40),
)
def test_leaving_out_frames_changes_no_tick(frame_rate: int, fps: int, b_frames: int, gop: int):
    options = {"bf": str(b_frames), "g": str(gop), "preset": "ultrafast"}
    data = synthetic_video(moving_images(40, 32, 48), fps=frame_rate, options=options)
    assert times_on_ticks(data, fps) == times_on_ticks(data, fps, selective=False)


def test_frames_that_no_tick_shows_are_not_decoded():
    data = synthetic_video(moving_images(60, 32, 48), fps=30, options={"bf": "3", "b-pyramid": "none"})
    with open_video(data) as video:
        decoded = []
        decode = video.decode
        video.decode = lambda packet: [decoded.append(frame) or frame for frame in decode(packet)]  # type: ignore[method-assign]
        assert len(list(video_on_ticks(video, Fraction(6)))) == 12
    assert len(decoded) < 40


def test_tick_0_of_25_frames_a_second_is_frame_2():
    data = synthetic_video(moving_images(25, 32, 48), fps=25)
    with open_video(data) as video:
        ticks = [round(frame.pts * video.stream.time_base * 25) for frame in video_on_ticks(video, Fraction(6))]
    assert ticks == [2, 6, 10, 14, 18, 22]


def test_uneven_times_follow_the_clock():
    data = synthetic_video(moving_images(5, 32, 48), times=[0, 40, 500, 501, 1000], options={"bf": "0"})
    with open_video(data) as video:
        shown_ms = [round(1000 * frame.pts * video.stream.time_base) for frame in video_on_ticks(video, Fraction(6))]
    # The last frame ends at 1.04 s, which is rounded to tick 6, so there are six ticks.
    assert shown_ms == [40, 40, 40, 501, 501, 501]
