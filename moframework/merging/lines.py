"""LiNeS: a merged vector scaled by depth."""

from __future__ import annotations

from collections.abc import Sequence

from moframework.config import config, option
from moframework.errors import SpecError, nearest

__all__ = ["LiNeS", "depth_factors"]


@config
class LiNeS:
    """A merged vector whose entries in block ℓ of L are multiplied by `α + β ℓ/(L−1)`, those outside blocks by α (Wang,
    Dimitriadis, Favero, Ortiz-Jimenez, Fleuret, Frossard, ICLR 2025).

    Source: arXiv 2410.17146 and its released code, which multiplies `Σ_t τ_t`; here it is the vector at λ, whose
    weights add up to 1, so α and β are m times theirs. Without `alpha`, α is ‖Σ_t τ_t‖₁ over m times the L1 norm of the
    vector at the center, as there: 1 for sums. β is searched there in m·(.1 … 1) on validation data.
    """

    alpha: float | None = option(None, ge=0, help="factor α of the first block; none: from norms, as published")
    beta: float = option(1.0, help="what the last block's factor β has beyond α")
    blocks: tuple[str, ...] | None = option(
        None,
        help="the depth map: names of modules or parameters from first to last; none: each module with parameters of "
        "its own that belongs to no head is a block, in the network's order",
    )


def depth_factors(
    names: Sequence[str], blocks: Sequence[str] | None, alpha: float, beta: float
) -> tuple[list[float], list[str]]:
    """The factor of each parameter, and the blocks from first to last.

    >>> depth_factors(["a.weight", "a.bias", "b.weight"], None, 0.5, 0.5)
    ([0.5, 0.5, 1.0], ['a', 'b'])

    Args:
        names: parameters of the network that are merged, in its order.
        blocks: prefixes of names from first to last; None: the module of each parameter.

    Raises:
        SpecError: a block has no parameter.
    """
    order = list(blocks) if blocks is not None else list(dict.fromkeys(name.rpartition(".")[0] for name in names))
    for block in order:
        if not any(_inside(name, block) for name in names):
            guess = nearest(block, sorted({name.rpartition(".")[0] for name in names}))
            hint = f"; did you mean '{guess}'?" if guess else ""
            raise SpecError(f"solver.lines.blocks: no merged parameter lies in '{block}'{hint}")
    steps = max(len(order) - 1, 1)
    factors = []
    for name in names:
        depth = next((place for place, block in enumerate(order) if _inside(name, block)), None)
        factors.append(alpha if depth is None else alpha + beta * depth / steps)
    return factors, order


def _inside(name: str, block: str) -> bool:
    return name == block or (name.rpartition(".")[0] == block) or (block != "" and name.startswith(f"{block}."))
