"""How networks are given their inputs: the rule of `HowToCall`, case by case."""

from __future__ import annotations

from typing import Any

import pytest
from torch import nn

from moframework.inputs.calling import HowToCall, InputWrapper, called, how_outside, resolved_call
from moframework.inputs.form import InputForm


def network(forward: Any) -> nn.Module:
    made = nn.Module()
    made.forward = forward
    return made


TWO = {"a": 1, "b": 2}


@pytest.mark.parametrize(
    ("forward", "x", "how"),
    [
        (lambda x: x, TWO, "one"),
        (lambda a, b: (a, b), TWO, "keywords"),
        (lambda a, b, c=3: (a, b, c), TWO, "keywords"),
        (lambda a, b, c: (a, b, c), TWO, "one"),
        (lambda a: a, TWO, "one"),
        (lambda a, **further: (a, further), TWO, "keywords"),
        (lambda **further: further, TWO, "one"),
        (lambda *args: args, TWO, "one"),
        (lambda x: x, {"x": 1}, "keywords"),
        (lambda x: x, (1, 2), "one"),
        (lambda x: x, (1,), "positions"),
        (lambda x, y: (x, y), (1, 2), "positions"),
        (lambda x, y=None: (x, y), [1, 2], "positions"),
        (lambda x, y, z: (x, y, z), (1, 2), "one"),
        (lambda *args: args, (1, 2), "positions"),
        (lambda x: x, 5, "one"),
    ],
)
def test_auto_goes_by_the_signature(forward: Any, x: Any, how: HowToCall) -> None:
    assert resolved_call("auto", network(forward), x) == how
    given = called(network(lambda *args, **named: (args, named)), x, how)
    assert (
        given
        == {"one": ((x,), {}), "keywords": ((), x), "positions": (tuple(x) if how == "positions" else (), {})}[how]
    )


def test_what_is_said_is_done() -> None:
    made = network(lambda x: x)
    assert resolved_call("keywords", made, TWO) == "keywords"
    assert InputForm.of({"a": (1,), "b": (2,)}).resolved(network(lambda a, b: a)).call == "keywords"
    assert InputForm.of((3,)).resolved(network(lambda a, b=1: a)).call == "one"


def test_a_wrapper_takes_inputs_whole() -> None:
    wrapper = InputWrapper(network(lambda a, b: a), "keywords")
    assert how_outside(wrapper, "keywords") == "one"
    assert how_outside(wrapper.network, "keywords") == "keywords"
    assert InputForm.of({"a": (1,), "b": (2,)}).resolved(wrapper).call == "keywords"
