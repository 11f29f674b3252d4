"""Fifty command lines that make no sense: one line that says so, exit code 2, and nothing written."""

from __future__ import annotations

from pathlib import Path

import pytest

from videolavit import cli

WRONG = {
    "vidoe x": "did you mean video?",
    "zzz x": "commands are image, video",
    "video x -o a.mp4 --seed abc": "--seed: expected a whole number, got 'abc'",
    "video x -o a.mp4 --seed 1.5": "--seed: expected a whole number, got '1.5'",
    "video x -o a.mp4 --seed": "--seed: a value is missing",
    "video x -o a.mp4 --sed 3": "did you mean --seed?",
    "video x -o a.mp4 --height tall": "--height: expected a whole number",
    "video x -o a.mp4 --keyframe-guidance-scale much": "--keyframe-guidance-scale: expected a number, got 'much'",
    "video x -o a.mp4 --continuation loud": "--continuation: 'loud' is none of 'restart', 'inversion', 'none'",
    "video x -o a.mp4 --quantize int2": "--quantize: 'int2' is none of 'int8', 'int4'",
    "video x -o a.mp4 --dtype float8": "--dtype: 'float8' is none of",
    "video x -o a.mp4 --steps 3": "--steps is called --num-inference-steps here",
    "video x -o a.mp4 --keyframe-steps 3": "--keyframe-steps is called --keyframe-num-inference-steps here",
    "video x -o a.mp4 --max-guidance 2": "--max-guidance is called --max-guidance-scale here",
    "video x -o a.mp4 --min-guidance 1": "--min-guidance is called --min-guidance-scale here",
    "video x -o a.mp4 --motion-bucket 100": "--motion-bucket is called --motion-bucket-id here",
    "video x -o a.mp4 --noise-augmentation 0.1": "--noise-augmentation is called --noise-aug-strength here",
    "video x -o a.mp4 --keyframe-guidance 2": "--keyframe-guidance is called --keyframe-guidance-scale here",
    "video x -o a.mp4 --decode-chunk 2": "--decode-chunk is called --decode-chunk-size here",
    "video x -o a.mp4 --noise restart": "--noise is called --continuation here",
    "video x -o a.mp4 --picture a.png": "--picture is called --image here",
    "video x -o a.mp4 --num-frames 48": "--num-frames is called --clips here",
    "video x -o a.mp4 --torch-dtype float16": "--torch-dtype is called --dtype here",
    "image x -o a.png --steps 3": "--steps is called --keyframe-num-inference-steps here",
    "image a small red circle -o a.png": 'write: videolavit image "a small red circle"',
    "video a red circle moves -o a.mp4": 'write: videolavit video "a red circle moves"',
    "animate a.png it moves left -o b.mp4": 'write: videolavit animate a.png "it moves left"',
    "continue a.mp4 it moves left -o b.mp4": 'write: videolavit continue a.mp4 "it moves left"',
    "image -o x.png a small red circle": 'write: videolavit image -o x.png "a small red circle" ...',
    "image --json -o x.png a small circle --seed 3": 'write: videolavit image --json -o x.png "a small circle" ...',
    "image a -o x.png small red circle": 'write: videolavit image "a small red circle" ...',
    "animate a.png -o b.mp4 it moves left": 'write: videolavit animate a.png -o b.mp4 "it moves left" ...',
    "animate -o b.mp4 a.png it moves left": 'write: videolavit animate -o b.mp4 a.png "it moves left" ...',
    "answer What colour is it? --image x.png": 'write: videolavit answer "What colour is it?" ...',
    "answer --image x.png What colour is it?": 'write: videolavit answer "What colour is it?" ...',
    "answer What colour --image x.png is it?": "a question of several words needs quotes",
    "--json info x": "options go behind the command; write: videolavit info ... --json",
    "help zzz": "no command 'zzz'",
    "video x -o a.mp4 --preview -": "--preview goes to a file, and not to stdout",
    "tokenize x.png -o - --json": "--json and -o - both write to stdout",
    "image x --clips 2 -o a.png": "no option --clips",
    "animate": "missing IMAGE",
    "continue": "missing FILE",
    "answer": "ask at least one question",
    "answer why --image a.png --show moments": "--show: only for a memory",
    "answer why --video a.mp4 --context window --times": "--context, --times: only for a memory",
    "answer what video.mp4": "show it with --video video.mp4",
    "answer what image.png": "show it with --image image.png",
    "video x -o a.mp4 --num-outputs 0": "--num-outputs: expected a number from 1",
    "video x -o a.mp4 --num-outputs two": "--num-outputs: expected a whole number",
    "video x --prompts a.txt -o a.mp4": "give a prompt or --prompts FILE, not both",
    "video x -o - --num-outputs 2": "stdout takes one result",
    "image x -o - --json": "--json and -o - both write to stdout",
    "video x -o a.mp4 --temperature warm": "--temperature: expected a number",
    "video x -o a.mp4 --negative x": "no option --negative",
    "video x -o a.mp4 --fps fast": "--fps: expected a number",
    "video x -o a.mp4 --fps 0": "--fps: expected a number from 0.01 to 1000, got 0",
    "edit a.mp4 -o b.mp4 --reverse --fps nan": "--fps: expected a number from 0.01 to 1000, got nan",
    "continue a.mp4 -o - --whole": "--whole goes to a file",
    "answer why --max-ids 3": "--max-ids is called --max-new-tokens here",
    "answer why --imag x.png": "did you mean --image?",
    "answer why --max-clips many": "--max-clips: expected a whole number",
    "chat --max-new-tokens few": "--max-new-tokens: expected a whole number",
    "tokenize": "missing FILE",
    "tokenize a b": "got more than the command takes: b",
    "detokenize": "missing FILE",
    "detokenize a.txt --detokenizer magic -o b.mp4": "--detokenizer: 'magic' is none of",
    "edit": "missing FILE",
    "edit a.mp4 -o b.mp4": "nothing to change",
    "edit a.mp4 -o b.mp4 --scale nan": "scale",
    "edit a.mp4 -o b.mp4 --scale twice": "--scale: expected a number, got 'twice'",
    "reconstruct": "missing FILE",
    "reconstruct a.mp4 -o b.mp4 --motion-from air": "--motion-from: 'air' is none of",
    "cuts a.mp4 --max-width none": "--max-width: expected a whole number, got 'none'",
    "motion a.mp4 --max-bytes none": "--max-bytes: expected a whole number, got 'none'",
    "search . --max-pixels none": "--max-pixels: expected a whole number, got 'none'",
    "edit a.mp4 --reverse --max-height none": "--max-height: expected a whole number, got 'none'",
    "info": "missing FILE",
    "info a b": "got more than the command takes: b",
    "info a.mp4 --jsno": "did you mean --json?",
    "decompose": "",
    "decompose a.mp4 -o out --slices many": "--slices: expected a whole number",
    "decompose a.mp4 -o out --motion foo": "got the source of motion 'foo'; known are reencode, source",
    "decompose a.mp4 -o out --select some": "some",
    "decompose a.mp4 -o out --workers 0": "--workers",
    "doctor --device quantum": "--device quantum: cannot be used here",
    "convert": "missing SOURCE",
    "convert a b --layout mine": "--layout: 'mine' is none of",
    "video x -o a.mp4 --threads none": "--threads: expected a number from 1",
    "video x -o a.mp4 --threads": "--threads: expected a number from 1",
}
"""Command lines, and words of what is told."""


