"""What is exported: a network at one preference, or a model that takes the preference as an input, by named tensors."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from attrs import frozen
from torch import Tensor, nn

from moframework.backbones.base import named_outputs
from moframework.errors import RunError
from moframework.inputs import InputForm, Tree
from moframework.inputs.calling import called
from moframework.inputs.trees import mapped, named_leaves
from moframework.model import ParetoModel
from moframework.weights.conditioned import ConditionedSpace
from moframework.weights.remapped import unmapped

__all__ = ["PREFERENCE_INPUT", "Inputs", "dial_network", "fixed_network", "mixed_network"]

PREFERENCE_INPUT = "preference"
"""What the input is called that takes λ."""

_ALONE = "input"

Outputs = dict[str, Tensor]


@frozen
class Inputs:
    """The tensors that a model reads, by the names that an export gives them.

    Attributes:
        form: of the inputs.
        names: of its tensors, in their order: an entry's own, `input` where there is one alone. Letters, digits and
            underscores: what else is in the path of an entry becomes an underscore.
    """

    form: InputForm
    names: tuple[str, ...]

    @classmethod
    def of(cls, form: InputForm) -> Inputs:
        """Those of a form.

        Raises:
            RunError: a part is an object of a class, or two tensors would have one name, or one that is taken.
        """
        try:
            form.example(1)
        except ValueError as error:
            raise RunError(f"this model cannot be exported: {error}") from error
        names = tuple(_identifier(path) if path else _ALONE for path in form.entries)
        if len(set(names)) < len(names) or PREFERENCE_INPUT in names:
            raise RunError(
                f"the inputs {', '.join(form.entries)} would be called {', '.join(names)}, but names have to differ "
                f"from each other and from `{PREFERENCE_INPUT}`: rename an entry of the inputs"
            )
        return cls(form, names)

    def tree(self, tensors: Sequence[Tensor]) -> Tree:
        """Inputs of the form, of tensors in their order."""
        rest = iter(tensors)
        return mapped(lambda _: next(rest), self.form.example(1))

    def by_name(self, x: Tree) -> dict[str, Tensor]:
        """The tensors of inputs, by name."""
        return dict(zip(self.names, named_leaves(x).values(), strict=True))


def _identifier(path: str) -> str:
    name = re.sub(r"\W", "_", path)
    return f"_{name}" if name[0].isdigit() else name


def fixed_network(network: nn.Module, model: ParetoModel, inputs: Inputs) -> nn.Module:
    """A plain network of a model, as `ParetoModel.at` gives it, with named inputs and {output: tensor}."""

    def run(*tensors: Tensor) -> Outputs:
        return named_outputs(called(network, inputs.tree(tensors), model.network.how), tuple(model.recipe.outputs))

    return _named(inputs.names, network, run)


def dial_network(model: ParetoModel, inputs: Inputs) -> nn.Module:
    """A model with the preference (m,) as its last input, scaled to sum to 1."""

    def run(*tensors: Tensor) -> Outputs:
        *own, preference = tensors
        outputs: Outputs = model(inputs.tree(own), preference / preference.sum())
        return outputs

    return _named((*inputs.names, PREFERENCE_INPUT), model, run)


def mixed_network(model: ParetoModel, inputs: Inputs) -> nn.Module:
    """A model with a preference for each sample (b, m) as its last input, each scaled to sum to 1.

    Raises:
        RunError: the network has no single pass for them.
    """
    one_pass = None if isinstance(unmapped(model.space), ConditionedSpace) else model.one_pass()
    if isinstance(one_pass, str):
        raise RunError(
            f"a preference for each sample cannot be exported with this model, which takes one pass for each: "
            f"{one_pass}. Export it with one preference for all samples of a batch"
        )

    def run(*tensors: Tensor) -> Outputs:
        *own, preferences = tensors
        rows = preferences / preferences.sum(dim=1, keepdim=True)
        if one_pass is None:
            return model.call(model.weights(rows), inputs.tree(own))
        return one_pass(model, inputs.tree(own), rows)

    return _named((*inputs.names, PREFERENCE_INPUT), model, run)


def _named(names: Sequence[str], network: nn.Module, run: Callable[..., Outputs]) -> nn.Module:
    """A module around `network` whose `forward` has parameters of these names, and calls `run` with them in order.

    torch.export names inputs by the parameters of `forward`, and has no names for those of `**kwargs`.
    """
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    signature = inspect.Signature([inspect.Parameter(name, kind) for name in ("self", *names)])

    def forward(self: nn.Module, *args: Any, **kwargs: Any) -> Outputs:
        bound: Mapping[str, Any] = signature.bind(self, *args, **kwargs).arguments
        return run(*(bound[name] for name in names))

    forward.__signature__ = signature  # type: ignore[attr-defined]
    made: nn.Module = type("Exported", (nn.Module,), {"forward": forward})()
    made.network = network
    return made.eval()
