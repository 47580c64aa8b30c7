from __future__ import annotations

from abc import abstractmethod

import attrs
import pytest

from moframework.config import Component, OptionError, build, config, option, unstructure
from moframework.errors import MoframeworkError, UnknownNameError
from tests.config.parts import Annealed, Digits, FunctionSchedule, Overrides, Schedule, doubled


@config
class Sized:
    sizes: tuple[float, ...] = option((1.0,), gt=0, le=3, help="sizes")


def test_option_classes_are_frozen_keyword_only_and_compared_by_value() -> None:
    value = Sized(sizes=(2.0,))
    assert value == Sized(sizes=(2.0,))
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        value.sizes = (1.0,)  # type: ignore[misc]
    with pytest.raises(TypeError):
        Sized((1.0,))  # type: ignore[call-arg]


@pytest.mark.parametrize("sizes", [(0.0,), (1.0, 4.0)])
def test_bounds_hold_for_each_number(sizes: tuple[float, ...]) -> None:
    with pytest.raises(OptionError, match="sizes must be greater than 0 and at most 3") as error:
        Sized(sizes=sizes)
    assert error.value.key == "sizes"


def test_a_spec_may_call_a_field_otherwise() -> None:
    @config
    class Boxed:
        box: tuple[float, float] = option((0.0, 1.0), key="bounds", ge=0, help="least and largest")

        @property
        def bounds(self) -> str:
            return "something else"

    made = build(Boxed, {"bounds": [0.5, 2]})
    assert (made.box, made.bounds) == ((0.5, 2.0), "something else")
    assert unstructure(made) == {"bounds": [0.5, 2.0]}
    with pytest.raises(OptionError, match="bounds must be at least 0") as error:
        Boxed(bounds=(-1.0, 1.0))  # type: ignore[call-arg]
    assert error.value.key == "bounds"


def test_interface_and_noun() -> None:
    class WeightSpace(Component, kind="spaces"): ...

    class LRSchedule(Component, kind="rates"): ...

    class Leaf(WeightSpace): ...

    assert Leaf.interface() is WeightSpace
    assert Leaf.noun() == "weight space"
    assert LRSchedule.noun() == "lr schedule"


def test_kind_without_entries() -> None:
    class Rare(Component, kind="nobody_registers_these"): ...

    assert Rare.names() == ()
    with pytest.raises(UnknownNameError, match="no rare called 'x': none is registered"):
        Rare.lookup("x")


def test_registered_names() -> None:
    class Loss(Component, kind="losses"): ...

    assert "cross_entropy" in Loss.names()
    with pytest.raises(UnknownNameError, match="did you mean 'cross_entropy'"):
        Loss.lookup("cross_entropi")


def test_adopt_checks_what_it_is_given() -> None:
    assert Schedule.adopt(Annealed, "here") is Annealed

    class Unfinished(Schedule):
        @abstractmethod
        def more(self) -> None: ...

    with pytest.raises(MoframeworkError, match="here cannot be used as a schedule: it does not define draw, more"):
        Schedule.adopt(Unfinished, "here")
    with pytest.raises(MoframeworkError, match="neither a class nor a function"):
        Schedule.adopt(3, "here")


def test_a_function_becomes_one_class() -> None:
    made = Schedule.adopt(doubled, "here")
    assert made is Schedule.adopt(doubled, "there")
    assert issubclass(made, FunctionSchedule)


def test_nothing_is_overridden_unless_the_interface_says_how() -> None:
    with pytest.raises(OptionError, match="nothing of a schedule can be overridden"):
        Annealed().customized(Overrides())
    assert Digits.is_customization is False
