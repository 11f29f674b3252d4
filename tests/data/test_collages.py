import numpy as np

from videolavit.cli import main
from videolavit.data.collages import render_collage
from videolavit.data.prepare_videos import CollagesData, collage_record
from videolavit.data.shards import ShardReader


def test_a_seed_decides_all_of_a_collage():
    clips = [render_collage(seed, frames=5, size=64) for seed in (3, 3, 4)]
    assert clips[0].shape == (5, 64, 64, 3)
    assert clips[0].dtype == np.uint8
    assert np.array_equal(clips[0], clips[1])
    assert not np.array_equal(clips[0], clips[2])


def test_most_collages_move_and_their_motion_is_found():
    records = [collage_record(CollagesData(first_seed=100), number) for number in range(8)]
    found = [np.abs(record.motion.astype(np.float32)).mean() for record in records if record is not None]
    assert len(found) >= 6
    assert sum(motion > 0.1 for motion in found) >= 4


def test_a_folder_holds_shapes_and_collages(tmp_path, capsys):
    for kind, count in (("shapes", 2), ("collages", 3)):
        assert main(["prepare", kind, "-o", str(tmp_path), "--num-videos", str(count)]) == 0
    assert "5 videos" in capsys.readouterr().out
    kinds = [bool(record.captions) for record in ShardReader(tmp_path)]
    assert kinds == [False] * 3 + [True] * 2
