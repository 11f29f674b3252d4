"""One file for each tab; each has `build(context)`, which places the tab's components and events.

Where an address can fill fields of the tab, `build` returns them (`deep_links`).
"""
