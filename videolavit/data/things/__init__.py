"""The world of things: named things that move in real places, with exact truth and words (docs/things.md)."""
