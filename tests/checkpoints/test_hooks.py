"""Parts changed as they are loaded: fewer bits, compiled steps, slices and tiles; and what such parts weigh."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from checkpoints.small_components import small_model, small_modules, small_vae
from torch import nn

from videolavit.checkpoints.footprint import ComponentSize, part_size, part_sizes, task_memory
from videolavit.checkpoints.hooks import decode_slices, quantizer_of
from videolavit.checkpoints.loading import distinct_tensors
from videolavit.checkpoints.registry import live_component
from videolavit.errors import ConfigError
from videolavit.nn.quantized import PRECISIONS, precision_of
from videolavit.pipeline import VideoLaVIT

KINDS = PRECISIONS


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("small") / "model"
    small_model().components.save(folder)
    return folder


def held_bytes(module: nn.Module) -> int:
    return sum(tensor.numel() * tensor.itemsize for tensor in distinct_tensors(module).values())


def hidden(model) -> torch.Tensor:
    return model.language_model.hidden(model.language_model.embed_ids(torch.tensor([[1, 5, 3, 7]])))


@pytest.mark.parametrize("precision", KINDS)
def test_a_language_model_is_quantised_as_it_is_loaded_and_nothing_else_is(folder, precision):
    model, exact = VideoLaVIT.from_pretrained(folder, quantize=precision), VideoLaVIT.from_pretrained(folder)
    language_model = model.components.module("language_model")
    layers = [layer for layer in language_model.get_decoder().modules() if isinstance(layer, KINDS[precision])]
    assert len(layers) == 2 * 7
    assert type(language_model.get_output_embeddings()) is nn.Linear
    assert not precision_of(model.components.module("video_unet"))
    error = (hidden(model) - hidden(exact)).norm() / hidden(exact).norm()
    assert 0 < error < {"int8": 0.02, "int4": 0.3, "nf4": 0.3}[precision]


def test_parts_in_memory_are_changed_at_once_and_results_stay_near():
    model, exact = small_model(), small_model()
    model.components.adapt(quantizer_of("int8"))
    assert precision_of(model.components.module("language_model")) == "int8"
    assert torch.allclose(hidden(model), hidden(exact), atol=0.1)


@pytest.mark.parametrize("precision", KINDS)
def test_a_quantised_model_is_written_and_opened_with_the_same_bits(folder, tmp_path, precision):
    model = VideoLaVIT.from_pretrained(folder, quantize=precision)  # nothing of it is loaded yet
    model.save_pretrained(tmp_path / "model")
    again = VideoLaVIT.from_pretrained(tmp_path / "model")
    assert precision_of(again.components.module("language_model")) == precision
    assert torch.equal(hidden(again), hidden(model))
    sizes = [(path / "language_model.safetensors").stat().st_size for path in (folder, tmp_path / "model")]
    assert sizes[1] < sizes[0]
    again.save_pretrained(tmp_path / "twice")
    files = [(tmp_path / name / "language_model.safetensors").read_bytes() for name in ("model", "twice")]
    assert files[0] == files[1]
    assert (
        part_size(again.components.stored("language_model")).bytes
        == part_size(VideoLaVIT.from_pretrained(folder).components.stored("language_model"), quantize=precision).bytes
    )


def test_stored_bits_are_not_made_others(folder, tmp_path):
    VideoLaVIT.from_pretrained(folder, quantize="int8").save_pretrained(tmp_path / "model")
    same = VideoLaVIT.from_pretrained(tmp_path / "model", quantize="int8")
    assert precision_of(same.components.module("language_model")) == "int8"
    with pytest.raises(ConfigError, match="are stored in int8"):
        VideoLaVIT.from_pretrained(tmp_path / "model", quantize="int4").components.module("language_model")


def test_a_configuration_with_other_bits_is_refused(folder, tmp_path):
    VideoLaVIT.from_pretrained(folder, quantize="int8").save_pretrained(tmp_path / "model")
    config = tmp_path / "model" / "config.json"
    config.write_text(config.read_text().replace('"videolavit_quantize": "int8"', '"videolavit_quantize": "int2"'))
    with pytest.raises(ConfigError, match="'int2', expected"):
        VideoLaVIT.from_pretrained(tmp_path / "model").components.module("language_model")


def test_that_it_is_slower_is_said_before_it_starts(folder, caplog):
    with caplog.at_level("WARNING"):
        VideoLaVIT.from_pretrained(folder, quantize="int4")
    assert "saves memory and not time: on a cpu" in caplog.text


def test_an_unknown_precision_is_refused_before_anything_is_loaded(folder):
    with pytest.raises(ConfigError, match="'int2', expected"):
        VideoLaVIT.from_pretrained(folder, quantize="int2")


def test_only_the_unets_are_compiled(folder, monkeypatch):
    compiled: list[type] = []
    monkeypatch.setattr(torch, "compile", lambda method: compiled.append(type(method.__self__)) or method)
    model = VideoLaVIT.from_pretrained(folder, compile=True)
    for name in small_modules():
        model.components.module(name)
    assert {kind.__name__ for kind in compiled} == {"MapUNet2DConditionModel", "VideoUNet"}
    assert len(compiled) == 2


@pytest.mark.slow
def test_a_compiled_step_computes_the_same():
    """In a process of its own: types that are checked at run time cannot be compiled."""
    script = """if True:
        from functools import partial

        import torch
        from checkpoints.small_components import small_modules
        from videolavit.checkpoints.hooks import compile_steps

        torch.compile = partial(torch.compile, backend="aot_eager")  # generating code takes minutes
        unet, plain = (small_modules()["keyframe_unet"] for _ in range(2))
        compile_steps("keyframe_unet", unet)
        added = {"text_embeds": torch.ones(1, 8), "time_ids": torch.ones(1, 6)}
        inputs = (torch.randn(1, 4, 4, 4), torch.tensor(5), torch.randn(1, 4, 16))
        with torch.no_grad():
            ours, expected = (one(*inputs, added_cond_kwargs=added).sample for one in (unet, plain))
        assert torch._dynamo.utils.counters["stats"]["unique_graphs"] > 0
        torch.testing.assert_close(ours, expected, atol=1e-5, rtol=1e-5)
    """
    tests = Path(__file__).parents[1]
    run = subprocess.run([sys.executable, "-c", script], cwd=tests, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def test_slices_give_the_same_images_one_by_one(monkeypatch):
    vae, images = small_vae(), torch.rand(3, 3, 16, 24) * 2 - 1
    expected = vae.encode(images).latent_dist.mode()
    decode_slices("video_vae", vae)
    batches: list[int] = []
    vae.encoder.register_forward_hook(lambda _, inputs, __: batches.append(len(inputs[0])))
    torch.testing.assert_close(vae.encode(images).latent_dist.mode(), expected, atol=1e-5, rtol=1e-5)
    assert batches == [1, 1, 1]


def test_tiles_cover_a_large_image_and_leave_a_small_one_alone():
    model, plain = small_model(), small_model()
    model.enable_vae_tiling()
    tiled, whole = (one.components.module("keyframe_vae") for one in (model, plain))
    small, large = torch.randn(1, 4, 32, 32), torch.randn(1, 4, 40, 70)
    sizes: list[tuple[int, ...]] = []
    tiled.decoder.register_forward_hook(lambda _, inputs, __: sizes.append(tuple(inputs[0].shape[2:])))
    with torch.no_grad():
        assert torch.equal(tiled.decode(small).sample, whole.decode(small).sample)
        ours, expected = tiled.decode(large).sample, whole.decode(large).sample
        latents = tiled.encode(ours).latent_dist.mode()
    assert ours.shape == expected.shape == (1, 3, 160, 280)
    assert latents.shape == large.shape
    assert len(sizes) > 2
    assert all(max(size) <= 32 for size in sizes)
    # Group normalisation sees a tile in place of the image, so only the look is the same.
    assert torch.corrcoef(torch.stack([ours.flatten(), expected.flatten()]))[0, 1] > 0.9


@pytest.mark.parametrize("precision", [None, *KINDS])
@pytest.mark.parametrize("dtype", [None, torch.bfloat16], ids=["stored", "bfloat16"])
def test_the_size_of_a_part_is_known_before_it_is_loaded(folder, precision, dtype):
    model = VideoLaVIT.from_pretrained(folder, dtype=dtype, quantize=precision)
    for name, module in small_modules().items():
        size = part_size(model.components.stored(name), dtype=dtype, quantize=precision)
        assert size.parameters == sum(math.prod(tensor.shape) for tensor in distinct_tensors(module).values()), name
        assert size.bytes == held_bytes(model.components.module(name)), name


def test_sizes_of_a_checkpoint_are_those_of_its_parts(folder):
    checkpoint = VideoLaVIT.from_pretrained(folder).components._checkpoint
    sizes = part_sizes(checkpoint)
    assert sizes.keys() == small_modules().keys()
    assert sizes["video_unet"] == part_size(live_component("video_unet", small_modules()["video_unet"]))


def test_a_task_needs_its_parts_together_or_one_at_a_time():
    parts = {"language_model": 50, "condition_decoder": 5, "keyframe_unet": 20, "keyframe_vae": 1}
    sizes = {name: ComponentSize(parameters=1, bytes=num_bytes) for name, num_bytes in parts.items()}
    tasks = task_memory(sizes)
    assert tasks.keys() == {"image"}
    assert (tasks["image"].all_parts, tasks["image"].largest_part) == (76, 50)
