"""Generation benchmarks on small sets in the official formats, with small networks in the form of the real ones."""

import os
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from evaluation.feature_networks import write_lpips, write_networks
from evaluation.official_files import SEEDS, frames, scenes, write_clip, write_image, write_json

from videolavit.data.shapes import captions
from videolavit.errors import ConfigError, MediaError
from videolavit.evaluation.benchmark import BenchmarkOptions
from videolavit.evaluation.benchmarks import make_benchmarks
from videolavit.evaluation.generation_benchmark import PROTOCOLS, real_clip
from videolavit.evaluation.metrics.distances import frechet_distance
from videolavit.evaluation.metrics.lpips import Lpips
from videolavit.evaluation.metrics.moments import Moments
from videolavit.evaluation.metrics.networks import ClipNetwork, Networks, full_precision
from videolavit.evaluation.real_features import RealFeatures
from videolavit.evaluation.record import merge_records, read_record, record_of, summarising_benchmarks, write_record
from videolavit.evaluation.runner import Part, features_folder, run_all
from videolavit.video.similarity import psnr_db, ssim


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
    return tuple(sorted(write_networks(tmp_path_factory.mktemp("networks")).items()))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    sentences, listed = [], []
    for index, scene in enumerate(scenes()):
        write_clip(folder / f"TestVideo/video{7010 + index}.mp4", index)
        listed.append({"video_id": f"video{7010 + index}", "split": "test"})
        for text in captions(scene, SEEDS[index], 4):
            sentences.append({"video_id": f"video{7010 + index}", "caption": text, "sen_id": len(sentences)})
        write_image(folder / f"val2014/COCO_val2014_{index:012d}.jpg", index)
        write_clip(folder / f"UCF-101/ApplyLipstick/v_{index}.mp4", index)
    write_json(folder / "test_videodatainfo.json", {"videos": listed, "sentences": sentences})
    images = [{"id": index, "file_name": f"COCO_val2014_{index:012d}.jpg"} for index in range(len(SEEDS))]
    notes = [{"id": 100 + place, "image_id": place % 3, "caption": f" a red circle {place} "} for place in range(9)]
    write_json(folder / "captions_val2014.json", {"images": images, "annotations": notes})
    (folder / "classInd.txt").write_text("1 ApplyLipstick\n")
    (folder / "prompt700.txt").write_text("a red circle moves\na blue square")
    return folder


class Renderer:
    """Generates the scenes themselves, or noise, in the order in which it is asked."""

    def __init__(self, noise: bool = False) -> None:
        self.noise, self.generated = noise, 0

    def missing(self, parts):
        return []

    def identity(self, parts):
        return f"renderer {self.noise}"

    def generate_videos(self, prompts, seeds, first_frames=None):
        return [self._video(seed) for seed in seeds]

    def generate_images(self, prompts, seeds):
        return [self._video(seed)[0] for seed in seeds]

    def generate_long_videos(self, prompts, seeds, *, clips, continuations):
        return [dict.fromkeys(continuations, np.concatenate([self._video(seed)] * clips)) for seed in seeds]

    def _video(self, seed):
        self.generated += 1
        if self.noise:
            return np.random.default_rng(seed).integers(0, 256, (24, 128, 128, 3), dtype=np.uint8)
        return frames(seed % len(SEEDS))


def made(data, name, networks, **options):
    [benchmark] = make_benchmarks(name, BenchmarkOptions(data=data, networks=networks, **options))
    return benchmark


def scores(benchmark, model, **options):
    runner = run_all(model, [benchmark], **options)
    assert not runner.skipped
    return benchmark.summary(list(runner.outcomes(benchmark.name).values()))


def test_the_real_thing_is_near_and_noise_is_far(data, networks):
    benchmark = made(data, "msrvtt", networks)
    near, far = scores(benchmark, Renderer()), scores(made(data, "msrvtt", networks), Renderer(noise=True))
    assert set(near) == {"CLIPSIM", "FVD", "KVD", "IS", "frame FID"}
    assert near["FVD"].value < 0.05 * far["FVD"].value
    assert near["frame FID"].value < 0.2 * far["frame FID"].value
    assert (near["FVD"].count, near["FVD"].low) == (3, -np.inf)
    assert -1 <= near["CLIPSIM"].value <= 1
    assert near["CLIPSIM"].low <= near["CLIPSIM"].value <= near["CLIPSIM"].high
    assert 1 <= near["IS"].value <= 3


