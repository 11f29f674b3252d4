"""Files of videos as shards: folders grow, and a video that kills its process is named and left out."""

import json
import shutil

import pytest
from movies import write_movie
from shard_work import Poisoned

from videolavit.data.made_of import SourceNote
from videolavit.data.prepare_videos import SHAPES_FRONT_END
from videolavit.data.shards import ShardReader
from videolavit.data.video_files import VideoFiles, VideoShard, planned_shards
from videolavit.data.video_lists import NamedVideo
from videolavit.errors import ConfigError
from videolavit.jobs.shard_jobs import JobOptions, run_jobs


def plan(folder, names, **changes):
    named = [NamedVideo(path=folder / f"{name}.mp4") for name in names]
    shards = planned_shards(folder, named, "options", **({"videos_per_shard": 2} | changes))
    return {name: [video.path.stem for video in videos] for name, videos in shards}


def test_a_folder_grows_and_does_not_change(tmp_path):
    assert plan(tmp_path, "bcd") == {"videos-00000": ["b", "c"], "videos-00001": ["d"]}
    grown = {"videos-00000": ["b", "c"], "videos-00001": ["d"], "videos-00002": ["a", "e"]}
    assert plan(tmp_path, "abcde") == grown
    assert plan(tmp_path, "edcba", videos_per_shard=100) == grown
    assert len((tmp_path / "videos.manifest.jsonl").read_text().splitlines()) == 3
    with pytest.raises(ConfigError, match="1 of its 5 videos are not listed any more"):
        plan(tmp_path, "abcd")
    with pytest.raises(ConfigError, match="other options"):
        planned_shards(tmp_path, [], "others", videos_per_shard=2)


@pytest.mark.slow
def test_a_video_that_kills_its_process_is_named_and_skipped(tmp_path):
    write_movie(tmp_path / "good.mp4", seconds=5)
    shutil.copy(tmp_path / "good.mp4", tmp_path / "poison.mp4")
    shutil.copy(tmp_path / "good.mp4", tmp_path / "z.mp4")
    (tmp_path / "empty.mp4").write_bytes(b"")
    videos = tuple(NamedVideo(path=tmp_path / f"{name}.mp4") for name in ("empty", "good", "poison", "z"))
    shard = VideoShard(
        path=tmp_path / "out" / "videos-00000.tar", files=Poisoned(videos=videos, video_processor=SHAPES_FRONT_END)
    )
    shard.path.parent.mkdir()
    [outcome] = run_jobs([shard], JobOptions(), isolated=True)
    assert outcome.state == "made"
    problems = SourceNote(shard.path).problems
    assert {name.rpartition("/")[2] for name in problems} == {"empty.mp4", "poison.mp4"}
    assert "killed the process" in problems[str(tmp_path / "poison.mp4")]
    assert [record.source["path"] for record in ShardReader(shard.path)] == ["good.mp4", "z.mp4"]
    assert run_jobs([shard], JobOptions(), isolated=True) == []
    assert sorted(path.name for path in shard.path.parent.iterdir()) == [
        "videos-00000.index.json",
        "videos-00000.made_of.json",
        "videos-00000.tar",
    ]
    cured = VideoShard(path=shard.path, files=VideoFiles(videos=videos, video_processor=SHAPES_FRONT_END))
    assert [o.state for o in run_jobs([cured], JobOptions(retry_failed=True))] == ["made"]
    assert len(ShardReader(shard.path)) == 3
    assert list(json.loads(shard.path.with_suffix(".made_of.json").read_text())["problems"]) == [str(videos[0].path)]
