"""Scripts outside the package as modules: recipes, examples, benchmarks."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

PROJECT = Path(__file__).parent.parent


def load_script(path: str) -> ModuleType:
    """The module of a script, by its path in the project such as `recipes/things.py`."""
    specification = importlib.util.spec_from_file_location(path.removesuffix(".py").replace("/", "_"), PROJECT / path)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules[specification.name] = module  # dataclasses look their module up
    specification.loader.exec_module(module)
    return module
