"""Building our forms of diffusers' models from a stored configuration.

Such a form has few arguments and makes diffusers' many of them. A stored configuration holds both.
"""

from __future__ import annotations

import inspect
from typing import Any

__all__ = ["OwnArguments"]


class OwnArguments:
    """To be named before diffusers' class among the bases."""

    @classmethod
    def from_config(cls, config: Any = None, return_unused_kwargs: bool = False, **kwargs: Any) -> Any:
        """From the arguments of the form itself; what diffusers' class made of them follows from these."""
        own = inspect.signature(cls.__init__).parameters
        build: Any = getattr(super(), "from_config")  # noqa: B009 - of the class that this one is mixed into
        return build(
            {name: value for name, value in dict(config).items() if name in own}, return_unused_kwargs, **kwargs
        )
