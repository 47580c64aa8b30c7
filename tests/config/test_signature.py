from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest

from moframework.config import arguments, build, config, option, options_class
from moframework.config.fields import options_of
from moframework.errors import MoframeworkError, SpecError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nowhere import Nothing  # type: ignore[import-not-found]


class Tensor:
    pass


def example(  # type: ignore[no-untyped-def]  # noqa: PLR0913  one parameter of every kind
    x: Tensor,
    weight: float | Tensor,
    count: int = 3,
    *,
    mode: Literal["a", "b"] = "a",
    betas: tuple[float | Tensor, float | Tensor] = (0.9, 0.99),
    milestones: Sequence[int] = (1, 2),
    names: Iterable[str] = (),
    sizes: list[int] = [4, 5],  # noqa: B006
    table: dict[str, float] | None = None,
    where: Path | None = None,
    callback: Callable[[int], int] | None = None,
    guess: Nothing = 4,
    rate: float = 1,
    flag=True,  # no annotations: the defaults tell
    pair=(1, 2),
    mixed=(1, "a"),
    nothing=None,
    anything: Any = None,
    tensor: Tensor = Tensor(),  # noqa: B008
) -> dict[str, Any]:
    """An example.

    Args:
        weight (float, optional): how much it weighs,
            in kilograms (default: 1e-3)
        count: how many. More words.
        betas (tuple[float, float]): two decays
            of averages
        mode: which of two
    """
    return dict(locals())


def test_types_and_defaults() -> None:
    made = options_class(example, name="Example", skip={"x"})
    types = {o.key: o.type for o in options_of(made)}
    assert types == {
        "weight": float,
        "count": int,
        "mode": Literal["a", "b"],
        "betas": tuple[float, float],
        "milestones": tuple[int, ...],
        "names": tuple[str, ...],
        "sizes": list[int],
        "table": dict[str, float] | None,
        "where": Path | None,
        "guess": int,
        "rate": float,
        "flag": bool,
        "pair": tuple[int, ...],
        "anything": Any,
    }
    value = made(weight=2.0)
    assert (value.count, value.betas, value.rate) == (3, (0.9, 0.99), 1.0)
    assert type(value.rate) is float
    assert value.sizes == [4, 5]
    assert value.sizes is not made(weight=2.0).sizes


def test_help_comes_from_the_docstring() -> None:
    made = options_class(example, name="Example", skip={"x"})
    help_ = {o.key: o.help for o in options_of(made)}
    assert help_["weight"] == "how much it weighs, in kilograms (default: 1e-3)"
    assert help_["count"] == "how many"
    assert help_["betas"] == "two decays of averages"
    assert help_["mode"] == "which of two"
    assert help_["milestones"] == "milestones"


def test_options_are_checked_like_any_other() -> None:
    made = options_class(example, name="Example", skip={"x"})
    with pytest.raises(SpecError, match=r"(?s)weiht.*did you mean 'weight'.*count: must be a whole number"):
        build(made, {"weiht": 2, "count": 1.5})
    value = build(made, {"weight": 2, "milestones": [3]})
    assert arguments(value)["milestones"] == (3,)
    called = made.function(None, **arguments(value))
    assert called["weight"] == 2.0


def test_bases_keep_their_options() -> None:
    @config
    class Base:
        per_batch: int = option(1, help="of the base")

    Base.__annotations__["per_batch"] = int
    made = options_class(example, name="Example", bases=(Base,), skip={"x"})
    value = made(weight=1.0, per_batch=2)
    assert value.per_batch == 2
    assert "per_batch" not in arguments(value)
    assert issubclass(made, Base)
    assert made.__name__ == "Example"


def test_a_class_gives_its_constructor() -> None:
    class Torch:
        """Something. decay: per step."""

        def __init__(self, params: object, decay: float = 0.5, closure: Callable[[], None] | None = None) -> None:
            self.decay = decay

    made = options_class(Torch, name="Torch", skip={"params"})
    assert {o.key: o.help for o in options_of(made)} == {"decay": "per step"}


def test_optional() -> None:
    made = options_class(example, name="Example", skip={"x"}, optional={"weight", "count"})
    assert made().weight is None
    assert made().count is None
    assert build(made, {"weight": 2, "count": None}).weight == 2.0


def takes_any(x: int, **others: int) -> None: ...


def needs_tensor(x: int, t: Tensor) -> None: ...


@pytest.mark.parametrize(
    ("function", "words"),
    [(takes_any, "give each option a name of its own"), (needs_tensor, "cannot be written in a spec")],
)
def test_what_cannot_be_an_option(function: Callable[..., Any], words: str) -> None:
    with pytest.raises(MoframeworkError, match=words):
        options_class(function, name="F", skip={"x"})
