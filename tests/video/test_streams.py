"""Several streams, colours and pixels that are not honoured, and what is said of them."""

import io
from fractions import Fraction

import av
import numpy as np
import pytest
from av.video.frame import VideoFrame
from av.video.reformatter import Colorspace
from PIL import Image
from video.media import moving_images

from videolavit.errors import ConfigError, MediaError
from videolavit.video import Limits, decompose, open_video, probe
from videolavit.video.clips.timeline import images_on_ticks
from videolavit.video.io import open as opening
from videolavit.video.io.pixels import plane_samples, rgb_array, to_yuv420p


def encoded(*levels, container="matroska", **context):
    """One video stream for each grey level; `context` sets what the streams say of themselves."""
    file = io.BytesIO()
    with av.open(file, "w", format=container) as output:
        streams = []
        for level in levels:
            stream = output.add_stream("libx264", rate=6, options={"crf": "1"})
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            for name, value in context.items():
                setattr(stream.codec_context, name, value)
            streams.append((stream, level))
        for index in range(6):
            for stream, level in streams:
                image = np.full((48, 64, 3), level, np.uint8)
                image[:, 32:] = (200, 40, 40)
                frame = av.VideoFrame.from_ndarray(image, format="rgb24")
                frame.pts, frame.time_base = index, Fraction(1, 6)
                output.mux(stream.encode(frame))
        for stream, _ in streams:
            output.mux(stream.encode(None))
    return file.getvalue()


def level(source, **options):
    return int(next(images_on_ticks(source, limits=Limits(**options)))[:, 8:24].mean())


def test_a_stream_is_chosen_by_its_number():
    data = encoded(50, 200)
    assert abs(level(data, video_stream=0) - 50) < 4
    assert abs(level(data, video_stream=1) - 200) < 4
    assert abs(decompose(data, limits=Limits(video_stream=1))[0].keyframe[:, 8:24].mean() - 200) < 4
    assert probe(data, limits=Limits(video_stream=1)).num_video_streams == 2


def test_a_stream_that_is_not_there_is_told():
    with pytest.raises(MediaError, match="has 2 video streams, so there is no video_stream=2; they are counted from 0"):
        probe(encoded(50, 200), limits=Limits(video_stream=2))
    with pytest.raises(ConfigError, match="got video_stream=-1, expected 0 or more"):
        Limits(video_stream=-1)


@pytest.mark.parametrize("matrix", [1, 5, 6, 9], ids=["bt709", "bt470bg", "smpte170m", "bt2020nc"])
def test_an_image_of_the_original_has_the_colours_of_its_keyframe(matrix):
    """The same samples with any tag: both sides of a score go the same way."""
    data = encoded(120, colorspace=matrix, color_range=1)
    original = next(images_on_ticks(data)).astype(int)
    [clip] = decompose(data, max_clips=1)
    assert np.abs(original - clip.keyframe)[:, 34:60].mean() < 3
    assert np.abs(original - next(images_on_ticks(encoded(120)))).max() <= 1


@pytest.mark.parametrize(
    ("context", "message"),
    [
        ({"color_trc": 16}, r"is HDR video \(PQ\)"),
        ({"color_trc": 18}, r"is HDR video \(HLG\)"),
        ({"sample_aspect_ratio": Fraction(4, 3)}, "has pixels of 4 : 3, which are taken for square"),
    ],
)
def test_what_is_not_honoured_is_told_once(context, message, caplog):
    opening._tell_once.cache_clear()
    data = encoded(120, container="mp4", **context)
    for _ in range(2):
        probe(data)
    assert len([record for record in caplog.records if record.levelname == "WARNING"]) == 1
    assert caplog.records[0].getMessage()
    import re

    assert re.search(message, caplog.text)


@pytest.mark.parametrize(("kind", "extension"), [("PNG", "png"), ("GIF", "gif"), ("WEBP", "webp")])
def test_what_is_transparent_in_an_animation_is_white(tmp_path, kind, extension):
    images = []
    for shade in (40, 200):
        image = Image.new("RGBA", (64, 64), (shade, 0, 0, 255))
        image.paste((0, 0, 0, 0), (0, 0, 16, 16))
        images.append(image)
    path = tmp_path / f"a.{extension}"
    options = {"lossless": True} if kind == "WEBP" else {"disposal": 2} if kind == "GIF" else {}
    images[0].save(path, kind, save_all=True, append_images=images[1:], duration=200, **options)
    with open_video(path) as video:
        frames = [rgb_array(frame) for frame in video.frames()]
    assert len(frames) >= 2
    for frame in frames[:2]:
        assert frame[4, 4].min() > 245
        assert frame[40, 40, 1] < 12


def test_what_hides_nothing_changes_no_colour():
    plain = VideoFrame.from_ndarray(moving_images(1, 64, 64, (1, 0))[0], format="rgb24").reformat(format="yuv420p")
    opaque = plain.reformat(format="yuva420p")
    opaque.colorspace = plain.colorspace = Colorspace.ITU709
    difference = np.abs(rgb_array(opaque).astype(int) - rgb_array(plain))
    assert difference.mean() < 1.5
    samples = (plane_samples(to_yuv420p(one, 64, 64).planes[0]).astype(int) for one in (opaque, plain))
    assert np.abs(np.subtract(*samples)).mean() < 1.5
