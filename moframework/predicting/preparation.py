"""`Preparation`: how a model's raw data becomes inputs and its outputs become answers, and the file that keeps it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy.typing as npt
from torch import Tensor

from moframework.config import Trust, build, config, option, unstructure
from moframework.config.fields import options_of
from moframework.config.options import OptionError
from moframework.config.references import relative_references
from moframework.errors import DamagedFileError, DataError, MoframeworkError, RunError
from moframework.inputs import InputForm
from moframework.io.sealed import FORMAT, read_json, write_json
from moframework.predicting.answers import Answer
from moframework.predicting.arrays import array_parts, is_prepared
from moframework.predicting.reader import Part, Reader, Reading

__all__ = ["PREPARATION", "Preparation", "read_preparation", "write_preparation"]

PREPARATION = "preparation.json"


@config
class Preparation:
    """How raw data becomes inputs, and outputs become answers.

    It is made from a problem by `moframework.problem.preparation_of`, saved with a model, and used by
    `ParetoModel.predict`.
    """

    answers: tuple[Answer, ...] = option(help="what outputs stand for, an answer for each output that tasks read")
    reader: Reader | None = option(None, help="what makes inputs of raw data; none: inputs are given prepared")

    def __attrs_post_init__(self) -> None:
        names = [answer.task for answer in self.answers]
        if len(set(names)) < len(names):
            raise OptionError("answers holds two of one task", "answers")

    def parts(self, raw: Any, form: InputForm, reading: Reading) -> Iterator[Part]:
        """The samples of raw data, in their order, some at a time.

        Args:
            raw: what the reader takes; or prepared inputs: tensors, arrays, a .npy or .npz file.
            form: of the model's inputs.

        Raises:
            DataError: it cannot be read, or not as in training.
        """
        if is_prepared(raw, arrays=self.reader is None):
            return array_parts(raw, form, reading)
        if self.reader is None:
            raise DataError(
                f"this model reads inputs that are prepared already, not {_named(raw)}: give a tensor, an array, or a "
                f".npz file with `inputs`; it reads {form.describe()}, after a first dimension of samples"
            )
        return self.reader.parts(raw, reading)

    def columns(self, outputs: Mapping[str, Tensor]) -> dict[str, npt.NDArray[Any]]:
        """What outputs (n, ...), by key, say of each sample: see `Answer.columns`."""
        return {
            name: column
            for answer in self.answers
            for name, column in answer.columns(outputs[answer.output]).items()
        }  # fmt: skip


def write_preparation(folder: Path, preparation: Preparation) -> Path:
    """Write `preparation.json` into a model's folder, and return where it is."""
    path = folder / PREPARATION
    reader = None if preparation.reader is None else relative_references(unstructure(preparation.reader), folder)
    write_json(path, {"format": FORMAT, "answers": unstructure(preparation.answers), "reader": reader})
    return path


def read_preparation(folder: Path, advice: str, trust: Trust = False) -> Preparation:
    """What `write_preparation` wrote. Nothing that it names is imported unless it is registered or trusted.

    Args:
        advice: what to do when the file cannot be used, as a sentence.

    Raises:
        RunError: it names code that is not trusted, or is of a newer version; as `DamagedFileError` where it is
            missing, damaged or something else.
    """
    path = folder / PREPARATION
    stored = read_json(path, advice=advice)
    plain = {o.key: stored[o.key] for o in options_of(Preparation) if o.key in stored}
    if "answers" not in plain:
        raise DamagedFileError(f"{path} does not say what outputs stand for: it is something else. {advice}")
    try:
        return build(Preparation, plain, path.parent, trust=trust)
    except MoframeworkError as error:
        raise RunError("\n".join(f"{path}: {line}" for line in str(error).splitlines())) from error


def _named(raw: Any) -> str:
    return f"{raw}" if isinstance(raw, str | Path) else f"a {type(raw).__name__}"
