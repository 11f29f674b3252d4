"""Loading bars of transformers, which the command line keeps off the screen as it does other libraries' messages."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["without_bars"]


@contextmanager
def without_bars() -> Iterator[None]:
    """Hide them where transformers is to tell errors alone; call it around what reads files of this machine."""
    from transformers.utils import logging

    hidden = logging.get_verbosity() >= logging.ERROR and logging.is_progress_bar_enabled()
    if hidden:
        logging.disable_progress_bar()
    try:
        yield
    finally:
        if hidden:
            logging.enable_progress_bar()
