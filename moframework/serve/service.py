"""`Service`: what a model answers, of several requests with preferences of their own at a time."""

from __future__ import annotations

import logging
from collections.abc import Hashable, Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
import orjson
import torch
from attrs import field, frozen
from torch import Tensor

from moframework.errors import RunError
from moframework.inputs import Tree
from moframework.inputs.trees import mapped, named_leaves, select_samples
from moframework.model import ParetoModel
from moframework.predicting import Preparation
from moframework.serve.asking import Asked, Asking, together
from moframework.serve.limits import Limits
from moframework.serve.refusal import Fault, Refusal
from moframework.serve.samples import Samples

__all__ = ["Service"]

_LOG = logging.getLogger("moframework.serve")


@frozen(eq=False)
class Service:
    """A model that answers requests. `answers` is called from one thread at a time.

    Attributes:
        model: in use, on its device.
        name: what it is called.
        preparation: how raw data becomes inputs, and outputs become answers.
        points: operating points by name, each m numbers that sum to 1.
        limits: of the server.
        samples: that requests can name.
        asking: reads requests.
    """

    model: ParetoModel
    name: str
    preparation: Preparation
    points: Mapping[str, Sequence[float]]
    limits: Limits
    samples: Samples
    asking: Asking = field(init=False)

    @asking.default
    def _asking(self) -> Asking:
        model = self.model
        return Asking(
            form=model.recipe.inputs, tasks=model.tasks, reader=self.preparation.reader, points=self.points,
            samples=self.samples, limits=self.limits,
        )  # fmt: skip

    @classmethod
    def of(
        cls,
        model: ParetoModel,
        name: str = "model",
        points: Mapping[str, Sequence[float]] | None = None,
        limits: Limits | None = None,
        samples: Samples | None = None,
    ) -> Service:
        """A service of a model, which is put to use.

        Raises:
            RunError: it is not known how raw data becomes inputs of the model.
        """
        if not isinstance(model.preparation, Preparation):
            raise RunError(
                model.preparation
                or "it is not known how raw data becomes inputs of this model: set `model.preparation`, which "
                "moframework.problem.preparation_of(problem) makes"
            )
        return cls(model.eval(), name, model.preparation, points or {}, limits or Limits(), samples or Samples())

    def answers(self, batch: Sequence[Asked]) -> list[bytes | Exception]:
        """The answer to each request, as JSON, or why there is none.

        Requests whose inputs have equal shapes go through the network together. Where that fails each goes alone, so
        that none fails for what another asks.
        """
        found: dict[int, bytes | Exception] = {}
        groups: dict[Hashable, list[int]] = {}
        for position, asked in enumerate(batch):
            shapes = tuple((path, leaf.shape[1:]) for path, leaf in named_leaves(asked.inputs).items())
            groups.setdefault(shapes, []).append(position)
        for positions in groups.values():
            try:
                made: Sequence[bytes | Exception] = self._pass([batch[i] for i in positions])
            except Exception as error:
                alone = len(positions) == 1
                made = [_failure(error)] if alone else [self.answers([batch[i]])[0] for i in positions]
            found.update(zip(positions, made, strict=True))
        return [found[position] for position in range(len(batch))]

    def _pass(self, batch: Sequence[Asked]) -> list[bytes | Exception]:
        inputs = together([asked.inputs for asked in batch])
        outputs = self._outputs(inputs, [row for asked in batch for row in asked.preferences])
        columns = self.preparation.columns(outputs)
        raw = {key: value.numpy() for key, value in outputs.items()}
        made: list[bytes | Exception] = []
        start = 0
        for asked in batch:
            chosen = slice(start, start + asked.samples)
            start = chosen.stop
            try:
                made.append(_answer(asked, columns, raw, chosen))
            except Refusal as error:
                made.append(error)
        return made

    def _outputs(self, inputs: Tree, preferences: Sequence[Sequence[float]]) -> dict[str, Tensor]:
        """Outputs (n, ...) on the host, by key, of n samples with a preference each."""
        rows, count = torch.tensor(preferences), self.limits.max_batch
        device = next(chain(self.model.parameters(), self.model.buffers())).device
        made = []
        with torch.inference_mode():
            for start in range(0, len(rows), count):
                chosen = slice(start, start + count)
                x = mapped(lambda leaf: leaf.to(device), select_samples(inputs, chosen))
                made.append(self.model(x, rows[chosen]))
            return {key: torch.cat([each[key] for each in made]).float().cpu() for key in made[0]}


def _answer(asked: Asked, columns: Mapping[str, Any], raw: Mapping[str, Any], chosen: slice) -> bytes:
    """The answer to one request, whose samples are those `chosen` of a pass."""
    cells = {name: _cells(column[chosen]) for name, column in columns.items()}
    twins = [name for name in asked.kept if name in cells]
    if twins:
        raise Refusal(422, faults=[Fault("#/keep", f"the answers have a column '{twins[0]}' of their own")])
    names = (*asked.kept, *cells)
    answer: dict[str, Any] = {
        "answers": [
            dict(zip(names, row, strict=True)) for row in zip(*asked.kept.values(), *cells.values(), strict=True)
        ],
        "preferences": asked.preferences,
    }
    if asked.outputs:
        answer["outputs"] = {key: np.ascontiguousarray(value[chosen]) for key, value in raw.items()}
    if asked.notes:
        answer["notes"] = asked.notes
    return orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY)


def _cells(column: Any) -> list[Any]:
    """What stands for each sample; numbers keep their type, so that they are written with the digits they have."""
    if column.ndim == 1:
        return list(column)
    return [each.tolist() if each.dtype == object else np.ascontiguousarray(each) for each in column]


def _failure(error: Exception) -> Refusal:
    """What a client is told of an error in the network: nothing from inside, but for what its own inputs can cause."""
    if isinstance(error, Refusal):
        return error
    if isinstance(error, IndexError):
        return Refusal.of("#/inputs", "an index, such as that of a word, is out of the range of the network")
    _LOG.error("the model failed", exc_info=error)
    return Refusal(500, "the model failed on these inputs; the server's log says why")