def test_a_model_that_shows_nothing_is_farther_than_the_real_thing(data, networks):
    """The same grey video each time: no variety, so the least inception score."""

    class Grey(Renderer):
        def _video(self, seed):
            return np.full((24, 128, 128, 3), 128, np.uint8)

    near, grey = (scores(made(data, "msrvtt", networks), model) for model in (Renderer(), Grey()))
    assert near["FVD"].value < 0.2 * grey["FVD"].value
    assert grey["IS"].value == pytest.approx(1, abs=1e-6)
    images = [scores(made(data, "coco", networks), model)["FID"].value for model in (Renderer(), Grey())]
    assert images[0] < images[1]
    ucf = scores(made(data, "ucf101", networks, limit=2), Grey())
    assert ucf["IS"].value == pytest.approx(1, abs=1e-6)
    ends = scores(made(data, "long_video", networks, limit=3), Grey())
    assert ends["FVD"].value == pytest.approx(0, abs=1e-6)  # it ends as it began; only FVD against real videos tells
    assert ends["frame similarity"].value == pytest.approx(1, abs=1e-5)


class Codec(Renderer):
    """Gives back all of a video, nothing of it, or something else."""

    def __init__(self, kept):
        super().__init__()
        self.kept = kept

    def identity(self, parts):
        return f"codec {self.kept}"

    def reconstruct_video(self, path, *, seed, keyframes, motion):
        original = real_clip(path, PROTOCOLS["full"], 0)
        noise = np.random.default_rng(seed).integers(0, 256, original.shape, dtype=np.uint8)
        made = {"all": original, "nothing": np.zeros_like(original), "noise": noise}[self.kept]
        pairs = list(zip(made, original, strict=True))
        return SimpleNamespace(
            frames=made,
            original=original,
            psnr_db=min(psnr_db(made, original), 99.0),
            ssim=float(np.mean([ssim(*pair) for pair in pairs])),
            ids_per_second=10.0,
            bits_per_second=80.0,
        )


def test_a_reconstruction_that_keeps_everything_nothing_and_something_else(data):
    folder = data / "TestVideo"
    all_kept, nothing, noise = (
        scores(made(folder, "reconstruction", ()), Codec(kept)) for kept in ("all", "nothing", "noise")
    )
    assert all_kept["PSNR, dB"].value == 99
    assert all_kept["SSIM"].value == pytest.approx(1)
    for other in (nothing, noise):
        assert other["PSNR, dB"].value < 12
        assert other["SSIM"].value < 0.2
    assert all_kept["ids per second"].value == 10


def test_weights_of_lpips_are_read_once_for_all_videos(data, tmp_path, monkeypatch):
    class Counting(Lpips):
        made = 0

        def __init__(self, *_, **__):
            Counting.made += 1

        def distance(self, one, other):
            return 0.5

    monkeypatch.setattr("videolavit.evaluation.benchmarks.reconstruction.Lpips", Counting)
    files = {name: tmp_path / f"{name}.pth" for name in ("lpips", "vgg")}
    for path in files.values():
        path.write_bytes(b"weights")
    found = scores(made(data / "TestVideo", "reconstruction", tuple(files.items())), Codec("all"))
    assert (found["LPIPS"].value, found["LPIPS"].count, Counting.made) == (0.5, 3, 1)
    assert "LPIPS" not in scores(made(data / "TestVideo", "reconstruction", (("vgg", files["vgg"]),)), Codec("all"))


