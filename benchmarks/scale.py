"""Large data: opening and sampling a million token videos, and videos per second of one process, parts and Ray.

    python benchmarks/scale.py open                     # synthetic token videos: 10 thousand and a million
    python benchmarks/scale.py open --videos 100000
    python benchmarks/scale.py prepare --clips 24       # rendered clips through `prepare videos`
    python benchmarks/scale.py prepare --clips 24 --ray

`open` measures each folder in a process of its own, after its imports. A draw is in processor time, the least of 30
means of 400. What a process shares with others, pages of files that the system may drop, is not its own memory.

`prepare` gives the same files to the floor (a loop that reads and takes apart, and writes nothing), to one launch, to
two launches with `--part` side by side, and to Ray with two actors; start-up is part of every row but the floor's, and
its seconds stand beside it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

VIDEOS_PER_SHARD = 10_000

OPEN = """
import json, sys, time
import numpy as np, psutil, torch
from videolavit.data.tokens import TokenReader
from videolavit.training.batches import Shuffled, batches
folder, steps = sys.argv[1], 30_000
process = psutil.Process()
imports = process.memory_full_info().uss
before, began = process.memory_info().rss, time.perf_counter()
reader = TokenReader(folder)
numbers = reader.with_words("captions")
opened, grown = time.perf_counter() - began, process.memory_info().rss - before

class Videos:
    def __len__(self):
        return len(numbers)
    def __getitem__(self, key):
        return reader[int(numbers[key[0]])]

began = time.perf_counter()
samples = Shuffled(Videos(), 0)
samples[0]
first = time.perf_counter() - began
random = np.random.default_rng(0).integers(0, len(numbers), 4000)
def seconds_each(draws):
    began = time.process_time()
    for draw in draws:
        samples[int(draw)]
    return (time.process_time() - began) / len(draws)

each = min(seconds_each(part) for _ in range(3) for part in np.split(random, 10))

def first_batch(step):
    began = time.perf_counter()
    next(iter(batches(samples, len, batch_size=64, parts=1, first_step=step, num_steps=steps)))
    return time.perf_counter() - began

