import itertools
import json
import tarfile

import numpy as np
import pytest

from videolavit.data.frame_store import decode_mp4, encode_mp4
from videolavit.data.prepare_videos import SHAPES_FRONT_END, ShapesData, prepare_shapes, shapes_record, video_record
from videolavit.data.shapes import Event, render, sample_scene
from videolavit.data.shards import ShardReader, write_shard
from videolavit.errors import MediaError, OutputError
from videolavit.jobs.shard_jobs import JobOptions
from videolavit.training.shard_folders import open_shard_folders

DATA = ShapesData(num_videos=5, first_seed=7, clips=(1, 2))


@pytest.fixture(scope="module")
def records():
    return [record for record in (shapes_record(DATA, number) for number in range(5)) if record is not None]


@pytest.fixture
def folder(tmp_path, records):
    write_shard(records, tmp_path / "a.tar")
    return tmp_path


def test_records_come_back_as_they_were(folder, records):
    reader = ShardReader(folder)
    assert len(reader) == len(records)
    for read, written in zip(reader, records, strict=True):
        assert np.array_equal(read.keyframes, written.keyframes)
        assert np.array_equal(read.motion, written.motion)
        assert read.frames.shape == written.frames.shape
        assert np.abs(read.frames.astype(int) - written.frames).mean() < 1.5
        for name in ("motion_size", "captions", "image_captions", "questions", "about_image", "source"):
            assert getattr(read, name) == getattr(written, name)


def test_parts_of_a_record_can_be_read_alone(folder, records):
    reader = ShardReader(folder)
    assert np.array_equal(reader.keyframes(1), records[1].keyframes)
    assert np.array_equal(reader.motion(1)[1].values, records[1].motion_of(1).values)
    assert reader.words(1)["captions"] == list(records[1].captions)


def test_a_shard_is_a_plain_tar_file_with_the_usual_names(folder, records):
    with tarfile.open(folder / "a.tar") as tar:
        names = tar.getnames()
    keys = [name.split(".", 1)[0] for name in names]
    assert [key for key, _ in itertools.groupby(keys)] == [f"{number:08d}" for number in range(len(records))]
    assert {name.split(".", 1)[1] for name in names} == {"json", "keyframes.png", "motion.npz", "frames.mp4"}


def test_a_shard_that_fails_leaves_nothing(tmp_path, records):
    def broken():
        yield records[0]
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_shard(broken(), tmp_path / "a.tar")
    assert list(tmp_path.iterdir()) == []


def test_a_missing_folder_is_an_error(tmp_path, records):
    with pytest.raises(OutputError, match="does the folder exist"):
        write_shard(records, tmp_path / "nowhere" / "a.tar")


