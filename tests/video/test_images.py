"""One reader of still images: every kind of file that phones, cameras, scanners and designers make."""

import io

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageCms, ImageOps, TiffImagePlugin

from videolavit.errors import LimitError, MediaError, PromptError
from videolavit.video.io.images import describe_image, image_kind, open_image, read_image

RED, BLUE, GREEN, WHITE = (200, 40, 40), (40, 40, 200), (40, 160, 40), (255, 255, 255)


def photo(height=64, width=96):
    """Red on the left, blue on the right, a green corner at the lower left: no turn of it looks like itself."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[:, : width // 2], pixels[:, width // 2 :] = RED, BLUE
    pixels[3 * height // 4 :, : width // 4] = GREEN
    return pixels


def saved(image, kind, **options):
    file = io.BytesIO()
    image.save(file, format=kind, **options)
    return file.getvalue()


def assert_close(seen, expected, tolerance=4):
    assert seen.shape == expected.shape
    assert seen.dtype == np.uint8
    assert np.abs(seen.astype(int) - expected).mean() < tolerance


@pytest.mark.parametrize(
    "kind", ["PNG", "BMP", "DIB", "TIFF", "PPM", "PCX", "SGI", "TGA", "GIF", "JPEG", "WEBP", "AVIF"]
)
def test_formats_that_people_have(tmp_path, kind):
    path = tmp_path / f"photo.{kind.lower()}"
    Image.fromarray(photo()).save(path, format=kind)
    assert image_kind(path) == "image"
    assert_close(read_image(path), photo())
    assert describe_image(path).format in (kind, "BMP")


@pytest.mark.parametrize(
    ("kind", "size"), [("JPEG2000", (96, 64)), ("QOI", (96, 64)), ("DDS", (96, 64)), ("ICO", (96, 64))]
)
def test_formats_of_scanners_and_designers(kind, size):
    assert_close(
        read_image(saved(Image.fromarray(photo()), kind, **({"sizes": [size]} if kind == "ICO" else {}))), photo()
    )


def test_an_icon_is_read_at_its_largest():
    sizes = [(16, 16), (64, 64), (32, 32)]
    assert read_image(saved(Image.fromarray(photo(64, 64)), "ICO", sizes=sizes)).shape == (64, 64, 3)


def test_a_photoshop_file_is_its_composite_and_not_a_layer(tmp_path):
    pixels = photo(8, 12)
    header = b"8BPS" + (1).to_bytes(2, "big") + bytes(6) + (3).to_bytes(2, "big") + (8).to_bytes(4, "big")
    header += (12).to_bytes(4, "big") + (8).to_bytes(2, "big") + (3).to_bytes(2, "big") + bytes(12)
    content = header + bytes(2) + pixels.transpose(2, 0, 1).tobytes()
    assert np.array_equal(read_image(content), pixels)


@pytest.mark.parametrize("extension", [".jpg", ".mpo"])
def test_a_phone_photo_with_a_preview_behind_it_is_a_still(tmp_path, extension):
    path = tmp_path / f"phone{extension}"
    image = Image.fromarray(photo())
    image.save(path, format="MPO", save_all=True, append_images=[image.resize((48, 32))], quality=95)
    assert image_kind(path) == "image"
    assert_close(read_image(path), photo())


def test_a_motion_photo_is_its_photo(tmp_path):
    path = tmp_path / "MVIMG.jpg"
    path.write_bytes(saved(Image.fromarray(photo()), "JPEG", quality=95) + b"\0\0\0\x18ftypmp42" + bytes(5000))
    assert image_kind(path) == "image"
    assert_close(read_image(path), photo())


def test_the_first_page_of_a_scan_is_read_and_told(tmp_path, caplog):
    path = tmp_path / "scan.tif"
    first, second = Image.fromarray(photo()), Image.fromarray(photo()[::-1])
    first.save(path, save_all=True, append_images=[second])
    assert image_kind(path) == "image"
    assert np.array_equal(read_image(path), photo())
    assert "has 2 pages; page 1 is read" in caplog.text


def test_a_reduced_page_is_not_taken_for_the_image(tmp_path):
    path = tmp_path / "camera.tif"
    small, large = Image.fromarray(photo()).resize((24, 16)), Image.fromarray(photo())
    info = TiffImagePlugin.ImageFileDirectory_v2()
    info[254] = 1
    with TiffImagePlugin.AppendingTiffWriter(path, new=True) as writer:
        small.save(writer, format="TIFF", tiffinfo=info)
        writer.newFrame()
        large.save(writer, format="TIFF")
    assert read_image(path).shape == (64, 96, 3)


def test_a_raw_photo_is_refused_with_what_to_do(tmp_path):
    info = TiffImagePlugin.ImageFileDirectory_v2()
    info[50706] = b"\1\4\0\0"
    info.tagtype[50706] = 1
    with pytest.raises(MediaError, match="raw photo, which needs developing"):
        read_image(saved(Image.fromarray(photo()), "TIFF", tiffinfo=info))


MOVING = {"GIF": {}, "PNG": {}, "WEBP": {"lossless": True}, "AVIF": {}}


@pytest.mark.parametrize("kind", MOVING)
def test_animations_are_videos_and_single_frames_are_not(kind):
    frames = [Image.fromarray(np.roll(photo(), 9 * index, 1)) for index in range(3)]
    moving = saved(frames[0], kind, save_all=True, append_images=frames[1:], duration=100, **MOVING[kind])
    assert image_kind(moving) == "animation"
    with pytest.raises(MediaError, match="is an animation, not an image; pass it as video="):
        read_image(moving)
    assert image_kind(saved(frames[0], kind, save_all=True, **MOVING[kind])) == "image"


# Orientation

FORMATS_WITH_EXIF = ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "MPO"]
TURNED = {
    1: lambda image: image,
    2: ImageOps.mirror,
    3: lambda image: image.transpose(Image.Transpose.ROTATE_180),
    4: ImageOps.flip,
    5: lambda image: image.transpose(Image.Transpose.TRANSPOSE),
    6: lambda image: image.transpose(Image.Transpose.ROTATE_90),
    7: lambda image: image.transpose(Image.Transpose.TRANSVERSE),
    8: lambda image: image.transpose(Image.Transpose.ROTATE_270),
}
"""For each orientation, how an upright image is stored."""


def oriented(orientation, kind):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    options = {"quality": 95} if kind in ("JPEG", "MPO", "WEBP", "AVIF") else {}
    return saved(TURNED[orientation](Image.fromarray(photo())), kind, exif=exif, **options)


@pytest.mark.parametrize("kind", FORMATS_WITH_EXIF)
@pytest.mark.parametrize("orientation", TURNED)
def test_every_orientation_in_every_format(kind, orientation):
    content = oriented(orientation, kind)
    assert_close(read_image(content), photo())
    described = describe_image(content)
    assert (described.width, described.height) == (96, 64)


def test_an_orientation_in_xmp_counts():
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    assert_close(read_image(saved(TURNED[6](Image.fromarray(photo())), "JPEG", xmp=xmp, quality=95)), photo())


def test_an_image_in_memory_is_turned_too():
    with Image.open(io.BytesIO(oriented(8, "JPEG"))) as image:
        assert_close(read_image(image), photo())


def test_damaged_exif_data_does_not_hide_the_image():
    content = saved(Image.fromarray(photo()), "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff\x01\x12", quality=95)
    assert_close(read_image(content), photo())


# Bits a sample


def ramp(white):
    return np.linspace(0, white, 96 * 64).reshape(64, 96)


def grey(values, white):
    return np.repeat(np.round(values / white * 255).astype(np.uint8)[..., None], 3, 2)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM", "JPEG2000"])
def test_sixteen_bits_of_grey_become_eight(kind):
    values = ramp(65535).astype(np.uint16)
    content = saved(Image.fromarray(values), kind)
    assert np.abs(read_image(content).astype(int) - grey(values, 65535)).max() <= 1
    assert read_image(Image.fromarray(values)).std() > 60


def test_a_dark_sixteen_bit_image_stays_dark():
    assert read_image(saved(Image.fromarray(ramp(200).astype(np.uint16)), "PNG")).max() <= 1


def test_a_scan_whose_white_is_zero():
    values = ramp(65535).astype(np.uint16)
    content = saved(Image.fromarray(65535 - values), "TIFF", tiffinfo={262: 0})
    with Image.open(io.BytesIO(content)) as image:
        assert image.tag_v2[262] == 0
    assert np.abs(read_image(content).astype(int) - grey(values, 65535)).max() <= 1


def test_ten_bits_of_a_pgm():
    values = ramp(1023).astype(">u2")
    content = b"P5 96 64 1023\n" + values.tobytes()
    assert np.abs(read_image(content).astype(int) - grey(values, 1023)).max() <= 1


def png(header, rows):
    """A PNG of raw rows, with any depth and colour type."""
    import struct
    import zlib

    def chunk(name, body):
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    depth, colour, width, extra = header
    start = struct.pack(">IIBBBBB", width, len(rows), depth, colour, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + row for row in rows))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", start) + extra(chunk) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def nothing(chunk):
    return b""


def test_sixteen_bit_colour_and_alpha():
    colour = (photo().astype(np.uint16) * 257).astype(">u2")
    assert np.array_equal(read_image(png((16, 2, 96, nothing), [row.tobytes() for row in colour])), photo())
    alpha = np.concatenate([colour, np.full((64, 96, 1), 65535, ">u2")], 2).astype(">u2")
    alpha[:10, :, 3] = 0
    seen = read_image(png((16, 6, 96, nothing), [row.tobytes() for row in alpha]))
    assert np.array_equal(seen[10:], photo()[10:])
    assert (seen[:10] == 255).all()


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_few_bits(depth):
    levels = np.arange(8) % (1 << depth)
    packed = np.packbits(np.unpackbits(levels.astype(np.uint8)[:, None], axis=1)[:, 8 - depth :].reshape(-1)).tobytes()
    seen = read_image(png((depth, 0, 8, nothing), [packed]))
    assert np.array_equal(seen[0, :, 0], np.round(levels / ((1 << depth) - 1) * 255))


def test_bilevel_fax_pages():
    pixels = photo().mean(2) > 90
    content = saved(Image.fromarray(pixels), "TIFF", compression="group4")
    assert np.array_equal(read_image(content)[..., 0] == 255, pixels)


@pytest.mark.parametrize("scale", [1.0, 255.0, 4000.0])
def test_floats_are_read_from_zero_to_one_and_refused_otherwise(scale):
    content = saved(Image.fromarray((ramp(1.0) * scale).astype(np.float32)), "TIFF")
    if scale == 1.0:
        assert np.array_equal(read_image(content), grey(ramp(1.0), 1.0))
        return
    with pytest.raises(MediaError, match=r"float samples from 0 to .*convert it to 8 or 16 bits"):
        read_image(content)


def test_samples_that_are_not_numbers_are_refused():
    with pytest.raises(MediaError, match="samples that are not numbers"):
        read_image(Image.fromarray(np.full((4, 4), np.nan, np.float32)))


def test_integers_of_32_bits():
    assert read_image(Image.fromarray(np.full((4, 4), 200, np.int32)))[0, 0, 0] == 200
    with pytest.raises(MediaError, match="32-bit samples from -5"):
        read_image(Image.fromarray(np.full((4, 4), -5, np.int32)))


# Transparency


def with_hole(mode):
    """Opaque but for the upper half, whose hidden colour is black."""
    alpha = np.full((64, 96), 255, np.uint8)
    alpha[:32] = 0
    pixels = photo()
    pixels[:32] = 0
    image = Image.fromarray(np.dstack([pixels, alpha]))
    return image if mode == "RGBA" else image.convert(mode)


@pytest.mark.parametrize(
    ("mode", "kind"),
    [
        ("RGBA", "PNG"),
        ("LA", "PNG"),
        ("RGBA", "WEBP"),
        ("RGBA", "TIFF"),
        ("RGBA", "AVIF"),
        ("RGBA", "TGA"),
        ("RGBA", "QOI"),
    ],
)
def test_what_is_transparent_is_white(tmp_path, mode, kind):
    path = tmp_path / f"hole.{kind.lower()}"
    with_hole(mode).save(path, format=kind, **({"lossless": True} if kind == "WEBP" else {}))
    seen = read_image(path)
    assert (seen[:30] >= 252).all()
    if mode == "RGBA":
        assert_close(seen[34:], photo()[34:])


def test_half_transparent_is_half_white():
    pixels = np.full((4, 4, 4), (0, 0, 0, 128), np.uint8)
    assert abs(int(read_image(Image.fromarray(pixels))[0, 0, 0]) - 127) <= 1
    premultiplied = Image.fromarray(pixels).convert("RGBa")
    assert abs(int(read_image(premultiplied)[0, 0, 0]) - 127) <= 1


@pytest.mark.parametrize("kind", ["PNG", "GIF"])
def test_a_transparent_colour_of_a_palette(kind):
    image = Image.fromarray(photo()).quantize(4)
    corner = image.getpixel((0, 0))
    seen = read_image(saved(image, kind, transparency=corner))
    assert tuple(seen[0, 0]) == WHITE
    assert_close(seen[:32, 50:], photo()[:32, 50:])


def test_alpha_of_each_palette_entry():
    image = Image.fromarray(photo()).quantize(4)
    alphas = bytearray(b"\xff" * 4)
    alphas[image.getpixel((0, 0))] = 0
    seen = read_image(saved(image, "PNG", transparency=bytes(alphas)))
    assert tuple(seen[0, 0]) == WHITE


def test_a_transparent_colour_of_rgb_and_of_deep_grey():
    assert tuple(read_image(saved(Image.fromarray(photo()), "PNG", transparency=RED))[0, 0]) == WHITE
    values = np.full((2, 4), 1000, ">u2")
    values[0] = 0
    content = png((16, 0, 4, lambda chunk: chunk(b"tRNS", (0).to_bytes(2, "big"))), [row.tobytes() for row in values])
    seen = read_image(content)
    assert (seen[0] == 255).all()
    assert (seen[1] == round(1000 / 257)).all()


# Colour


def test_cmyk_of_a_printer():
    image = Image.fromarray(photo()).convert("CMYK")
    assert_close(read_image(saved(image, "JPEG", quality=95)), photo())
    assert_close(read_image(saved(image, "TIFF")), photo(), 1)


def test_a_profile_changes_the_numbers():
    """Red of Display P3, made by another way: Pillow's own transform of a matrix profile is checked by arithmetic."""
    content = saved(
        Image.fromarray(np.full((8, 8, 3), (128, 128, 128), np.uint8)), "PNG", icc_profile=gamma_profile(1.0)
    )
    linear = 128 / 255
    expected = 255 * (1.055 * linear ** (1 / 2.4) - 0.055)
    assert np.abs(read_image(content).astype(float) - expected).max() <= 2


