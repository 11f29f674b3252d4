"""Parts that wait on the CPU: who is on the device when, what comes out, and that inputs go where a part computes.

The device of these tests is "meta", which has shapes and no values: an operation between it and the CPU is an error, as
it would be with an accelerator, and weights that did not come back would be lost.
"""

from __future__ import annotations

import pytest
import torch
from checkpoints.small_components import small_model, small_modules
from torch import nn

from videolavit.checkpoints.model_components import Components
from videolavit.detokenizers import continuation, denoise, keyframe_detokenizer, video_detokenizer
from videolavit.detokenizers.condition import ConditionDecoder
from videolavit.nn.offload import Offload, compute_device
from videolavit.nn.random import sample_generators

META = torch.device("meta")


@pytest.fixture(autouse=True)
def _no_look_at_values(monkeypatch):
    """What reads single values, which "meta" has not, stays on the CPU: timesteps, and the check of a mask."""

    def scheduler_on_cpu(scheduler, steps, _, first_step=0):
        return denoise.scheduler_for(scheduler, steps, torch.device("cpu"), first_step)

    for module in (keyframe_detokenizer, video_detokenizer, continuation):
        monkeypatch.setattr(module, "scheduler_for", scheduler_on_cpu)
    monkeypatch.setattr(ConditionDecoder, "_check", lambda *_: None)


def draw_keyframe(model: Components, **options) -> torch.Tensor:
    return model.keyframe_detokenizer.generate([torch.ones(3, 4)], height=16, width=16, steps=2, **options)


def draw_frames(model: Components) -> torch.Tensor:
    image = torch.full((1, 16, 16, 3), 100, dtype=torch.uint8)
    options = video_detokenizer.VideoOptions(num_inference_steps=2, max_guidance_scale=2.0, decode_chunk_size=2)
    generators = sample_generators(0, 1)
    return model.video_detokenizer.generate(image, torch.zeros(1, 2, 3, 4, 4), options=options, generators=generators)


def think(model: Components) -> torch.Tensor:
    language_model = model.language_model
    mask = torch.zeros(1, 1, 3, 3, device=language_model.device)
    hidden = language_model.hidden(language_model.embed_ids(torch.tensor([[1, 2, 3]])), mask)
    return language_model.logits(hidden, [range(2, 9)])


def offloaded(device: str) -> Components:
    model = small_model(device)
    model.enable_model_cpu_offload()
    return model


def visits(model: Components, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the parts in the order in which they come to the device; filled while the model works."""
    came: list[str] = []
    names = {id(model.components.module(name)): name for name in model.components.loaded}
    bring = Offload.bring

    def note(offload: Offload, part: nn.Module) -> None:
        if offload.present is not part:
            came.append(names[id(part)])
        bring(offload, part)

    monkeypatch.setattr(Offload, "bring", note)
    return came


def on_device(model: Components) -> set[str]:
    parts = {name: model.components.module(name) for name in model.components.loaded}
    return {name for name, part in parts.items() if next(part.parameters()).device == META}


def test_a_keyframe_visits_each_of_its_parts_once(monkeypatch):
    model = offloaded("meta")
    came = visits(model, monkeypatch)
    assert draw_keyframe(model, generators=sample_generators(0, 1)).device == META
    assert came == ["condition_decoder", "keyframe_unet", "keyframe_vae"]
    assert on_device(model) == {"keyframe_vae"}


def test_frames_visit_their_parts_in_turns_and_the_unet_stays_for_all_steps(monkeypatch):
    model = offloaded("meta")
    came = visits(model, monkeypatch)
    assert draw_frames(model).shape == (1, 3, 16, 16, 3)
    assert came == ["video_vae", "motion_encoder", "video_unet", "video_vae"]


def test_a_language_model_comes_when_it_is_entered_by_its_table_or_its_decoder(monkeypatch):
    model = offloaded("meta")
    came = visits(model, monkeypatch)
    assert think(model).shape == (1, 3, 7)
    draw_keyframe(model, generators=sample_generators(0, 1))
    think(model)
    assert [came[0], came[-1]] == ["language_model", "language_model"]
    assert on_device(model) == {"language_model"}


def test_a_keyframe_that_goes_on_from_a_last_frame_finds_all_it_needs():
    model = offloaded("meta")
    last_frame = torch.full((1, 16, 16, 3), 100, dtype=torch.uint8)
    start = continuation.restart_latents(
        model.keyframe_detokenizer, last_frame, steps=2, generators=sample_generators(0, 1)
    )
    assert draw_keyframe(model, start=start, generators=sample_generators(0, 1)).device == META


def test_weights_are_unharmed_by_the_visit():
    model, fresh = offloaded("meta"), small_modules()
    for task in (think, draw_frames, draw_keyframe):
        task(model)
    for name, part in fresh.items():
        if name not in on_device(model):
            held = model.components.module(name).state_dict()
            assert all(torch.equal(held[key], value) for key, value in part.state_dict().items()), name
    assert on_device(model) == {"keyframe_vae"}


@pytest.mark.parametrize("task", [draw_frames, think], ids=["frames", "language"])
def test_offloading_changes_no_result(task):
    assert torch.equal(task(offloaded("cpu")), task(small_model()))


def test_offloading_twice_is_offloading_once():
    model = offloaded("cpu")
    method = model.components.module("video_unet").forward
    model.enable_model_cpu_offload()
    assert model.components.module("video_unet").forward is method


def test_tied_weights_stay_tied_on_the_device_and_at_home():
    part = nn.ModuleList([nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False)])
    part[1].weight = part[0].weight
    before = part[0].weight
    offload = Offload(META)
    offload.manage(part)
    offload.bring(part)
    assert part[0].weight is part[1].weight
    assert part[0].weight.is_meta
    offload.send_home()
    assert part[0].weight is part[1].weight is before


def test_a_part_that_does_not_fit_leaves_the_place_free(monkeypatch):
    def full(*_):
        raise torch.OutOfMemoryError("full")

    part, offload = nn.Linear(2, 2), Offload(META)
    offload.manage(part)
    with monkeypatch.context() as patch:
        patch.setattr(torch.Tensor, "to", full)
        with pytest.raises(torch.OutOfMemoryError):
            offload.bring(part)
    assert offload.present is None
    assert part(torch.ones(1, 2)).is_meta


def test_where_a_part_computes_is_known_while_it_waits():
    part = nn.Linear(2, 2)
    assert compute_device(part) == torch.device("cpu")
    Offload(META).manage(part)
    assert (compute_device(part), part.weight.device.type) == (META, "cpu")
