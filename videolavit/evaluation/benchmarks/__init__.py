"""Benchmarks by name, each in a file of its own that is imported when it is asked for.

A package of its own adds one by an entry point of the group `videolavit.benchmarks`, which names the same thing as a
line of `BENCHMARKS`: a function that takes `BenchmarkOptions` and gives a list of benchmarks.
"""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable, Sequence
from typing import Any

from videolavit import plugins
from videolavit.errors import ConfigError
from videolavit.evaluation.benchmark import Benchmark, BenchmarkOptions

__all__ = ["BENCHMARKS", "benchmark_names", "describe_benchmarks", "make_benchmarks"]

_HERE = "videolavit.evaluation.benchmarks"
BENCHMARKS = {
    "shapes": f"{_HERE}.shapes:shapes_tasks",
    "long": f"{_HERE}.long:long_tasks",
    "ablations": f"{_HERE}.ablations:ablation_tasks",
    "things": f"{_HERE}.things:things_tasks",
    "vqav2": f"{_HERE}.vqav2:VqaV2",
    "gqa": f"{_HERE}.gqa:Gqa",
    "vizwiz": f"{_HERE}.vizwiz:VizWiz",
    "scienceqa": f"{_HERE}.scienceqa:ScienceQa",
    "mme": f"{_HERE}.mme:Mme",
    "mmbench": f"{_HERE}.mmbench:MmBench",
    "seed": f"{_HERE}.seed:SeedBench",
    "mmvet": f"{_HERE}.mmvet:MmVet",
    "msvd_qa": f"{_HERE}.video_qa:MsvdQa",
    "msrvtt_qa": f"{_HERE}.video_qa:MsrvttQa",
    "activitynet_qa": f"{_HERE}.video_qa:ActivityNetQa",
    "perception_test": f"{_HERE}.perception_test:PerceptionTest",
    "egoschema": f"{_HERE}.egoschema:EgoSchema",
    "msrvtt": f"{_HERE}.text_to_video:MsrVtt",
    "ucf101": f"{_HERE}.text_to_video:Ucf101",
    "coco": f"{_HERE}.coco:Coco",
    "long_video": f"{_HERE}.long_video:LongVideo",
    "reconstruction": f"{_HERE}.reconstruction:Reconstruction",
}
"""Place of each benchmark: a class that takes options, or a function that gives several benchmarks."""


def benchmark_names() -> list[str]:
    """Names of all benchmarks, those of other installed packages behind our own."""
    return [*BENCHMARKS, *(name for name in plugins.plugins(plugins.BENCHMARKS) if name not in BENCHMARKS)]


def make_benchmarks(name: str, options: BenchmarkOptions) -> list[Benchmark]:
    """Benchmarks of one name, ready to be run.

    Raises:
        ConfigError: there is none of that name, the package that has it cannot be imported, or an option does not fit.
    """
    made = find_benchmark(name)(options)
    return list(made) if isinstance(made, Sequence) else [made]


def describe_benchmarks() -> list[dict[str, Any]]:
    """Name, line and official files of each benchmark; a plug-in that cannot be imported says so in its line."""
    found = []
    for name in benchmark_names():
        try:
            made = find_benchmark(name)
        except ConfigError as error:
            found.append({"name": name, "about": str(error), "files": [], "variants": []})
            continue
        about = getattr(made, "about", None) or (made.__doc__ or "").splitlines()[0]
        files = [dataclasses.asdict(file) for file in getattr(made, "files", ())]
        found.append({"name": name, "about": about, "files": files, "variants": list(getattr(made, "variants", ()))})
    return found


def find_benchmark(name: str) -> Callable[[BenchmarkOptions], Any]:
    """Function or class that makes a benchmark of options.

    Raises:
        ConfigError: there is none of that name, or it cannot be imported.
    """
    if name in BENCHMARKS:
        module, _, attribute = BENCHMARKS[name].partition(":")
        return getattr(importlib.import_module(module), attribute)
    found = plugins.plugins(plugins.BENCHMARKS)
    if name not in found:
        raise plugins.unknown_name("benchmark", name, [*BENCHMARKS, *found])
    return plugins.load_plugin(found[name], "benchmark")
