"""One module per command of the command line; `videolavit.cli` finds them by name."""