def test_real_features_are_found_again_by_the_next_model(data, networks, tmp_path, monkeypatch):
    from videolavit.evaluation import generation_benchmark

    def measured(name, model, **options):
        benchmark = made(data, name, networks, features=tmp_path / "features", **options)
        outcomes = list(run_all(model, [benchmark]).outcomes(name).values())
        return [{key: one.arrays[key].copy() for key in one.arrays if key.endswith("real")} for one in outcomes]

    def refused(*_):
        raise AssertionError("a real video was read again")

    first = measured("msrvtt", Renderer()), measured("coco", Renderer(), limit=3)
    monkeypatch.setattr(generation_benchmark, "real_clip", refused)
    monkeypatch.setattr("videolavit.video.io.images.read_image", refused)
    again = measured("msrvtt", Renderer(noise=True)), measured("coco", Renderer(noise=True), limit=3)
    for before, after in zip(first, again, strict=True):
        assert len(before) == len(after) == 3
        for one, other in zip(before, after, strict=True):
            assert one.keys() == other.keys() != set()
            assert all(np.array_equal(one[key], other[key]) for key in one)


def test_features_of_another_file_network_or_protocol_are_not_taken(data, networks, tmp_path):
    path, folder, reads = tmp_path / "clip.mp4", tmp_path / "features", []

    def of(found=networks, chosen="paper24", name="i3d"):
        reads.clear()

        def read():
            reads.append(chosen)
            return frames(0)

        return RealFeatures(folder, Networks(dict(found))).of(path, [name], {"chosen": chosen}, read)[name]

    write_clip(path, 0)
    first = of()
    assert reads == ["paper24"]
    assert np.array_equal(of(), first)
    assert reads == []
    of(chosen="sgv16")
    assert reads == ["sgv16"]
    other = dict(networks) | {"i3d": write_networks(tmp_path, seed=9)["i3d"]}
    assert not np.array_equal(of(tuple(other.items())), first)
    assert reads == ["paper24"]
    write_clip(path, 1)
    of()
    assert reads == ["paper24"]


def test_damaged_features_are_computed_anew(data, networks, tmp_path):
    features = RealFeatures(tmp_path, Networks(dict(networks)))
    path = data / "TestVideo/video7010.mp4"
    first = features.of(path, ["i3d"], {}, lambda: frames(0))["i3d"]
    [kept] = tmp_path.rglob("*.npy")
    for damage in (b"", kept.read_bytes()[:-3], b"nonsense"):
        kept.write_bytes(damage)
        assert np.array_equal(features.of(path, ["i3d"], {}, lambda: frames(0))["i3d"], first)
    np.save(kept, np.full_like(first, np.nan))
    assert np.array_equal(features.of(path, ["i3d"], {}, lambda: frames(0))["i3d"], first)
    assert list(tmp_path.rglob("*.partial")) == []


def test_captions_are_drawn_by_the_seed_and_stand_in_the_record(data, networks):
    texts = [[one.text for one in made(data, "msrvtt", networks, seed=seed).prompts] for seed in (0, 0, 5)]
    assert texts[0] == texts[1] != texts[2]
    benchmark = made(data, "msrvtt", networks)
    runner = run_all(Renderer(), [benchmark])
    assert [one.said["prompt"] for one in runner.outcomes("msrvtt").values()] == texts[0]
    settings = benchmark.settings()
    assert settings["clips"] == {"num_frames": 24, "fps": 6.0, "random_offset": False, "square": False}
    assert len(settings["networks"]["i3d"]["sha256"]) == 64
    assert "bilinear" in settings["networks"]["i3d"]["input"]


def test_features_survive_a_killed_run_and_merge_exactly(data, networks, tmp_path):
    whole = tmp_path / "whole.jsonl"
    model = Renderer()
    first = run_all(model, [made(data, "msrvtt", networks)], path=whole)
    expected = first.benchmarks["msrvtt"].summary(list(first.outcomes("msrvtt").values()))
    assert model.generated == 3
    again = run_all(model, [made(data, "msrvtt", networks)], path=whole)
    assert model.generated == 3
    assert again.benchmarks["msrvtt"].summary(list(again.outcomes("msrvtt").values())) == expected
    os.unlink(features_folder(whole) / "msrvtt" / "00000001.npz")  # killed between the two files
    run_all(model, [made(data, "msrvtt", networks)], path=whole)
    assert model.generated == 4
    records = {}
    for index in (1, 2):
        path = tmp_path / f"part{index}.jsonl"
        runner = run_all(model, [made(data, "msrvtt", networks)], path=path, part=Part(index=index, total=2))
        written = tmp_path / f"record{index}.jsonl"
        write_record(written, record_of(runner, "msrvtt", model="a renderer"))
        records[written] = read_record(written)
    merged = merge_records(records, summarising_benchmarks)
    assert merged.value("msrvtt", "FVD").value == expected["FVD"].value
    assert merged.value("msrvtt", "KVD").value == expected["KVD"].value