def test_red_of_display_p3_is_stronger_than_red_of_srgb():
    """A profile with P3's primaries, D50-adapted as ICC has them."""
    p3 = {
        b"rXYZ": (0.51512, 0.2412, -0.00105),
        b"gXYZ": (0.29198, 0.69225, 0.04189),
        b"bXYZ": (0.1571, 0.06657, 0.78407),
    }
    content = saved(Image.new("RGB", (8, 8), (200, 60, 60)), "PNG", icc_profile=gamma_profile(2.2, p3))
    red, green, _ = read_image(content)[0, 0].tolist()
    assert red > 210
    assert green < 50


def gamma_profile(gamma, primaries=None):
    """An ICC matrix profile with the primaries of sRGB and another gamma."""
    import struct

    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    count = struct.unpack(">I", profile[128:132])[0]
    for index in range(count):
        name, offset, _ = struct.unpack(">4sII", profile[132 + 12 * index : 144 + 12 * index])
        if name in (b"rTRC", b"gTRC", b"bTRC"):
            curve = b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256)) + bytes(2)
            profile[offset : offset + len(curve)] = curve
        if name in (primaries or {}):
            numbers = (round(65536 * value) for value in primaries[name])
            profile[offset + 8 : offset + 20] = struct.pack(">iii", *numbers)
        if name == b"desc":
            text = (
                profile[offset : offset + 200]
                .replace(b"s\0R\0G\0B", b"x\0R\0G\0B")
                .replace(b"\0s\0R\0G\0B", b"\0x\0R\0G\0B")
            )
            profile[offset : offset + 200] = text
    return bytes(profile)


