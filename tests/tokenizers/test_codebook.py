import copy
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
import torch.nn.functional as F

from videolavit.errors import ConfigError
from videolavit.tokenizers.codebook import CodebookConfig, CodebookLearner
from videolavit.tokenizers.quantizer import VectorQuantizer


def clusters(n: int, num_clusters: int, seed: int, dim: int = 6) -> tuple[torch.Tensor, torch.Tensor]:
    """Features around a few directions, of any length, and those directions."""
    centres = F.normalize(torch.randn(num_clusters, dim, generator=torch.Generator().manual_seed(7)), dim=-1)
    generator = torch.Generator().manual_seed(seed)
    member = torch.randint(num_clusters, (n,), generator=generator)
    noise = 0.05 * torch.randn(n, dim, generator=generator)
    return (centres[member] + noise) * (0.5 + torch.rand(n, 1, generator=generator)), centres


def learner(num_codes: int = 8, seed: int = 0, dim: int = 6, **options) -> CodebookLearner:
    torch.manual_seed(seed)
    return CodebookLearner(VectorQuantizer(num_codes, dim), CodebookConfig(**options))


def train(learner: CodebookLearner, first: int, last: int, num_clusters: int = 8) -> None:
    for step in range(first, last):
        features, _ = clusters(64, num_clusters, seed=step)
        learner.update(features, learner.quantizer.codes(features))


def distance_to_nearest(rows: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    return torch.cdist(rows, others).amin(-1)


def test_the_start_takes_its_rows_from_the_data():
    learning = learner(warm_up_steps=4)
    random_rows = learning.quantizer.codebook.clone()
    train(learning, 0, 3, num_clusters=3)
    assert not learning.quantizing
    assert torch.equal(learning.quantizer.codebook, random_rows)
    train(learning, 3, 4, num_clusters=3)
    assert learning.quantizing
    features, centres = clusters(1000, 3, seed=100)
    directions = F.normalize(features, dim=-1)
    assert distance_to_nearest(learning.quantizer.codebook, directions).max() < 0.2
    assert distance_to_nearest(random_rows, directions).max() > 0.4
    assert distance_to_nearest(centres, learning.quantizer.codebook).max() < 0.2


def test_k_means_lowers_the_error_of_the_start():
    errors = []
    for iterations in (0, 1, 10):
        learning = learner(num_codes=16, start_iterations=iterations, warm_up_steps=4)
        train(learning, 0, 4, num_clusters=12)
        features, _ = clusters(1000, 12, seed=100)
        errors.append(float(learning.quantizer(features).commitment))
    assert errors[0] > errors[1] > errors[2]


def test_rows_converge_to_the_direction_of_the_mean_of_their_features():
    learning = learner(num_codes=2, decay=0.9, dead_below=0.0)
    learning.step += 1  # started, from random rows
    learning.quantizer.codebook.copy_(F.normalize(torch.tensor([[1.0] * 6, [-1.0] * 6]), dim=-1))
    features = torch.cat((torch.rand(30, 6), -torch.rand(10, 6)))
    for _ in range(200):
        learning.update(features, learning.quantizer.codes(features))
    directions = F.normalize(features, dim=-1)
    means = F.normalize(torch.stack((directions[:30].mean(0), directions[30:].mean(0))), dim=-1)
    torch.testing.assert_close(learning.quantizer.codebook, means, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(learning.shares, torch.tensor([0.75, 0.25]), rtol=1e-4, atol=1e-5)


def test_one_step_moves_rows_by_the_share_that_decay_leaves():
    learning = learner(num_codes=2, decay=0.75, dead_below=0.0, dim=2)
    learning.step += 1
    learning.shares.fill_(0.5)
    learning.sums.copy_(torch.tensor([[0.5, 0.0], [0.0, 0.5]]))
    learning.update(torch.tensor([[0.0, 3.0], [0.0, 5.0]]), torch.tensor([0, 1]))
    torch.testing.assert_close(learning.sums, torch.tensor([[0.375, 0.125], [0.0, 0.5]]))
    torch.testing.assert_close(learning.quantizer.codebook[0], F.normalize(torch.tensor([3.0, 1.0]), dim=0))


def test_usage_counts_codes_and_perplexity():
    learning = learner(num_codes=8, dead_below=0.01)
    assert learning.usage() == (0.0, 0.0)
    learning.shares.copy_(torch.tensor([0.25] * 4 + [0.0] * 4))
    assert learning.usage() == (0.5, pytest.approx(4.0))
    learning.shares.fill_(1 / 8)
    assert learning.usage() == (1.0, pytest.approx(8.0))
    learning.shares.copy_(torch.tensor([0.5, 0.25, 0.125, 0.125, 0, 0, 0, 0]))
    assert learning.usage().perplexity == pytest.approx(2**1.75)


def test_dead_codes_come_back_where_features_are():
    learning = learner(num_codes=8, decay=0.5, revive_every=5, dead_below=0.05)
    learning.step += 1
    far = F.normalize(torch.full((1, 6), 1.0), dim=-1)
    learning.quantizer.codebook[1:] = far  # one row near all features, seven that no feature is near to
    learning.quantizer.codebook[0] = -far
    features = -torch.rand(50, 6, generator=torch.Generator().manual_seed(1)) - 0.1
    for _ in range(40):
        learning.update(features, learning.quantizer.codes(features))
    assert learning.quantizer.codes(features).unique().numel() == 8
    assert learning.usage().used == 1.0


def test_without_revival_dead_codes_stay_where_they_are():
    learning = learner(num_codes=8, decay=0.5, revive_every=5, dead_below=0.0)
    learning.step += 1
    rows = learning.quantizer.codebook.clone()
    for _ in range(20):
        learning.update(torch.ones(5, 6), torch.zeros(5, dtype=torch.long))
    assert torch.equal(learning.quantizer.codebook[1:], rows[1:])


@pytest.mark.parametrize("stop", [2, 9])  # before the start, and between two revivals
def test_a_resumed_run_goes_on_exactly(stop):
    options = {"warm_up_steps": 5, "revive_every": 4, "decay": 0.8, "dead_below": 0.5}
    whole = learner(num_codes=16, **options)
    train(whole, 0, 20)
    first = learner(num_codes=16, **options)
    train(first, 0, stop)
    saved = copy.deepcopy((first.quantizer.state_dict(), first.state_dict()))
    resumed = learner(num_codes=16, seed=99, **options)
    resumed.quantizer.load_state_dict(saved[0])
    resumed.load_state_dict(saved[1])
    train(resumed, stop, 20)
    assert torch.equal(resumed.quantizer.codebook, whole.quantizer.codebook)
    for name, value in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], value), name


