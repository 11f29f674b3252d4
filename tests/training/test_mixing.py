"""Several folders of token shards as one mixture: exact shares, epochs in the log, refusals."""

import json
from collections import Counter
from dataclasses import replace

import pytest
import torch
from training.small_language import make_text_tokenizer, make_video, make_vocabulary

from videolavit.cli import main
from videolavit.data.tokens import TokensMadeBy, write_tokens
from videolavit.errors import ConfigError
from videolavit.language.prompts import Prompt
from videolavit.training.batches import batches
from videolavit.training.data_folders import folders_and_shares, open_folders
from videolavit.training.language_data import LanguageSamples, Shares
from videolavit.training.sequences import SequenceMaker, TrainingSequence

DRAWS = 2_000


class FirstLetters(SequenceMaker):
    """In the place of whole sequences, the first letter of a caption or answer, which names the folder."""

    def generating(self, caption, video, *, motion=True):
        return letter(caption)

    def answering(self, video, questions, *, motion=True):
        [(_, answer)] = questions
        return letter(answer)


def letter(text):
    return TrainingSequence(prompt=Prompt.from_ids(torch.tensor([ord(text[0])])), targets=torch.zeros(1).long())


def names(batch):
    return [chr(int(sequence.ids[0])) for sample in batch for sequence in sample]


def write_folder(folder, name, count, *, answers=True, tokenizers=None):
    vocabulary = make_vocabulary(make_text_tokenizer())
    videos = []
    for number in range(count):
        video = replace(make_video(number, vocabulary), captions=(name,), questions=(), about_image=())
        videos.append(replace(video, questions=(("?", name, "name"),), about_image=(False,)) if answers else video)
    (folder / name).mkdir()
    write_tokens(videos, folder / name / "part", vocabulary, TokensMadeBy(tokenizers=tokenizers or {}))
    return str(folder / name)


def samples_of(*data, **shares):
    text = make_text_tokenizer()
    return LanguageSamples(
        Shares(**(shares or {"generate_video": 1})),
        open_folders(data),
        FirstLetters(vocabulary=make_vocabulary(text), text_tokenizer=text),
        prompt_dropout=0.0,
        described_as_ids=0.0,
        texts="",
        seed=0,
    )


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    folder = tmp_path_factory.mktemp("folders")
    return write_folder(folder, "A", 30), write_folder(folder, "B", 7), write_folder(folder, "C", 5, answers=False)


@pytest.mark.parametrize("draws", [DRAWS, pytest.param(10_000, marks=pytest.mark.slow)])
def test_three_to_one_is_exact_whoever_draws(folders, draws):
    samples = samples_of(f"{folders[0]}=3", folders[1])
    drawn = names(samples[draw] for draw in range(draws))
    assert Counter(drawn) == {"A": 3 * draws // 4, "B": draws // 4}
    steps = draws // 40
    shared = {"batch_size": 40, "num_steps": steps}
    in_parts = []
    for rank in range(2):
        settings = {**shared, "parts": 2, "first_step": 0, "rank": rank, "num_processes": 2, "workers": rank * 2}
        in_parts.append(list(batches(samples, names, **settings)))
    together = [part for step in range(steps) for rank in range(2) for part in in_parts[rank][2 * step :][:2]]
    assert [name for part in together for name in part] == drawn
    done = 4 * steps // 5
    resumed = batches(samples, names, parts=1, first_step=done, **shared)
    assert [name for part in resumed for name in part] == drawn[done * 40 :]


@pytest.mark.slow
def test_each_folder_shows_each_of_its_videos_once_an_epoch(folders):
    samples = samples_of(f"{folders[0]}=3", folders[1])
    seen = samples.seen(10_000)
    assert seen == {"samples/A": 7500, "samples/B": 2500, "epochs/A": 250, "epochs/B": pytest.approx(2500 / 7)}
    for draws in (0, 1, 2, 3, 17, 4001):
        drawn = Counter(names(samples[draw] for draw in range(draws)))
        assert samples.seen(draws) == {
            **{f"samples/{name}": drawn[name] for name in "AB"},
            "epochs/A": drawn["A"] / 30,
            "epochs/B": pytest.approx(drawn["B"] / 7),
        }


def test_a_folder_without_answers_takes_part_in_drawing_alone(folders):
    samples = samples_of(folders[0], folders[2], generate_video=1, answer_video=1)
    drawn = Counter(names(samples[draw] for draw in range(400)))
    assert drawn == {"A": 300, "C": 100}
    with pytest.raises(ConfigError, match=r"C.*no words of the kinds that are asked for"):
        samples_of(folders[0], folders[2], answer_video=1)
    with pytest.raises(ConfigError, match="no items to train on"):
        samples_of(folders[2], answer_video=1)


def test_folders_of_other_tokenizers_are_refused(tmp_path):
    one = write_folder(tmp_path, "one", 3, tokenizers={"visual": "aa", "motion": "bb"})
    other = write_folder(tmp_path, "other", 3, tokenizers={"visual": "aa", "motion": "cc"})
    with pytest.raises(ConfigError, match=r"one.*other.*different tokenizers \(motion\)"):
        open_folders([one, other])


@pytest.mark.parametrize("data", [(), ("A=0",), ("A", "./A=2")])
def test_what_is_no_share_is_refused(data):
    with pytest.raises(ConfigError, match=r"from 1 up|named twice"):
        folders_and_shares(data)


def test_folders_may_have_signs_of_equality():
    assert folders_and_shares(["a=b", "c=d=2", "=3"]) == [("a=b", 1), ("c=d", 2), ("=3", 1)]


def test_the_command_mixes_folders_and_logs_their_epochs(folders, tmp_path, capsys):
    make_text_tokenizer().save_pretrained(tmp_path / "text")
    sizes = ["--model.width", "16", "--model.mlp-width", "16", "--model.layers", "1", "--model.heads", "2"]
    training = ["--training.steps", "4", "--training.warmup-steps", "1", "--training.batch-size", "8"]
    command = ["train", "pretraining", "--data", f"{folders[0]}=3", folders[1], "-o", str(tmp_path / "run"), "--quiet"]
    rest = ["--text-tokenizer", str(tmp_path / "text"), "--training.log-every", "2", "--training.images-every", "0"]
    kinds = ("draw-image", "describe-image", "describe-video", "answer-image", "answer-video")
    shares = [text for kind in kinds for text in (f"--shares.{kind}", "0")]
    assert main([*command, *rest, *sizes, *training, *shares]) == 0, capsys.readouterr().err
    last = json.loads((tmp_path / "run" / "log.jsonl").read_text().splitlines()[-1])
    assert last["samples/A"] + last["samples/B"] == 32
    assert last["samples/A"] == 24
    assert last["epochs/A"] == 24 / 30