print(json.dumps({
    "videos": len(reader), "open s": opened, "open MB": grown / 1e6, "first draw s": first, "draw us": each * 1e6,
    "batch at 0, s": first_batch(0), "batch at 29999, s": first_batch(steps - 1),
    "process MB": process.memory_info().rss / 1e6, "its own MB": process.memory_full_info().uss / 1e6,
    "of these imports MB": imports / 1e6,
}))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["open", "prepare"])
    parser.add_argument("--videos", type=int, default=1_000_000)
    parser.add_argument("--clips", type=int, default=24, help="files of 10 s each")
    parser.add_argument("--ray", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if options.what == "open":
            print_rows([opened(Path(folder), number) for number in (VIDEOS_PER_SHARD, options.videos)])
        else:
            print_rows(prepared(Path(folder), options.clips, options.ray))


def opened(folder: Path, number: int) -> dict[str, float]:
    """Measurements of a folder of that many synthetic token videos."""
    target = folder / str(number)
    target.mkdir()
    one = synthetic_shard(folder / "one")
    for shard in range(max(1, number // VIDEOS_PER_SHARD)):
        for file in one:
            os.link(file, target / file.name.replace("shard", f"shard-{shard:05d}"))
    answer = subprocess.run([sys.executable, "-c", OPEN, target], capture_output=True, text=True, check=True)
    return json.loads(answer.stdout)


def synthetic_shard(folder: Path) -> list[Path]:
    """Files of one shard of random ids, 229 for each video, as in the paper's setting, and two captions."""
    import torch

    from videolavit.data.tokens import TokenizedClip, TokenizedVideo, TokenShard, write_tokens
    from videolavit.vocabulary import Vocabulary

    if not folder.exists():
        folder.mkdir()
        vocabulary, random = Vocabulary(), torch.Generator().manual_seed(0)
        visual = vocabulary.visual_ids(torch.randint(vocabulary.num_visual_codes, (1000, 90), generator=random))
        motion = vocabulary.motion_ids(torch.randint(vocabulary.num_motion_codes, (1000, 135), generator=random))
        videos = (
            TokenizedVideo(
                clips=(TokenizedClip(visual_ids=visual[n % 1000], motion_ids=motion[n % 1000]),),
                captions=(f"video {n}", "a thing moves"),
            )
            for n in range(VIDEOS_PER_SHARD)
        )
        write_tokens(videos, folder / "shard", vocabulary)
    return TokenShard(folder / "shard.tokens.json").files


def prepared(folder: Path, clips: int, ray: bool) -> list[dict[str, float | str]]:
    """Videos per second of each way to prepare the same files."""
    movies = folder / "movies"
    write_movies(movies, clips)
    floor = run_all([[sys.executable, "-c", FLOOR, str(movies)]], clips)
    rows = [{"way": "floor: read and take apart, no file"} | floor]
    one = launch(movies, folder / "one")
    rows.append({"way": "one launch, one worker"} | run_all([one], clips))
    parts = [launch(movies, folder / "parts", "--part", f"{index}/2") for index in range(2)]
    rows.append({"way": "two launches, --part I/2"} | run_all(parts, clips))
    rows.append({"way": "one launch, two workers"} | run_all([launch(movies, folder / "two", "--workers", "2")], clips))
    if ray:
        on_ray = launch(movies, folder / "ray", "--workers", "2", "--engine", "ray")
        rows.append({"way": "Ray, two actors"} | run_all([on_ray], clips))
    digests = {digest(folder / name) for name in ("one", "parts", "two", *(["ray"] if ray else []))}
    if len(digests) > 1:
        raise SystemExit("the ways wrote different shards")
    for row in rows:
        cores = 1 if row in rows[:2] else 2
        row["against one launch"] = round(float(row["videos/s"]) / float(rows[1]["videos/s"]), 2)
        row["share of the floor, per core"] = round(float(row["videos/s"]) / float(rows[0]["videos/s"]) / cores, 2)
    return rows


FLOOR = """
import sys
from pathlib import Path
from videolavit.data.prepare_videos import SHAPES_FRONT_END
from videolavit.data.user_videos import video_file_records
from videolavit.data.video_lists import named_videos
for video in named_videos(Path(sys.argv[1])):
    for record in video_file_records(video, SHAPES_FRONT_END):
        pass
"""


def launch(movies: Path, output: Path, *more: str) -> list[str]:
    shards = ["--videos-per-shard", "2"]
    return [sys.executable, "-m", "videolavit", "prepare", "videos", str(movies), "-o", str(output), *shards, *more]


def run_all(commands: list[list[str]], clips: int) -> dict[str, float | str]:
    """Wall time of commands side by side, one thread each."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    began = time.perf_counter()
    running = [
        subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        for command in commands
    ]
    for process in running:
        _, told = process.communicate()
        if process.returncode:
            raise SystemExit(told)
    seconds = time.perf_counter() - began
    return {"seconds": round(seconds, 1), "videos/s": round(clips / seconds, 2)}


def write_movies(folder: Path, number: int) -> None:
    """Rendered clips of about 10 s, all different."""
    from videolavit.data.shapes import render, sample_scene
    from videolavit.video import write_video

    folder.mkdir()
    for seed in range(number):
        frames = render(sample_scene(seed, num_clips=2))
        write_video(frames, folder / f"{seed:04d}.mp4", fps=6)


def digest(folder: Path) -> str:
    """Of all shards, by name and content."""
    from hashlib import sha256

    found = sha256()
    for path in sorted(folder.glob("*.tar")):
        found.update(path.name.encode() + path.read_bytes())
    return found.hexdigest()


def print_rows(rows: list[dict[str, float | str]]) -> None:
    names = list(rows[0])
    print("| " + " | ".join(names) + " |\n|" + " --- |" * len(names))
    for row in rows:
        cells = (f"{row[name]:.4g}" if isinstance(row[name], float) else str(row[name]) for name in names)
        print("| " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
