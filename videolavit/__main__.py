"""`python -m videolavit` is the same as `videolavit`."""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> int:
    """Run the command line of this process; Ctrl-C has one line also while modules are imported."""
    try:
        from videolavit.cli import main as run

        return run()
    except KeyboardInterrupt:  # before `run` could tell it
        print("videolavit: interrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