def test_damaged_shards_are_refused(folder, tmp_path):
    tar, index = folder / "a.tar", folder / "a.index.json"
    content = tar.read_bytes()
    tar.write_bytes(content[: len(content) // 2])
    with pytest.raises(MediaError, match=r"its index speaks of \d+; prepare it again"):
        ShardReader(folder)
    tar.write_bytes(content)
    index.write_text("[[")
    with pytest.raises(MediaError, match=r"index\.json: cannot be read"):
        ShardReader(folder)
    index.unlink()
    tar.unlink()
    with pytest.raises(MediaError, match="holds no shards"):
        ShardReader(folder)


def test_a_record_without_a_part_says_which(folder):
    index = folder / "a.index.json"
    places = json.loads(index.read_text())
    del places[0]["motion.npz"]
    index.write_text(json.dumps(places))
    with pytest.raises(MediaError, match=r"record 0 has no motion\.npz, it has json"):
        ShardReader(folder).motion(0)


def test_frames_survive_the_mp4():
    frames = render(sample_scene(3))
    decoded = decode_mp4(encode_mp4(frames))
    assert decoded.shape == frames.shape
    assert np.abs(decoded.astype(int) - frames).mean() < 1.5


def test_motion_of_a_record_is_the_motion_of_the_scene():
    wanted = (Event(direction="right", speed="quickly"),)
    scene = next(s for s in map(sample_scene, range(500)) if s.actors[0].events == wanted and s.camera == "still")
    record = video_record(render(scene), SHAPES_FRONT_END)
    assert record is not None
    motion = record.motion_of(0).values / SHAPES_FRONT_END.motion_scale
    centres, _ = scene.actors[0].path()
    for frame in range(1, 24):
        x, y = centres[frame] / 8  # cells of 16 pixels in an image of twice the size
        assert motion[:, frame, int(y), int(x)] == pytest.approx([3.0, 0.0], abs=0.6)


@pytest.mark.slow
def test_workers_write_the_same_records_and_finished_shards_are_kept(tmp_path):
    data = ShapesData(num_videos=6)
    prepare_shapes(data, tmp_path / "two", jobs=JobOptions(workers=2), videos_per_shard=3)
    prepare_shapes(data, tmp_path / "one", jobs=JobOptions(), videos_per_shard=3)
    one, two = ShardReader(tmp_path / "one"), ShardReader(tmp_path / "two")
    assert [record.source for record in one] == [record.source for record in two]
    assert all(np.array_equal(a.motion, b.motion) for a, b in zip(one, two, strict=True))
    kept = tmp_path / "one" / "shapes-00001.tar"
    before = kept.stat().st_mtime_ns
    (tmp_path / "one" / "shapes-00000.tar").unlink()
    prepare_shapes(data, tmp_path / "one", jobs=JobOptions(), videos_per_shard=3)
    assert kept.stat().st_mtime_ns == before
    assert len(ShardReader(tmp_path / "one")) == len(one)


COMPONENTS = ("json", "keyframes.png", "motion.npz", "frames.mp4")
READS = {"json": "words", "keyframes.png": "keyframes", "motion.npz": "motion", "frames.mp4": "frames"}


def damage(folder, number, name, change):
    """Change the bytes of one file of a record."""
    offset, size, _ = json.loads((folder / "a.index.json").read_text())[number][name]
    content = bytearray((folder / "a.tar").read_bytes())
    content[offset : offset + size] = change(bytes(content[offset : offset + size]))
    (folder / "a.tar").write_bytes(content)


def forget_checksums(folder):
    """The index as it was before it had checksums."""
    index = folder / "a.index.json"
    records = json.loads(index.read_text())
    index.write_text(json.dumps([{name: place[:2] for name, place in places.items()} for places in records]))


def one_bit(content):
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


def zeros(content):
    return bytes(len(content))


@pytest.mark.parametrize("name", COMPONENTS)
@pytest.mark.parametrize("change", [one_bit, zeros])
def test_damage_in_any_part_of_a_record_is_found_and_named(folder, name, change):
    damage(folder, 1, name, change)
    reader = ShardReader(folder)
    assert len(reader[0].keyframes)
    for read in (getattr(reader, READS[name]), reader.__getitem__):
        with pytest.raises(MediaError, match=rf"a\.tar: record 1, {name}, is damaged.*checksum.*prepare it again"):
            read(1)


@pytest.mark.parametrize("name", COMPONENTS)
def test_without_checksums_what_libraries_raise_names_the_record(folder, name):
    damage(folder, 1, name, zeros)
    forget_checksums(folder)
    reader = ShardReader(folder)
    with pytest.raises(MediaError, match=rf"a\.tar: record 1, {name}, is damaged: \w+: "):
        reader[1]


def test_shards_without_checksums_are_read(folder, records):
    forget_checksums(folder)
    assert np.array_equal(ShardReader(folder)[1].keyframes, records[1].keyframes)


@pytest.mark.parametrize(
    "index", ['{"a": 1}', '[{"json": [-5, 3]}]', '[{"json": "ab"}]', "[3]", "", "[{}", '[{"json": [1]}]']
)
def test_an_index_that_makes_no_sense_is_one_message(folder, index):
    (folder / "a.index.json").write_text(index)
    with pytest.raises(MediaError, match=r"a\.index\.json: cannot be read"):
        ShardReader(folder)


def test_the_record_of_a_later_shard_is_counted_within_it(tmp_path, records):
    for name in ("a.tar", "b.tar"):
        write_shard(records, tmp_path / name)
    content = (tmp_path / "b.tar").read_bytes()
    (tmp_path / "b.tar").write_bytes(bytes(len(content)))
    with pytest.raises(MediaError, match=r"b\.tar: record 0, json, is damaged"):
        ShardReader(tmp_path).words(len(records))


def test_a_shard_of_which_no_video_could_be_read_is_empty_and_not_damaged(tmp_path):
    assert write_shard([], tmp_path / "videos-00000.tar") == 0
    assert len(ShardReader(tmp_path)) == 0
    assert len(ShardReader(tmp_path / "videos-00000.tar")) == 0
    (tmp_path / "none").mkdir()
    with pytest.raises(MediaError, match="holds no shards"):
        ShardReader(tmp_path / "none")


def test_folders_whose_shards_hold_no_video_teach_nothing(tmp_path):
    write_shard([], tmp_path / "videos-00000.tar")
    with pytest.raises(MediaError, match="hold no video"):
        open_shard_folders(str(tmp_path))