def test_coco_compares_images(data, networks):
    near = scores(made(data, "coco", networks), Renderer())
    far = scores(made(data, "coco", networks), Renderer(noise=True))
    assert near["FID"].count == 9
    assert near["FID"].value < far["FID"].value
    assert len({one.text for one in made(data, "coco", networks).prompts}) == 9


def test_ucf_takes_videos_of_each_class_and_words_of_its_name(data, networks):
    benchmark = made(data, "ucf101", networks, limit=2, variant="sgv16")
    assert [one.text for one in benchmark.prompts] == ["a person doing apply lipstick"] * 2
    found = scores(benchmark, Renderer())
    assert {"IS", "FVD"} <= set(found)
    with pytest.raises(ConfigError, match="holds 3 videos, expected at least 20"):
        made(data, "ucf101", networks).check()


def test_ends_of_long_videos_are_compared(data, networks):
    benchmark = made(data, "long_video", networks, limit=4)
    found = scores(benchmark, Renderer())
    assert set(found) == {"FVD", "KVD", "frame similarity"}
    assert 0.5 < found["frame similarity"].value <= 1
    assert [one.text for one in benchmark.prompts[:3]] == ["a red circle moves", "a blue square", "a red circle moves"]


def test_protocols_choose_frames(data):
    path = data / "TestVideo/video7010.mp4"
    assert real_clip(path, PROTOCOLS["paper24"], 0).shape == (24, 128, 128, 3)
    clips = [real_clip(path, PROTOCOLS["sgv16"], seed) for seed in range(4)]
    assert {clip.shape for clip in clips} == {(16, 128, 128, 3)}
    assert not all(np.array_equal(clips[0], clip) for clip in clips)
    with pytest.raises(MediaError, match="no such file"):
        real_clip(data / "gone.mp4", PROTOCOLS["full"], 0)


def test_a_video_that_is_too_short_is_counted_and_named(data, networks, tmp_path):
    from videolavit.video import write_video

    short = tmp_path / "short.mp4"
    write_video(frames(0)[:8], short)
    with pytest.raises(MediaError, match="has 8 frames, expected at least 24"):
        real_clip(short, PROTOCOLS["paper24"], 0)
    with pytest.raises(MediaError, match="got 8 frames, expected at least 10"):
        Networks(dict(networks))["i3d"].features(frames(0)[:8])


def test_networks_are_named_by_file(data, networks, tmp_path):
    with pytest.raises(ConfigError, match="needs a feature network, at least one of i3d, clip"):
        made(data, "msrvtt", ()).check()
    with pytest.raises(ConfigError, match="got the networks dino"):
        made(data, "msrvtt", (("dino", tmp_path),))
    broken = tmp_path / "broken.pt"
    broken.write_bytes(b"no module")
    with pytest.raises(ConfigError, match="is no TorchScript module"):
        Networks({"i3d": broken})["i3d"].features(frames(0))


def test_c3d_takes_values_from_0_to_255(networks):
    paths = dict(networks)
    network = Networks(paths)["c3d"]
    found = network.features(np.full((20, 30, 40, 3), 255, np.uint8))
    expected = torch.jit.load(str(paths["c3d"]))(torch.full((1, 3, 16, 112, 112), 255.0))
    np.testing.assert_allclose(found, expected.detach().numpy()[0], rtol=1e-4, atol=1e-2)
    assert network.recipe()["input"].endswith("0 to 255")


