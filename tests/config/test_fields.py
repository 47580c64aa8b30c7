from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import pytest

from moframework.config import config, option
from moframework.config.fields import deeper, is_interface, options_of, unknown_key
from moframework.errors import MoframeworkError
from moframework.preferences.annealed import Annealed
from moframework.solvers.palora import PaLoRA
from moframework.spec import Spec
from tests.config.parts import Fixed, Palora, Schedule, Solver

if TYPE_CHECKING:
    from decimal import Decimal


def test_options_in_order() -> None:
    options = {o.key: o for o in options_of(Palora)}
    assert list(options)[:3] == ["rank", "alpha", "conv"]
    assert options["rank"].help == "rank of the adapters"
    assert options["rank"].default() == 4
    assert options["rank"].type is int
    assert not options["rank"].required
    (points,) = options_of(Fixed)
    assert points.required
    assert points.default() is attrs.NOTHING


def test_unresolvable_annotation() -> None:
    @config
    class Bad:
        price: Decimal = option(help="its type is known to type checkers only")

    with pytest.raises(MoframeworkError, match=r"Decimal.*import the types of options at the top of the module"):
        options_of(Bad)


def test_an_option_needs_a_type() -> None:
    @config
    class Untyped:
        speed = option(1.0, help="how fast")

    with pytest.raises(MoframeworkError, match=r"Untyped has an option 'speed' without a type: .*`speed: float = "):
        options_of(Untyped)


def test_a_value_that_hides_an_inherited_option_is_refused() -> None:
    """It would be ignored: what a run has is the option's default."""

    @config
    class Steep(PaLoRA):
        rank = 8

    @config
    class Drawn(PaLoRA):
        preferences = Annealed(temperature=2.0)

    with pytest.raises(MoframeworkError, match=r"Steep sets 'rank', .* ignored: write `rank: TYPE = option\(.*\)`$"):
        options_of(Steep)
    with pytest.raises(MoframeworkError, match="or `default_preferences = …`"):
        options_of(Drawn)


def test_a_key_that_stands_in_a_section_is_told_where() -> None:
    options = options_of(Spec)
    near = "unknown key; did you mean '{}'? allowed: problem, "
    assert unknown_key(options, "epochs").startswith(near.format("training.epochs"))
    assert unknown_key(options, "lr").startswith(near.format("training.optimizer.lr"))
    assert unknown_key(options, "sead", more=["extends"]).startswith(near.format("seed"))
    assert unknown_key(options, "sead", more=["extends"]).endswith("log, extends")
    assert unknown_key(options, "lr_factor").endswith("constraints, seed, name, log")  # that of a group has a number
    training = next(option for option in options if option.key == "training")
    assert deeper(options_of(training.type), "lr") == ("optimizer", "lr")


def test_interfaces_are_abstract_or_name_a_kind() -> None:
    assert is_interface(Schedule)
    assert is_interface(Solver)
    assert not is_interface(Palora)
