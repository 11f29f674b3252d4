"""Loading and converting a checkpoint of 1 GB takes little more memory than what is loaded."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]

SCRIPT = """
import gc, json, sys
from pathlib import Path

import torch
from transformers import LlamaConfig

from videolavit.checkpoints import convert
from videolavit.checkpoints.files import StoredTensor
from videolavit.checkpoints.registry import build_component
from videolavit.checkpoints.writing import write_pickled, write_safetensors
from videolavit.pipeline import VideoLaVIT

def memory(field):
    line = next(line for line in open("/proc/self/status") if line.startswith(field))
    return int(line.split()[1]) * 1024

def measure(name, task):
    gc.collect()
    open("/proc/self/clear_refs", "w").write("5")  # the peak starts anew
    before = memory("VmRSS")
    result = task()
    numbers[name] = {"peak": memory("VmHWM") / size}
    if result is not None:
        touched = sum(float(parameter.sum()) for parameter in result.parameters())  # mapped pages count once read
    numbers[name]["growth"] = (memory("VmHWM") - before) / size

def load(dtype=None):
    return VideoLaVIT.from_pretrained(folder, dtype=dtype).components.module("language_model")

def stored(shape):
    return StoredTensor(key="", where="", shape=shape, dtype=torch.float32, load=lambda: torch.rand(shape))

suffix, folder, numbers = sys.argv[1], Path(sys.argv[2]), {}
config = LlamaConfig(
    vocab_size=1024, hidden_size=1024, intermediate_size=4096, num_hidden_layers=16, num_attention_heads=8,
    num_key_value_heads=4,
)
shapes = {k: tuple(v.shape) for k, v in build_component("language_model", config.to_dict()).state_dict().items()}
size = 4 * sum(torch.Size(shape).numel() for shape in shapes.values())
(folder / "language_model").mkdir()
config.save_pretrained(folder / "language_model")
write = write_safetensors if suffix == ".safetensors" else write_pickled
tensors = {key: stored(shape) for key, shape in shapes.items()}
measure("write", lambda: write(folder / "language_model" / f"pytorch_model{suffix}", tensors))
measure("load", load)
measure("load as bfloat16", lambda: load(torch.bfloat16))
measure("convert", lambda: convert(folder, folder / "a") and None)
measure("convert to bfloat16", lambda: convert(folder, folder / "b", layout="released", dtype=torch.bfloat16) and None)
print(json.dumps({"gigabytes": size / 1e9, **numbers}))
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="reads Linux's count of resident memory")
@pytest.mark.parametrize("suffix", [".bin", ".safetensors"])
def test_loading_takes_little_more_than_the_weights_and_converting_far_less(tmp_path, suffix):
    command = [sys.executable, "-c", SCRIPT, suffix, str(tmp_path)]
    run = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=280)
    assert run.returncode == 0, run.stderr
    shares = json.loads(run.stdout.splitlines()[-1])
    print(f"\n{suffix}, as shares of {shares.pop('gigabytes'):.3f} GB:", json.dumps(shares, indent=2))
    # The peak is that of the whole process, libraries included; the growth counts every weight as read.
    assert shares["load"]["peak"] < 1.25
    assert shares["load"]["growth"] < 1.25
    assert shares["load as bfloat16"]["peak"] < 1.25
    assert shares["load as bfloat16"]["growth"] < 0.75
    assert all(shares[task]["growth"] < 0.5 for task in ("write", "convert", "convert to bfloat16"))