def test_a_network_that_resizes_gets_images_as_they_are(networks, tmp_path):
    paths, images = dict(networks), frames(0)[:2]
    given = torch.from_numpy(images.copy()).permute(0, 3, 1, 2)
    expected = torch.jit.load(str(paths["inception"]))(given, return_features=True).detach().numpy()
    np.testing.assert_allclose(Networks(paths)["inception"].features(images), expected, rtol=1e-5, atol=1e-6)

    class Sizes(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return torch.full([images.shape[0], 2], float(images.shape[3]))

    torch.jit.script(Sizes()).save(str(tmp_path / "sizes.pt"))
    assert Networks({"inception": tmp_path / "sizes.pt"})["inception"].features(images).tolist() == [[299, 299]] * 2


def test_frame_fid_is_of_vectors_at_their_own_lengths(networks):
    made = Networks(dict(networks))
    own, unit = (made[name].features(frames(0)[:2]) for name in ("clip32", "clip"))
    lengths = np.linalg.norm(own, axis=1, keepdims=True)
    np.testing.assert_allclose(own / lengths, unit, atol=1e-5)
    assert not np.allclose(lengths, 1, atol=0.01)
    assert made.recipes()["clip32"]["vectors"] == "of their own length"


def features_by(networks, name, device):
    found = Networks(dict(networks), device=device)[name]
    return found.features(frames(0)) if name in ("i3d", "c3d") else found.features(frames(0)[:2])


@pytest.mark.parametrize("name", ["i3d", "c3d", "inception", "clip", "clip32"])
def test_networks_compute_on_the_device_that_was_named(networks, name):
    with pytest.raises(ConfigError, match="device=nowhere: cannot be used here"):
        features_by(networks, name, "nowhere")


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["i3d", "c3d", "inception", "clip", "clip32"])
def test_features_of_a_gpu_are_those_of_a_cpu(networks, name):
    on_cpu, on_gpu = (features_by(networks, name, device) for device in ("cpu", "cuda"))
    np.testing.assert_allclose(on_gpu, on_cpu, rtol=1e-4, atol=1e-5)


def test_convolutions_of_networks_keep_all_bits_of_float32():
    cudnn = torch.backends.cudnn
    before = cudnn.allow_tf32
    with full_precision():
        assert not cudnn.allow_tf32
        assert torch.is_inference_mode_enabled()
    assert cudnn.allow_tf32 == before
    assert not torch.is_inference_mode_enabled()


def test_weights_that_are_no_safetensors_are_hashed(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    digests = []
    for content in (b"one", b"another"):
        (tmp_path / "pytorch_model.bin").write_bytes(content)
        digests.append(ClipNetwork(tmp_path).sha256)
    assert digests[0] != digests[1]


def test_lpips_is_zero_for_equal_images_and_grows(tmp_path):
    paths = write_lpips(tmp_path)
    lpips = Lpips(paths["vgg"], paths["lpips"])
    image = frames(0)[0][:64, :64]
    noisy = [
        np.clip(image + np.random.default_rng(0).normal(0, s, image.shape), 0, 255).astype(np.uint8) for s in (5, 50)
    ]
    distances = [lpips.distance(image, other) for other in (image, *noisy)]
    assert distances[0] == 0
    assert distances[0] < distances[1] < distances[2]
    with pytest.raises(ConfigError, match="device=nowhere"):
        Lpips(paths["vgg"], paths["lpips"], device="nowhere").distance(image, image)
    assert lpips.distance(noisy[1], image) == pytest.approx(distances[2])


@pytest.mark.weights
def test_zeros_against_ones_with_the_i3d_file():
    """The values that two ports of the original code print: 151.256 and 151.392."""
    path = os.environ.get("VIDEOLAVIT_I3D")
    if not path:
        pytest.skip("no I3D file; set VIDEOLAVIT_I3D to i3d_torchscript.pt")
    network = Networks({"i3d": path})["i3d"]
    videos = [[np.full((30, 64, 64, 3), value, np.uint8)] * 8 for value in (0, 255)]
    zeros, ones = (np.stack([network.features(video) for video in side]) for side in videos)
    assert frechet_distance(Moments.of(zeros), Moments.of(ones)) == pytest.approx(151.3, abs=0.2)
