"""The page, for hosts that run a program of this name."""

from videolavit.demo import launch

raise SystemExit(launch())
