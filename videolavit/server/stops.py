"""Text that ends before the first of some stop strings, given out as it comes."""

from __future__ import annotations

__all__ = ["StopText"]


class StopText:
    """Pieces of text in, pieces out; what may still become a stop string is held back."""

    def __init__(self, stops: tuple[str, ...]) -> None:
        self.found = False
        self._stops, self._held = stops, ""

    def push(self, piece: str) -> str:
        """More of the text that certainly stands before any stop string."""
        if self.found or not self._stops:
            return "" if self.found else piece
        self._held += piece
        places = [place for stop in self._stops if (place := self._held.find(stop)) >= 0]
        if places:
            self.found, text, self._held = True, self._held[: min(places)], ""
            return text
        keep = max(self._beginning(stop) for stop in self._stops)
        text, self._held = self._held[: len(self._held) - keep], self._held[len(self._held) - keep :]
        return text

    def rest(self) -> str:
        """Text that was held back, at the end."""
        text, self._held = self._held, ""
        return text

    def _beginning(self, stop: str) -> int:
        """Length of the end of the held text that `stop` begins with."""
        longest = min(len(stop) - 1, len(self._held))
        return next((n for n in range(longest, 0, -1) if self._held.endswith(stop[:n])), 0)
