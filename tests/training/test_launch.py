"""The recipes for clusters: they parse, and the torchrun commands in them are such that torchrun and we take."""

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml

from videolavit.commands.train import parse

RECIPES = Path(__file__).parents[2] / "recipes" / "launch"


def scripts_of(kind):
    if kind == "slurm":
        return [(RECIPES / "slurm.sh").read_text()]
    if kind == "skypilot":
        task = yaml.safe_load((RECIPES / "skypilot.yaml").read_text())
        return [task["setup"], task["run"]]
    _, job = yaml.safe_load_all((RECIPES / "kubernetes.yaml").read_text())
    [container] = job["spec"]["template"]["spec"]["containers"]
    return container["args"]


def launched(kind, tmp_path, variables):
    """Arguments of torchrun when the script of a recipe runs, with all that is not there replaced by stand-ins."""
    stand_ins = {
        "torchrun": 'printf "%s\\n" "$@" > "$CALL"',
        "scontrol": "printf 'node-a\\nnode-b\\n'",
        "srun": 'while [ "$1" != hostname ] && [ "$1" != bash ]; do shift; done; exec "$@"',
        "hostname": "echo 10.0.0.7",
    }
    for name, body in stand_ins.items():
        (tmp_path / name).write_text(f"#!/bin/bash\n{body}\n")
        (tmp_path / name).chmod(0o755)
    environment = {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}", "CALL": str(tmp_path / "call"), **variables}
    subprocess.run(["bash", "-c", scripts_of(kind)[-1]], env=environment, check=True, timeout=60)
    return (tmp_path / "call").read_text().splitlines()


CLUSTERS = {
    "slurm": {
        "STAGE": "pretraining",
        "DATA": "/shared/tokens",
        "OUTPUT": "/shared/run",
        "SLURM_JOB_NODELIST": "node-[a-b]",
        "SLURM_JOB_ID": "17",
        "SLURM_NODEID": "0",
        "SLURM_NNODES": "2",
        "SLURM_GPUS_ON_NODE": "8",
    },
    "kubernetes": {"JOB_COMPLETION_INDEX": "0"},
    "skypilot": {
        "STAGE": "pretraining",
        "SKYPILOT_NODE_IPS": "10.0.0.7\n10.0.0.8",
        "SKYPILOT_NUM_NODES": "2",
        "SKYPILOT_NODE_RANK": "0",
        "SKYPILOT_NUM_GPUS_PER_NODE": "8",
    },
}


@pytest.mark.parametrize("kind", CLUSTERS)
def test_a_recipe_starts_a_training_of_sixteen_processes(kind, tmp_path):
    from torch.distributed.run import get_args_parser

    options = get_args_parser().parse_args(launched(kind, tmp_path, CLUSTERS[kind]))
    assert (options.nnodes, options.nproc_per_node) == ("2", "8")
    assert options.module
    assert options.training_script == "videolavit"
    command, *arguments = options.training_script_args
    config = parse(arguments)
    assert (command, config.stage, config.preset) == ("train", "pretraining", "paper")
    assert config.output.is_absolute()


@pytest.mark.parametrize("kind", ["slurm", "kubernetes"])
@pytest.mark.parametrize(("node", "is_host"), [("0", "1"), ("1", "0")])
def test_the_first_machine_alone_hosts_the_rendezvous(kind, node, is_host, tmp_path):
    own = {"slurm": "SLURM_NODEID", "kubernetes": "JOB_COMPLETION_INDEX"}[kind]
    call = launched(kind, tmp_path, CLUSTERS[kind] | {own: node})
    assert call[call.index("--rdzv-conf") + 1] == f"is_host={is_host}"


def test_kubernetes_starts_as_many_pods_as_torchrun_waits_for():
    service, job = yaml.safe_load_all((RECIPES / "kubernetes.yaml").read_text())
    [nodes] = re.findall(r"--nnodes (\d+)", scripts_of("kubernetes")[0])
    assert job["spec"]["completions"] == job["spec"]["parallelism"] == int(nodes)
    assert service["spec"]["selector"]["job-name"] == job["metadata"]["name"]
    assert job["spec"]["template"]["spec"]["subdomain"] == service["metadata"]["name"]


@pytest.mark.parametrize("kind", CLUSTERS)
def test_scripts_are_bash(kind):
    for script in scripts_of(kind):
        done = subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert shlex.split(script, comments=True)
