"""`python -m videolavit` is the same as `videolavit`."""

from __future__ import annotations

import sys

from videolavit.cli import main

if __name__ == "__main__":
    sys.exit(main())
