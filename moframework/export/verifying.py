"""Whether what was written and read back computes what the model does."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeAlias

import torch
from attrs import frozen
from torch import Tensor

from moframework.errors import RunError
from moframework.export.networks import PREFERENCE_INPUT, Inputs
from moframework.inputs import Tree
from moframework.inputs.form import Entry
from moframework.inputs.trees import count_samples, mapped, select_samples

__all__ = ["BATCHES", "TOLERANCE", "Trial", "example_inputs", "largest_difference", "trials_of", "tried_preferences"]

TOLERANCE = 1e-5
"""Largest difference allowed, of the largest number among an output's, or of 1 where that is smaller. Outputs of 16
bits may differ by two units in their last place."""
BATCHES = (1, 2, 7)
"""Sizes of the batches that are tried."""

_VARYING = (5, 6, 9)  # of sizes that vary, such as the length of texts, for each of BATCHES
_SEED = 1234

Outputs: TypeAlias = Mapping[str, Tensor]


@frozen(eq=False)
class Trial:
    """Inputs, with a preference where that is an input, and what the model makes of them.

    Attributes:
        x: inputs of b samples.
        preference: (m,), or (b, m); None where it is no input.
        expected: outputs, by key.
    """

    x: Tree
    preference: Tensor | None
    expected: Outputs

    def tensors(self, inputs: Inputs) -> dict[str, Tensor]:
        """All that is given, by name."""
        given = inputs.by_name(self.x)
        return given if self.preference is None else {**given, PREFERENCE_INPUT: self.preference}


def tried_preferences(m: int) -> Tensor:
    """Preferences (n, m) at which a dial is tried: the center, at most three vertices, and two others."""
    generator = torch.Generator().manual_seed(_SEED)
    others = torch.rand(2, m, generator=generator)
    rows = torch.cat([torch.ones(1, m), torch.eye(m)[:3], others + 0.01])
    return rows / rows.sum(dim=1, keepdim=True)


def example_inputs(inputs: Inputs, count: int, samples: Tree | None = None, length: int = _VARYING[0]) -> Tree:
    """Inputs of `count` samples.

    Args:
        samples: inputs to take them from, again from the first where they are too few; None: numbers at random, of
            which integers are 0 and 1, valid wherever they name something.
        length: of sizes that vary, where there are no samples.
    """
    if samples is not None:
        return select_samples(samples, torch.arange(count) % count_samples(samples))
    generator = torch.Generator().manual_seed(_SEED + count)
    return inputs.tree([_random(entry, count, length, generator) for entry in inputs.form.entries.values()])


def _random(entry: Entry, count: int, length: int, generator: torch.Generator) -> Tensor:
    shape = (count, *(length if size is None else size for size in entry.shape))
    if entry.dtype.is_floating_point:
        return torch.randn(shape, generator=generator).to(entry.dtype)
    return torch.randint(2, shape, generator=generator).to(entry.dtype)


def trials_of(
    model: Callable[[Tree, Tensor | None], Outputs],
    inputs: Inputs,
    preferences: Tensor | None,
    samples: Tree | None,
    each: bool = False,
) -> list[Trial]:
    """What an export has to compute.

    Args:
        model: outputs of inputs at a preference (m,), or at the exported one for None.
        preferences: (n, m) to try; None where the preference is no input.
        samples: see `example_inputs`.
        each: every sample has a preference of its own.

    Raises:
        RunError: the model fails.
    """
    found = [] if samples is None else list(_trials(model, inputs, preferences, samples, each))
    varies = any(None in entry.shape for entry in inputs.form.entries.values())
    if found and not varies:
        return found
    try:
        return found + list(_trials(model, inputs, preferences, None, each))
    except (RuntimeError, ValueError, IndexError, TypeError) as error:
        if found:  # these numbers are none for this network, but there are others
            return found
        raise RunError(
            f"the model itself fails on inputs of its form, {inputs.form}, so that nothing can be compared "
            f"({_first_line(error)})"
        ) from error


def _trials(
    model: Callable[[Tree, Tensor | None], Outputs],
    inputs: Inputs,
    preferences: Tensor | None,
    samples: Tree | None,
    each: bool,
) -> Iterator[Trial]:
    for i in range(len(BATCHES) if preferences is None else max(len(BATCHES), len(preferences))):
        count = BATCHES[i % len(BATCHES)]
        x = example_inputs(inputs, count, samples, _VARYING[i % len(BATCHES)])
        if preferences is None:
            yield Trial(x, None, _plain(model(x, None)))
        elif not each:
            preference = preferences[i % len(preferences)]
            yield Trial(x, preference, _plain(model(x, preference)))
        else:
            rows = preferences[torch.arange(i, i + count) % len(preferences)]
            parts = [model(select_samples(x, slice(j, j + 1)), row) for j, row in enumerate(rows)]
            yield Trial(x, rows, _plain({key: torch.cat([part[key] for part in parts]) for key in parts[0]}))


def _plain(outputs: Outputs) -> Outputs:
    return mapped(lambda value: value.detach().cpu().clone(), dict(outputs))  # type: ignore[no-any-return]


@torch.no_grad()
def largest_difference(
    run: Callable[[dict[str, Tensor]], Outputs], trials: Sequence[Trial], inputs: Inputs, what: str
) -> float:
    """The largest difference of any output, as `TOLERANCE` has it.

    Args:
        run: what was written and read back: named tensors to outputs, by key.
        what: its name in messages.

    Raises:
        RunError: one is larger than allowed, or `run` fails.
    """
    largest = 0.0
    for trial in trials:
        given = trial.tensors(inputs)
        where = f"for {count_samples(trial.x)} samples"
        if trial.preference is not None:
            where += f" at {PREFERENCE_INPUT} {[round(value, 4) for value in trial.preference.flatten().tolist()]}"
        try:
            outputs = run(given)
        except Exception as error:  # whatever another runtime raises
            raise RunError(
                f"{what} was written, but fails {where} where the model works ({_first_line(error)}). Nothing is kept"
            ) from error
        for key, expected in trial.expected.items():
            difference, allowed = _difference(outputs[key], expected)
            if not difference <= allowed:
                raise RunError(
                    f"{what} was written, but {where} its output '{key}' is not what the model gives: the difference "
                    f"is {difference:.3g}, allowed is {allowed:.3g}. Nothing is kept"
                )
            largest = max(largest, difference)
    return largest


def _difference(found: Tensor, expected: Tensor) -> tuple[float, float]:
    """How far two outputs are apart, and how far they may be."""
    if found.shape != expected.shape or found.dtype != expected.dtype:
        return float("inf"), TOLERANCE
    if not expected.is_floating_point():
        return float((found != expected).any()), TOLERANCE
    allowed = max(TOLERANCE, 2 * torch.finfo(expected.dtype).eps) if expected.dtype.itemsize < 4 else TOLERANCE
    apart = (found.double() - expected.double()).abs()
    apart = apart.masked_fill((found == expected) | (found.isnan() & expected.isnan()), 0)
    scale = expected.double().abs().nan_to_num(0, 0, 0)
    return (float(apart.max() / scale.max().clamp(min=1)) if apart.numel() else 0.0), allowed


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0][:300]}"