def test_there_are_fifty():
    assert len(WRONG) >= 50


@pytest.mark.parametrize("line", WRONG)
def test_a_wrong_command_line_is_told_in_one_line(line, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(line.split()) == cli.BAD_USAGE
    shown = capsys.readouterr()
    assert shown.out == ""
    [message] = shown.err.splitlines()
    assert message.startswith("videolavit: error: ")
    assert WRONG[line] in message
    for word in ("NoneType", "{None}", "instantiate", "<class", "│", "Config("):
        assert word not in message
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize("option", ["-o", "--preview", "--like"])
def test_a_file_without_a_name_is_refused(option, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["video", "x", option, ""]) == cli.BAD_USAGE
    assert f"{option} is followed by an empty name" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["animate", "continue"])
def test_a_text_in_front_of_the_file_is_told(command, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("x.png").touch()
    assert cli.main([command, "it moves left", "x.png", "-o", "a.mp4"]) == cli.BAD_USAGE
    assert f'write: videolavit {command} x.png "it moves left" ...' in capsys.readouterr().err


def test_a_preview_and_a_result_are_two_files_however_they_are_written(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("sub").mkdir()
    Path("v.mp4").touch()
    for line in (["video", "x"], ["continue", "v.mp4"]):
        assert cli.main([*line, "-o", "a.mp4", "--preview", "sub/../a.mp4"]) == cli.BAD_USAGE
        assert "--preview and --output are the same file" in capsys.readouterr().err
