"""One file for each tab; each has `build(context)`, which places the tab's components and events."""
