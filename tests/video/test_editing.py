"""Edits of real videos: timing, order of frames, sound, size, and a steadier camera."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import jaxtyping
import numpy as np
import pytest
from av.video.frame import VideoFrame
from video.media import moving_images, scenes, synthetic_video

from videolavit.errors import ConfigError, LimitError, MediaError
from videolavit.video import open_video, probe, read_metadata
from videolavit.video.editing.camera_path import moved_image, steady_moves, steadying
from videolavit.video.editing.film_edit import FilmEdit, cut_out, edit_film
from videolavit.video.editing.frame_reader import FrameReader
from videolavit.video.editing.motion_overlay import motion_overlay
from videolavit.video.editing.motion_profile import motion_profiles
from videolavit.video.editing.shot_list import find_shots
from videolavit.video.editing.timing import Pause, Piece, Timing, parse_pieces
from videolavit.video.io.limits import Limits
from videolavit.video.io.pixels import rgb_array
from videolavit.video.io.sound import SoundReader
from videolavit.video.io.write_film import Sound, write_film
from videolavit.video.motion.camera_fit import CameraStep, fit_camera

FPS, RATE, SECONDS = 10, 16000, 3
"""Of the film: each frame is a grey of its own, and the sound of each second has a pitch of its own."""


@pytest.fixture(scope="module")
def film(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    images = [np.full((62, 90, 3), 20 + 7 * index, np.uint8) for index in range(FPS * SECONDS)]
    frames = [VideoFrame.from_ndarray(image, format="rgb24").reformat(format="yuv420p") for image in images]
    time = np.arange(RATE * SECONDS) / RATE
    pitch = 300 * (1 + np.floor(time))
    tone = 0.5 * np.sin(2 * np.pi * np.cumsum(pitch) / RATE).astype(np.float32)
    sound = Sound(samples=[tone[None]], rate=RATE, layout="mono")
    return write_film(frames, path, fps=Fraction(FPS), sound=sound, crf=4)


def numbers(path: Path) -> list[int]:
    """Which frame of the film each frame of a file is, by its grey."""
    with open_video(path) as video:
        return [round((float(rgb_array(frame).mean()) - 20) / 7) for frame in video.frames()]


def pitches(path: Path, *moments: float) -> list[int]:
    """Hertz of the sound at moments, to the nearest 100."""
    with SoundReader(path) as sound:
        samples = np.concatenate(list(sound.between(0, probe(path).duration_seconds or 0)), axis=1)[0]
        found = []
        for moment in moments:
            middle = round(moment * sound.rate)
            part = samples[middle - sound.rate // 10 : middle + sound.rate // 10]
            strength = np.abs(np.fft.rfft(part * np.hanning(len(part))))
            found.append(round(strength.argmax() * sound.rate / len(part), -2) if strength.max() > 5 else 0)
        return [int(value) for value in found]


def test_reversed_frames_and_sound_come_in_the_opposite_order(film, tmp_path):
    result = edit_film(film, tmp_path / "back.mp4", reverse=True)
    assert numbers(result.path) == list(range(30))[::-1]
    assert pitches(result.path, 0.5, 1.5, 2.5) == [900, 600, 300]
    assert (result.height, result.width, result.fps, result.has_sound) == (62, 90, 10, True)


def test_slow_takes_longer_and_keeps_the_pitch(film, tmp_path):
    result = edit_film(film, tmp_path / "slow.mp4", speed=0.5)
    assert numbers(result.path) == [index // 2 for index in range(60)]
    assert pitches(result.path, 1.0, 3.0, 5.0) == [300, 600, 900]
    assert probe(result.path).duration_seconds == pytest.approx(6, abs=0.1)


def test_fast_leaves_frames_out(film, tmp_path):
    result = edit_film(film, tmp_path / "fast.mp4", speed=3)
    assert numbers(result.path) == list(range(0, 30, 3))
    assert pitches(result.path, 0.17, 0.5, 0.83) == [300, 600, 900]


def test_a_stop_shows_one_frame_in_silence(film, tmp_path):
    result = edit_film(film, tmp_path / "stop.mp4", freeze_at=1.0, freeze_for=1.0)
    assert numbers(result.path) == [*range(10), *[10] * 10, *range(10, 30)]
    assert pitches(result.path, 0.5, 1.5, 2.5, 3.5) == [300, 0, 600, 900]


def test_pieces_are_shown_as_they_are_named(film, tmp_path):
    result = edit_film(film, tmp_path / "pieces.webm", retime="2-3:1,0-1:-1,1-2:2")
    assert numbers(result.path) == [*range(20, 30), *range(9, -1, -1), *range(10, 20, 2)]
    assert pitches(result.path, 0.5, 1.5, 2.25) == [900, 300, 600]


def test_reading_backwards_in_small_parts_gives_every_frame_once(film, monkeypatch):
    monkeypatch.setattr("videolavit.video.editing.frame_reader._CHUNK_BYTES", 62 * 90 * 3 * 4)
    with open_video(film) as video:
        shown = [timed.seconds for timed in FrameReader(video).backwards(0, SECONDS)]
    assert shown == pytest.approx([index / FPS for index in range(30)][::-1])


def test_formats_without_sound_and_videos_without_sound(film, tmp_path):
    gif = edit_film(film, tmp_path / "a.gif", speed=2, metadata={"task": "edit"})
    assert not gif.has_sound
    assert read_metadata(gif.path) == {"task": "edit"}
    silent = synthetic_video(moving_images(8), tmp_path / "silent.mp4")
    assert silent
    assert not edit_film(tmp_path / "silent.mp4", tmp_path / "b.mp4", reverse=True).has_sound
    assert not edit_film(film, tmp_path / "c.mp4", reverse=True, mute=True).has_sound


def test_odd_sides_grow_by_one_and_turned_videos_stay_upright(tmp_path):
    odd = synthetic_video(moving_images(6, 97, 131), pixel_format="yuv444p")
    result = edit_film(odd, tmp_path / "odd.mp4", reverse=True)
    assert (result.height, result.width) == (97, 131)
    assert (probe(result.path).height, probe(result.path).width) == (98, 132)
    turned = edit_film(synthetic_video(moving_images(6), rotation=90), tmp_path / "turned.mp4", reverse=True)
    assert (turned.height, turned.width) == (128, 96)


@pytest.mark.parametrize(
    "changes",
    [
        {"speed": 0},
        {"speed": -1},
        {"speed": 1000},
        {"retime": "0-9:1"},
        {"retime": "nonsense"},
        {"retime": "2-1:1"},
        {"freeze_at": 9.0},
        {"freeze_at": 1.0, "freeze_for": 0.0},
        {"freeze_at": 1.0, "freeze_for": 1e7},
        {"freeze_at": 1.0, "freeze_for": float("nan")},
        {"freeze": True, "reverse": True},
    ],
)
def test_edits_that_make_no_sense_write_nothing(film, tmp_path, changes):
    with pytest.raises(ConfigError):
        edit_film(film, tmp_path / "a.mp4", **changes)
    assert not list(tmp_path.iterdir())


def test_a_broken_video_leaves_no_file(tmp_path):
    with pytest.raises(MediaError):
        edit_film(b"no video", tmp_path / "a.mp4", reverse=True)
    assert not list(tmp_path.iterdir())


def test_reversing_twice_and_doubling_the_speed_of_timings():
    timing = parse_pieces("0-2:0.5,3-:1", 5.0)
    assert timing.parts == (Piece(start=0, end=2, speed=0.5), Piece(start=3, end=5, speed=1))
    assert timing.seconds == 6
    assert timing.reversed().reversed() == timing
    assert timing.faster(2).seconds == 3
    stopped = timing.with_pause(Pause(at=3.5, seconds=1))
    assert stopped.seconds == 7
    assert sum(stopped.num_frames(Fraction(30000, 1001))) == round(7 * 30000 / 1001)
    assert Timing(parts=(Piece(start=0, end=1),)).keeps_time


def test_a_fit_finds_the_camera_behind_things_that_move_by_themselves():
    true = CameraStep(x=3.0, y=-2.0, zoom=0.01, turn=0.005)
    motion = true.field(18, 32, 16)
    motion[:, 4:12, 6:18] += np.array([9.0, 5.0])[:, None, None]  # a sixth of the image
    motion += np.random.default_rng(0).normal(0, 0.25, motion.shape)
    found = fit_camera(motion)
    assert (found.x, found.y) == pytest.approx((3.0, -2.0), abs=0.1)
    assert (found.zoom, found.turn) == pytest.approx((0.01, 0.005), abs=0.001)


def test_steadying_takes_shake_out_and_keeps_the_pan():
    noise = np.random.default_rng(0)
    shake = noise.normal(0, 0.004, (90, 2))
    path = np.zeros((90, 4))
    path[:, :2] = shake + np.linspace(0, 0.5, 90)[:, None] * [1, 0]
    steps = np.diff(path, axis=0, prepend=path[:1])
    moves = steady_moves(steps, [], sigma=15)
    left = np.diff((path + moves)[:, :2], axis=0)
    assert left.std(0).max() < 0.15 * np.diff(path[:, :2], axis=0).std(0).max()
    assert (path + moves)[-1, 0] == pytest.approx(0.5, abs=0.02)


def test_moved_images_move_by_what_was_asked():
    image = moving_images(1, 96, 128)[0]
    frame = VideoFrame.from_ndarray(image, format="rgb24").reformat(format="yuv420p")
    still, moved = (moved_image(frame, np.array([x, 0, 0, 0])) for x in (0.0, 4 / 128))
    apart = np.abs(rgb_array(still)[:, :-4].astype(int) - rgb_array(moved)[:, 4:])
    assert np.median(apart) <= 2


def test_a_shaky_film_is_steadier_afterwards(tmp_path):
    canvas = moving_images(1, 240, 320, seed=3)[0]
    shake = np.random.default_rng(1).integers(-4, 5, (40, 2))
    frames = [canvas[40 + y : 168 + y, 60 + x : 252 + x] for x, y in shake]
    data = synthetic_video(np.stack(frames), fps=25, options={"crf": "10"})
    result = edit_film(data, tmp_path / "steady.mp4", stabilise=True)
    before = next(iter(motion_profiles(data))).shake
    after = next(iter(motion_profiles(result.path))).shake
    assert after < 0.4 * before


def test_shots_are_found_to_the_frame_and_cut_out(tmp_path):
    data = synthetic_video(scenes([20, 31, 14]), tmp_path / "scenes.mp4", fps=24)
    shots = find_shots(data)
    assert [shot.start_seconds for shot in shots] == pytest.approx([0, 20 / 24, 51 / 24], abs=1e-3)
    second = cut_out(data, tmp_path / "b.mp4", shots[1].start_seconds, shots[1].end_seconds)
    assert second.num_frames == 31
    with open_video(tmp_path / "b.mp4") as video, open_video(data) as whole:
        own, original = (rgb_array(list(one.frames())[index]) for one, index in ((video, 0), (whole, 20)))
    assert np.abs(own.astype(int) - original).mean() < 3


def test_a_profile_tells_pans_from_things_that_move(tmp_path):
    pan = moving_images(72, 96, 128, (-2, 0))
    [profile] = motion_profiles(synthetic_video(pan, fps=24))
    assert (profile.camera, profile.direction) == ("pan-right", "none")
    assert profile.pan_x == pytest.approx(2 * 24 / 128, rel=0.1)
    ground = np.repeat(moving_images(1, 96, 128, seed=4), 72, 0)
    thing = moving_images(1, 32, 32, seed=5)[0]
    for index, image in enumerate(ground):
        image[32:64, index : index + 32] = 255 - thing
    [profile] = motion_profiles(synthetic_video(ground, fps=24))
    assert (profile.camera, profile.direction) == ("still", "right")
    assert profile.amount > 0.003


def test_an_overlay_has_arrows_where_things_move_and_the_sound_of_the_film(film, tmp_path):
    result = motion_overlay(film, tmp_path / "over.mp4")
    assert (result.num_frames, result.height, result.width, result.has_sound) == (30, 62, 90, True)
    data = synthetic_video(moving_images(24, 96, 128, (3, 0)), fps=24, options={"crf": "10"})
    motion_overlay(data, tmp_path / "arrows.mp4")
    with open_video(tmp_path / "arrows.mp4") as video, open_video(data) as plain:
        drawn, original = (rgb_array(list(one.frames())[12]).astype(int) for one in (video, plain))
    different = np.abs(drawn - original).max(-1) > 60
    assert 0.03 < different.mean() < 0.6
    assert np.median(drawn[different][:, 0] - drawn[different][:, 2]) > 60  # red: to the right


@pytest.fixture(scope="module")
def large_film(tmp_path_factory) -> Path:
    """A film of noise with sound, larger than what is read at once."""
    random = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("large") / "large.mp4"
    frames = [VideoFrame.from_ndarray(random.integers(0, 255, (120, 160, 3), np.uint8), "rgb24") for _ in range(60)]
    frames = [frame.reformat(format="yuv420p") for frame in frames]
    time = np.arange(RATE * 6) / RATE
    sound = Sound(samples=[0.5 * np.sin(2 * np.pi * 600 * time).astype(np.float32)[None]], rate=RATE, layout="mono")
    write_film(frames, path, fps=Fraction(FPS), sound=sound, crf=1)
    assert path.stat().st_size > 2**20
    return path


def test_sound_and_images_of_an_open_file_do_not_move_each_other(large_film, tmp_path, caplog):
    expected = edit_film(large_film, tmp_path / "path.mp4", reverse=True)
    with large_film.open("rb") as file:
        found = edit_film(file, tmp_path / "file.mp4", reverse=True)
    assert "damaged" not in caplog.text
    assert found.num_frames == expected.num_frames
    with open_video(tmp_path / "path.mp4") as one, open_video(tmp_path / "file.mp4") as other:
        for frame, same in zip(one.frames(), other.frames(), strict=True):
            assert np.array_equal(rgb_array(frame), rgb_array(same))
    assert pitches(tmp_path / "file.mp4", 1.0, 4.0) == [600, 600]


def test_the_case_of_an_extension_does_not_matter(film, tmp_path):
    edit_film(film, tmp_path / "out.MP4", reverse=True)
    with av.open(str(tmp_path / "out.MP4")) as container:
        assert [stream.codec_context.name for stream in container.streams] == ["h264", "aac"]
    edit_film(film, tmp_path / "out.WebM", reverse=True)
    assert numbers(tmp_path / "out.WebM")[0] == FPS * SECONDS - 1


def test_changes_by_name_go_with_an_edit(film, tmp_path):
    edit_film(film, tmp_path / "both.mp4", FilmEdit(speed=2.0), reverse=True, mute=True)
    assert numbers(tmp_path / "both.mp4")[0] > numbers(tmp_path / "both.mp4")[-1]
    assert len(numbers(tmp_path / "both.mp4")) == FPS * SECONDS // 2
    with pytest.raises(ConfigError, match="got revers, expected fields of FilmEdit"):
        edit_film(film, tmp_path / "no.mp4", revers=True)


@pytest.mark.parametrize("fps", [0, -1, float("nan"), float("inf"), True, "6", 1e9])
def test_a_rate_that_no_file_has_is_refused(film, tmp_path, fps, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # as it is for whoever calls this
    with pytest.raises(ConfigError, match="got fps="):
        edit_film(film, tmp_path / "no.mp4", reverse=True, fps=fps)
    assert not list(tmp_path.iterdir())


def test_of_the_shortest_video_one_frame_stays(tmp_path):
    short = synthetic_video(moving_images(1, 64, 64, (1, 0)), tmp_path / "one.mp4", fps=10)
    edit_film(short, tmp_path / "fast.mp4", speed=4)
    with open_video(tmp_path / "fast.mp4") as video:
        assert len(list(video.frames())) == 1


def test_a_video_of_which_no_frame_decodes_is_told(film, tmp_path):
    data = film.read_bytes()
    start = data.index(b"mdat") + 4
    blank = tmp_path / "blank.mp4"
    blank.write_bytes(data[:start] + bytes(len(data) - start) if data.index(b"moov") < start else data)
    for act in (
        lambda: edit_film(blank, tmp_path / "out.mp4", reverse=True),
        lambda: edit_film(blank, tmp_path / "out.mp4", stabilise=True),
        lambda: cut_out(blank, tmp_path / "out.mp4", 0, 1),
        lambda: find_shots(blank),
    ):
        with pytest.raises(MediaError, match="not one frame"):
            act()
    assert [path.name for path in tmp_path.iterdir()] == ["blank.mp4"]


def test_an_uneven_rate_is_steadied_too(tmp_path):
    path = tmp_path / "uneven.mkv"
    images = moving_images(30, 96, 96, (2, 0))
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width = stream.height = 96
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = Fraction(1, 90000)
        for number, image in enumerate(images):
            frame = VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = 3039 * number + number % 3, Fraction(1, 90000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with open_video(path) as video:
        reader = FrameReader(video)
        reader.rate = Fraction(3600000, 121543)  # as phones' files have it
        assert len(list(steadying(reader, lambda done: None).moves)) >= 25


def test_limits_of_time_hold_where_the_header_tells_none(tmp_path):
    path = synthetic_video(moving_images(30, 64, 64, (1, 0)), tmp_path / "long.ts", fps=10)
    limits = Limits(max_duration_seconds=1)
    with pytest.raises(LimitError, match="lasts"):
        find_shots(path, limits=limits)
    with pytest.raises(LimitError, match="lasts"):
        edit_film(path, tmp_path / "out.mp4", reverse=True, limits=limits)
