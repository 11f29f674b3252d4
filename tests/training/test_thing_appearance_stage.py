"""The stage of what things look like: keyframes that it renders, and what it holds the network to."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from things_images import draw_sources

from videolavit.data.things.catalogue import THINGS
from videolavit.data.things.known_things import RenderedKeyframes, ThingTruth, captions_of, cells_of_things
from videolavit.data.things.render import render
from videolavit.data.things.sampling import SceneOptions, sample_scene
from videolavit.data.things.sources import load_sources
from videolavit.errors import ConfigError, MediaError
from videolavit.tiny.learned_compensation import LearnedCompensationConfig
from videolavit.training.stages.thing_appearance import ThingAppearanceStage, ThingAppearanceTraining

WORLD = LearnedCompensationConfig(width=8, appearance_width=8)


@pytest.fixture(scope="module")
def sources(tmp_path_factory) -> str:
    return str(draw_sources(tmp_path_factory.mktemp("things") / "sources.npz"))


@pytest.fixture
def stage(sources) -> ThingAppearanceStage:
    return ThingAppearanceStage(model=WORLD, data=sources)


class Seeing(ThingAppearanceTraining):
    """Layers are the true masks, which a network has to learn first."""

    def _squares(self, batch):
        self.network.masks_of_things = lambda keyframes: batch["masks"].float() / 255
        return super()._squares(batch)


def test_a_keyframe_comes_with_the_truth_of_its_things(sources):
    samples = RenderedKeyframes(sources, 24, 0.0, 7)
    for draw in range(12):
        scene = sample_scene(7 + draw, SceneOptions(things=24))
        rendered, sample = render(scene, load_sources(sources), 1), samples[draw]
        assert np.array_equal(sample.image, rendered.frames[0])
        truth = ThingTruth.of_rows(torch.from_numpy(sample.truth))
        for number, actor in enumerate(scene.actors):
            if actor.style != "rendered":
                assert truth.kind[number] == 0
                continue
            x, y, side = truth.cell[number].tolist()
            mask = rendered.masks[number, 0] > 127
            rows, cols = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
            for middle, seen in ((x, cols), (y, rows)):
                assert middle - side / 2 - 1 <= seen[0]
                assert seen[-1] <= middle + side / 2 + 1
            assert (truth.light[number] < 1).all() == scene.view.night
        assert (truth.kind[len(scene.actors) :] == 0).all()


def test_keyframes_are_the_same_whenever_they_are_asked_for(sources):
    one, other = (RenderedKeyframes(sources, 24, 0.25, 3) for _ in range(2))
    for draw in (5, 0, 19):
        assert np.array_equal(one[draw].image, other[draw].image)
        assert np.array_equal(one[draw].truth, other[draw].truth)


def test_some_images_hold_what_is_not_to_be_known(sources):
    kinds = [RenderedKeyframes(sources, 24, 1.0, 0)[draw].truth[:, 0] for draw in range(80)]
    assert np.mean([(kind == 0).all() for kind in kinds]) > 0.8
    assert max(kind.max() for kind in kinds) <= 24
    empty = [RenderedKeyframes(sources, 24, 1.0, 0)[draw].masks.max() == 0 for draw in range(80)]
    assert 0.3 < np.mean(empty) < 0.7, "shapes and empty places"


def test_the_artwork_is_what_the_sources_hold(sources):
    cells = cells_of_things(sources, 3, 64)
    assert cells.kind.tolist() == [1] * 3 + [2] * 3 + [3] * 3
    assert cells.pose.tolist() == [0, 1, 2] * 3
    assert cells.poses.tolist() == [1, 3, 3, 3]
    assert (cells.images[:, :3] <= cells.images[:, 3:] + 1e-5).all(), "colours are those times alpha"
    assert not torch.equal(cells.images[0], cells.images[1])


def test_only_what_recognises_and_paints_learns_and_it_does(stage):
    built = Seeing(replace(stage, unknown=0.0, cells_per_step=6), stage.build().network, None)
    learnt = {name.split(".")[0] for name, value in built.network.named_parameters() if value.requires_grad}
    assert learnt == {"appearance"}
    optimiser = torch.optim.Adam(built.network.appearance.parameters(), lr=2e-3)
    batch, told = stage.collate([stage.samples()[draw] for draw in range(8)]), []
    for step in range(50):
        torch.manual_seed(step)
        optimiser.zero_grad()
        told.append(built(batch, step))
        told[-1]["loss"].backward()
        optimiser.step()
    assert told[-1]["loss"] < 0.6 * told[0]["loss"]
    assert told[-1]["error_of_kind"] < 0.6 * told[0]["error_of_kind"]
    assert min(one["error_of_place"] for one in told[30:]) < 0.6 * told[0]["error_of_place"]
    assert told[-1]["psnr"] > told[0]["psnr"] + 2
    assert built.network.appearance.painter.poses.tolist() == [1] + [3] * 24


def test_a_layer_with_nothing_that_is_known_says_so(stage):
    """Masks that lie elsewhere than the things are of no thing."""
    built = stage.build()
    batch = stage.collate([RenderedKeyframes(stage.data, 24, 0.0, 0)[draw] for draw in range(4)])
    elsewhere = torch.zeros(4, 2, 128, 128)
    elsewhere[:, 0, :16, :16] = 1  # no thing is as high up and as far to the left
    built.network.masks_of_things = lambda keyframes: elsewhere
    assert (built._squares(batch).truth.kind == 0).all()
    true = batch["masks"].float() / 255
    built.network.masks_of_things = lambda keyframes: true
    squared = built._squares(batch)
    kinds = ThingTruth.of_rows(batch["truth"]).kind
    assert sorted(squared.truth.kind.tolist()) == sorted(kinds[true.amax((2, 3)) > 0].tolist())
    assert squared.place[:, 2].abs().max() < 1, "cells are about as large as squares"


def test_a_batch_without_a_thing_teaches_nothing_but_what_to_paint(stage):
    built = stage.build()
    batch = stage.collate([RenderedKeyframes(stage.data, 24, 1.0, 0)[draw] for draw in range(3)])
    built.network.masks_of_things = lambda keyframes: torch.zeros(3, 2, 128, 128)
    told = built(batch, 0)
    assert told["loss"].isfinite()
    told["loss"].backward()
    assert told["left_alone"] in (0, 1)
    assert told["named"] == told["error_of_place"] == 0


class Drawing:
    """Draws black images again, and writes white ones."""

    def __init__(self):
        self.captions = []

    def __call__(self, images):
        return torch.zeros_like(images)

    def written(self, captions):
        self.captions += captions
        return torch.full((len(captions), 128, 128, 3), 255, dtype=torch.uint8)


def of_one_thing(samples) -> int:
    """A draw whose scene shows one known thing and no other."""
    return next(draw for draw in range(100) if samples[draw].scene >= 0)


def test_some_keyframes_are_drawn_again_and_some_written(stage):
    built = stage.build()
    built.redrawn = drawing = Drawing()
    samples = stage.samples()
    batch = stage.collate([samples[of_one_thing(samples)]] * 64)
    torch.manual_seed(0)
    images, written = built.keyframes_of(batch)
    black, white = ((images == value).all((1, 2, 3)) for value in (0, 255))
    assert torch.equal(white, written)
    assert 6 < white.sum() < 28
    assert 22 < black.sum() < 48
    assert (batch["keyframes"] > 0).any((1, 2, 3)).all(), "the batch itself stays"
    assert drawing.captions == captions_of(batch["scene"][written].tolist(), 24)
    assert len(set(drawing.captions)) == 1
    name = THINGS[int(batch["truth"][0, 0, 0]) - 1]
    assert any(word in drawing.captions[0] for word in (name.name, name.kind, *name.synonyms))
    built.stage = replace(stage, drawn_keyframes=1.0, written_keyframes=0.0)
    assert (built.keyframes_of(batch)[0] == 0).all()
    built.redrawn = None
    assert torch.equal(built.keyframes_of(batch)[0], batch["keyframes"])


def test_scenes_with_two_things_or_unknown_ones_are_not_written(stage):
    built, samples = stage.build(), RenderedKeyframes(stage.data, 24, 0.5, 0)
    built.redrawn, built.stage = Drawing(), replace(stage, drawn_keyframes=0.0, written_keyframes=1.0)
    batch = stage.collate([samples[draw] for draw in range(60)])
    written = built.keyframes_of(batch)[1]
    alone = (batch["masks"].amax((2, 3)) > 0).sum(1) == 1
    known = batch["truth"][:, 0, 0] > 0
    assert written.any()
    assert not (written & ~(alone & known)).any()


def test_of_what_is_written_the_larger_thing_has_the_name_and_nothing_else_is_taught(stage):
    built, samples = stage.build(), stage.samples()
    built.redrawn, built.stage = Drawing(), replace(stage, drawn_keyframes=0.0, written_keyframes=1.0)
    batch = stage.collate([samples[of_one_thing(samples)]] * 2)
    masks = torch.zeros(2, 2, 128, 128)
    masks[:, 0, 10:20, 10:20] = 1
    masks[:, 1, 40:80, 40:80] = 1
    built.network.masks_of_things = lambda keyframes: masks
    squared = built._squares(batch)
    assert squared.written.tolist() == [True, True], "of the smaller one nothing is known"
    assert squared.truth.kind.tolist() == [batch["truth"][0, 0, 0]] * 2
    told = built(batch, 0)
    assert told["error_of_kind"] > 0
    assert told["error_of_place"] == told["error_of_light"] == told["error_of_mirroring"] == 0


def test_settings_that_would_teach_nothing_are_refused(stage, tmp_path):
    with pytest.raises(ConfigError, match="drawn_keyframes"):
        replace(stage, drawn_keyframes=1.5)
    for things in (0, 118):
        with pytest.raises(ConfigError, match="117"):
            replace(stage, things=things)
    with pytest.raises(MediaError, match="things-sources"):
        replace(stage, data=str(tmp_path / "gone.npz")).build()


def test_a_run_leaves_a_network_that_knows_things(stage, tmp_path):
    built = stage.build()
    stage.export(built, tmp_path)
    from videolavit.checkpoints.artifacts import load_artifact

    names = load_artifact("video_compensation", tmp_path).config.known_things
    assert len(names) == 24
    assert names[0] == "dog, puppy, hound"
    assert stage.visualize(built)["keyframes"].shape == (3 * 128, 12 * 128, 3)