def test_an_srgb_profile_changes_nothing():
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert np.array_equal(read_image(saved(Image.fromarray(photo()), "PNG", icc_profile=profile)), photo())


def test_a_damaged_profile_is_told_and_left_out(caplog):
    content = saved(Image.fromarray(photo()), "PNG", icc_profile=b"no profile at all")
    assert np.array_equal(read_image(content), photo())
    assert "its colour profile is ignored" in caplog.text


def test_a_profile_of_other_channels_is_left_out(caplog):
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    assert np.array_equal(read_image(saved(Image.fromarray(photo()), "PNG", icc_profile=lab)), photo())
    assert "its colour profile is ignored" in caplog.text


def test_adobe_rgb_that_only_the_camera_names():
    exif = Image.Exif()
    exif[ExifTags.IFD.Exif] = {0xA001: 65535, ExifTags.IFD.Interop: {1: "R03"}}
    seen = read_image(saved(Image.fromarray(photo()), "PNG", exif=exif))
    assert seen[0, 0, 0] > RED[0] + 10  # the same numbers mean a stronger red
    assert np.array_equal(read_image(saved(Image.new("RGB", (4, 4), (90, 90, 90)), "PNG", exif=exif)).std(), 0.0)


def test_lab_and_other_models():
    lab = ImageCms.profileToProfile(
        Image.fromarray(photo()), ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB"
    )
    assert_close(read_image(saved(lab, "TIFF")), photo(), 3)
    for mode in ("YCbCr", "HSV"):
        assert_close(read_image(Image.fromarray(photo()).convert(mode)), photo(), 3)


