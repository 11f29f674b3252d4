"""Expectations of the model as bars of HTML."""

from __future__ import annotations

from html import escape

from videolavit.demo.next_tokens import NextToken

__all__ = ["expected_view"]


def expected_view(token: NextToken) -> str:
    """The likeliest ids at one place, and what the grammar forbids there, as bars with figures."""
    rows = [_row(name, share, "chosen" if name == token.name else "") for name, share in token.top]
    if token.name not in [name for name, _ in token.top]:
        rows.append(_row(token.name, token.probability, "chosen"))
    forbidden = [_row(name, share, "forbidden") for name, share in token.forbidden if share >= 0.0005]
    told = (
        f"Place {token.position}: <b>{escape(token.name)}</b> was chosen, {token.probability:.1%} likely, "
        f"{token.surprise_bits:.1f} bits of surprise; the choice had {token.entropy_bits:.1f} bits."
    )
    shares = "".join(forbidden) or "<p>nothing worth a bar: the model keeps to the grammar by itself here</p>"
    return (
        f'<div class="expected"><p>{told}</p>{"".join(rows)}'
        f"<p>Forbidden by the grammar, as shares of the model's whole probability:</p>{shares}</div>"
    )


def _row(name: str, share: float, kind: str) -> str:
    return (
        f'<div class="row {kind}"><b>{escape(name)}</b>'
        f'<span><i style="width:{100 * share:.1f}%"></i></span><span>{share:.1%}</span></div>'
    )
