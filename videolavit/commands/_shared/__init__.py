"""Options, files and reports that several commands share."""