# What is refused, and how


def test_urls_are_shown_as_given():
    from pathlib import Path

    for source in ("https://example.com/cat.jpg", Path("https://example.com/cat.jpg"), "s3://bucket/cat.png"):
        shown = str(source).replace(":/", "://").replace(":///", "://")
        with pytest.raises(MediaError, match=rf"{shown}: is a URL, expected a file; download it first"):
            read_image(source)
    with pytest.raises(MediaError, match=r"data:image/png;base64,.*\.\.\.: is a URL"):
        read_image("data:image/png;base64," + 1000 * "A")


def test_file_urls_and_home_folders_are_paths(tmp_path, monkeypatch):
    path = tmp_path / "a cat.png"
    Image.fromarray(photo()).save(path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for source in (path.as_uri(), "~/a cat.png", str(path), path):
        assert np.array_equal(read_image(source), photo())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"is empty \(0 bytes\)"),
        (b"<html>not found</html>", "is not an image in one of PNG, JPEG"),
        (b"\x89PNG\r\n\x1a\n", "is not an image|cannot be read as an image"),
        (b"%PDF-1.7", "is not an image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "is not an image"),
        (bytes(4) + b"ftypisom" + bytes(50), "is not an image"),
    ],
)
def test_what_is_no_image_is_one_message(tmp_path, content, message):
    path = tmp_path / "file.png"
    path.write_bytes(content)
    with pytest.raises(MediaError, match=message):
        read_image(path)
    assert image_kind(path) is None


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF", "GIF", "BMP", "AVIF"])
def test_half_a_file_is_one_message(kind):
    content = saved(Image.effect_noise((96, 64), 80).convert("RGB"), kind)
    with pytest.raises(MediaError):
        read_image(content[: len(content) // 2])


def test_every_flipped_byte_gives_an_image_or_one_message():
    generator = np.random.default_rng(0)
    for kind in ("PNG", "JPEG", "GIF", "TIFF", "BMP", "WEBP"):
        content = saved(Image.fromarray(photo(16, 24)), kind)
        for _ in range(60):
            damaged = bytearray(content)
            for position in generator.integers(0, len(content), 3):
                damaged[position] = generator.integers(0, 256)
            try:
                assert read_image(bytes(damaged)).ndim == 3
            except MediaError as error:
                assert "\n" not in str(error)  # noqa: PT017 - either way is right


def test_too_many_pixels_are_refused_and_a_large_photo_is_not():
    content = saved(Image.new("1", (16384, 12300)), "PNG")  # 200 million, as phones have
    assert image_kind(content) == "image"
    with open_image(content) as image:
        assert image.size == (16384, 12300)
    with pytest.raises(LimitError, match="make it smaller first"):
        read_image(saved(Image.new("1", (20_000, 20_000)), "PNG"))


def test_what_is_no_image_at_all():
    for source in (3, None, ["a.png"]):
        with pytest.raises(PromptError, match="expected a path"):
            read_image(source)
    with pytest.raises(PromptError, match="pass several frames as video="):
        read_image(np.zeros((2, 4, 4, 3), np.uint8))
    with pytest.raises(MediaError, match="no such file"):
        read_image("nowhere.png")
    with pytest.raises(MediaError, match="null character"):
        read_image("a\0b.png")


def test_bytes_and_file_objects_are_read(tmp_path):
    content = saved(Image.fromarray(photo()), "PNG")
    file = io.BytesIO(content)
    assert np.array_equal(read_image(content), photo())
    assert np.array_equal(read_image(file), photo())
    assert not file.closed


def test_heic_photos(tmp_path):
    pillow_heif = pytest.importorskip("pillow_heif")
    path = tmp_path / "IMG_0001.HEIC"
    pillow_heif.from_pillow(Image.fromarray(photo())).save(path, quality=95)
    assert image_kind(path) == "image"
    assert_close(read_image(path), photo())


def test_heic_without_its_library_says_what_to_install(tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    path = tmp_path / "IMG_0001.HEIC"
    path.write_bytes(bytes(4) + b"ftypheic" + bytes(200))
    with pytest.raises(MediaError, match=r"is a HEIC image.*pip install 'videolavit\[heic\]'"):
        read_image(path)


def test_file_objects_that_give_no_bytes_are_told(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(saved(Image.fromarray(photo()), "PNG"))
    with path.open(encoding="latin-1") as text, pytest.raises(MediaError, match="open as text, expected bytes"):
        read_image(text)
    closed = path.open("rb")
    closed.close()
    with pytest.raises(MediaError, match="cannot be read"):
        read_image(closed)


def test_half_a_file_of_several_pages_is_told(tmp_path):
    pages = [Image.fromarray(photo()), Image.fromarray(photo()[::-1].copy())]
    file = io.BytesIO()
    pages[0].save(file, "TIFF", save_all=True, append_images=pages[1:])
    path = tmp_path / "a.tiff"
    told = 0
    for share in (0.3, 0.5, 0.7, 0.9):
        path.write_bytes(file.getvalue()[: int(share * len(file.getvalue()))])
        for look in (read_image, describe_image):
            try:
                look(path)
            except MediaError:  # and nothing else; a page may be whole
                told += 1
    assert told
