"""Jobs on disk: what a restart finds, what expires, what a request cannot reach."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from videolavit.errors import OutputError
from videolavit.server.jobs import JobStore


@pytest.fixture
def store(tmp_path):
    return JobStore(tmp_path / "store")


def create(store, prompt="a red circle"):
    return store.create(model="tiny", prompt=prompt, size="128x128", seconds="4", request={"seed": 1})


def reopened(store):
    store.close()
    return JobStore(store.folder, keep_seconds=store.keep_seconds, max_bytes=store.max_bytes)


def test_a_job_goes_from_queued_to_completed(store):
    job = create(store)
    assert (job.status, job.progress, job.as_api["object"]) == ("queued", 0, "video")
    store.update(job.id, status="in_progress")
    for percent in (30, 10, 120):
        store.note_progress(job.id, percent)
    assert store.get(job.id).progress == 99, "never back, and never 100 before the file is there"
    done = store.complete(job.id)
    assert (done.status, done.progress) == ("completed", 100)
    assert done.expires_at - done.completed_at == store.keep_seconds
    assert store.counts() == {"queued": 0, "in_progress": 0, "completed": 1, "failed": 0}


def test_a_job_that_ended_at_once_does_not_begin_behind_its_end(store):
    """Both are told on threads of their own, in either order."""
    assert store.begin(create(store).id).status == "in_progress"
    job = create(store)
    store.fail(job.id, "invalid_value", "no word is known")
    assert store.begin(job.id).status == "failed"
    assert reopened(store).get(job.id).error["code"] == "invalid_value"
    assert store.begin("video_" + "0" * 32) is None


def test_a_full_disk_leaves_no_half_job_and_nobody_waiting(store, monkeypatch):
    job = create(store)

    def full(*_, **__):
        raise OSError("no space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_text", full)
        with pytest.raises(OSError, match="no space"):
            create(store)
        with pytest.raises(OSError, match="no space"):
            store.fail(job.id, "storage_error", "the video could not be written")
    assert [path.name for path in store.folder.glob("*video_*")] == [job.id]
    assert store.list() == [store.get(job.id)]
    assert store.get(job.id).error["code"] == "storage_error"


def test_a_preview_that_cannot_be_written_ends_no_job(store, monkeypatch):
    from videolavit.server import video_jobs
    from videolavit.server.model_tasks import VideoRequest

    tried = []

    def full(_, path):
        tried.append(path.name)
        raise OutputError("no space left on device")

    monkeypatch.setattr(video_jobs, "_write_still", full)
    job = create(store)
    with ThreadPoolExecutor(1) as files:
        listener = video_jobs._Run(job, VideoRequest(), store, files, lambda _: None, lambda error: error)
        listener(("started", None))
        listener(("preview", (np.zeros((4, 8, 8, 3), np.uint8), 0)))
    assert tried == ["thumbnail.webp"]
    assert store.get(job.id).status == "in_progress"


def test_a_restart_keeps_what_is_done_and_fails_what_is_not(store):
    done, waiting, under_way = create(store), create(store), create(store)
    store.path(done.id).write_bytes(b"mp4")
    store.complete(done.id)
    store.update(under_way.id, status="in_progress")
    (store.folder / under_way.id / ".0123456789abcdef.unfinished.mp4").write_bytes(b"half")
    (store.folder / f".gone-{waiting.id}x").mkdir()
    again = reopened(store)
    assert again.get(done.id) == store.get(done.id)
    for job in (waiting, under_way):
        assert again.get(job.id).status == "failed"
        assert again.get(job.id).error["code"] == "server_restarted"
    assert [path.name for path in again.folder.rglob(".*") if path.name != ".lock"] == []


def test_a_damaged_job_is_left_alone_and_stops_nobody(store):
    job, other = create(store), create(store)
    (store.folder / job.id / "job.json").write_text("{")
    again = reopened(store)
    assert again.get(job.id) is None
    assert again.get(other.id) is not None


def test_a_deleted_job_is_gone_with_its_files(store):
    job = create(store)
    store.path(job.id).write_bytes(b"mp4")
    assert store.delete(job.id)
    assert not store.delete(job.id)
    assert store.get(job.id) is None
    assert not (store.folder / job.id).exists()
    assert store.update(job.id, status="completed") is None


def test_a_job_whose_folder_somebody_removed_can_be_deleted(store):
    job = create(store)
    shutil.rmtree(store.folder / job.id)
    assert store.delete(job.id)
    assert store.list() == []


def test_a_folder_that_goes_while_bytes_are_counted_counts_nothing(store, monkeypatch):
    stays, goes = create(store), create(store)
    scandir = os.scandir

    def meanwhile(path="."):
        if str(path).endswith(goes.id):
            raise FileNotFoundError(path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", meanwhile)
    assert store.num_bytes() == (store.folder / stays.id / "job.json").stat().st_size


def test_removing_what_expired_goes_on_after_it_failed_once():
    from videolavit.server.app import _sweep

    calls = []

    def sweep():
        calls.append("sweep")
        if len(calls) == 1:
            raise OSError("the disk is away")

    async def watched():
        with ThreadPoolExecutor(1) as files:
            services = SimpleNamespace(files=files, jobs=SimpleNamespace(sweep=sweep))
            sweeping = asyncio.ensure_future(_sweep(services, every_seconds=0.001))
            while len(calls) < 3:
                assert not sweeping.done()
                await asyncio.sleep(0.001)
            sweeping.cancel()

    asyncio.run(asyncio.wait_for(watched(), 30))


def test_what_expired_goes_and_so_do_the_oldest_when_there_is_too_much(store):
    jobs = [create(store) for _ in range(4)]
    for number, job in enumerate(jobs[:3]):
        store.path(job.id).write_bytes(bytes(100_000))
        store.complete(job.id)
        store.update(job.id, completed_at=number)
    store.update(jobs[0].id, expires_at=1)
    store.sweep()
    assert [job.id for job in store.list()] == [job.id for job in jobs[1:]]
    store.max_bytes = 150_000
    store.sweep()
    assert [job.id for job in store.list()] == [jobs[2].id, jobs[3].id], "what is not finished stays"


@pytest.mark.parametrize("name", ["../../etc/passwd", "video_", "video_" + "0" * 31 + "/", "", "video_" + "g" * 32])
def test_only_ids_name_files(store, name):
    with pytest.raises(OutputError):
        store.path(name)
    assert store.get(name) is None


def test_two_servers_do_not_share_a_folder(store):
    with pytest.raises(OutputError, match="another server"):
        JobStore(store.folder)


def test_what_is_on_disk_is_the_whole_job(store):
    job = store.update(create(store).id, progress=5)
    assert json.loads((store.folder / job.id / "job.json").read_text())["progress"] == 5