def test_learning_adds_nothing_to_the_state_of_the_quantizer():
    learning = learner()
    train(learning, 0, 3)
    assert list(learning.quantizer.state_dict()) == ["codebook"]
    assert "codebook" not in " ".join(learning.state_dict())
    torch.testing.assert_close(learning.quantizer.codebook.norm(dim=-1), torch.ones(8))


def test_a_step_without_features_changes_nothing_but_the_count_of_steps():
    learning = learner(warm_up_steps=2, decay=0.5)
    train(learning, 0, 3)
    rows = learning.quantizer.codebook.clone()
    learning.update(torch.zeros(0, 6), torch.zeros(0, dtype=torch.long))
    torch.testing.assert_close(learning.quantizer.codebook, rows)
    assert int(learning.step) == 4


def test_fewer_features_than_codes_still_start():
    learning = learner(num_codes=32)
    learning.update(torch.eye(6)[:3], torch.zeros(3, dtype=torch.long))
    assert learning.quantizing
    assert distance_to_nearest(learning.quantizer.codebook, torch.eye(6)[:3]).max() < 1e-6


@pytest.mark.parametrize("wrong", [{"decay": 1.0}, {"warm_up_steps": 0}, {"revive_every": 0}, {"dead_below": -0.1}])
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ConfigError):
        CodebookConfig(**wrong)


def learn_in_process(rank: int, world: int, folder: Path) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder / 'rendezvous'}", rank=rank, world_size=world)
    learning = learner(num_codes=16, seed=rank, warm_up_steps=3, revive_every=4, decay=0.8, dead_below=0.5)
    for step in range(12):
        mine = part_of_process(rank, step)
        learning.update(mine, learning.quantizer.codes(mine))
    following = learner(num_codes=16, warm_up_steps=1, decay=0.8, dead_below=0.0)
    following.step += 1
    mine = part_of_process(rank, step=0)
    following.update(mine, following.quantizer.codes(mine))
    state = {"codebook": learning.quantizer.codebook, **learning.state_dict(), "followed": following.sums}
    torch.save(state, folder / f"{rank}.pt")
    dist.destroy_process_group()


def part_of_process(rank: int, step: int) -> torch.Tensor:
    features, _ = clusters(64, 8, seed=step)
    return features[:20] if rank == 0 else features[20:]  # unequal numbers, as with tokens of images


@pytest.mark.slow
def test_two_processes_learn_one_codebook_from_the_features_of_both(tmp_path):
    mp.spawn(learn_in_process, (2, tmp_path), nprocs=2)
    ours, theirs = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2))
    for name, value in ours.items():
        assert torch.equal(value, theirs[name]), name
    assert int(ours["step"]) == 12
    features, _ = clusters(1000, 8, seed=100)
    assert distance_to_nearest(F.normalize(features, dim=-1), ours["codebook"]).mean() < 0.15
    alone = learner(num_codes=16, warm_up_steps=1, decay=0.8, dead_below=0.0)
    alone.step += 1
    features, _ = clusters(64, 8, seed=0)
    alone.update(features, alone.quantizer.codes(features))
    torch.testing.assert_close(ours["followed"], alone.sums)
