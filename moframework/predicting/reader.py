"""`Reader`: what makes inputs of raw data, the same ones as in training."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

from attrs import field, frozen

from moframework.config import Component
from moframework.inputs import Tree
from moframework.inputs.form import InputShape

__all__ = ["Part", "Reader", "Reading", "Unseen"]

Unseen = Literal["refuse", "missing"]
"""What becomes of a category that training never saw: an error, or an unknown cell, as in training."""


@frozen(eq=False)
class Part:
    """Some consecutive samples of raw data.

    Attributes:
        inputs: of n samples, on the host, as the network reads them.
        kept: columns that are passed through, by name, n cells each.
    """

    inputs: Tree
    kept: Mapping[str, Sequence[Any]] = field(factory=dict)


def _ignored(text: str) -> None:
    """What is done with notes where nobody wants them."""


@frozen(kw_only=True)
class Reading:
    """How raw data is to be read.

    Attributes:
        count: samples to be read at once, where a reader can choose.
        unseen: what becomes of categories that training never saw.
        keep: columns that are passed through.
        missing_option: how the caller says `unseen="missing"`, for messages.
        note: is told what is worth knowing, a sentence each.
    """

    count: int = 1000
    unseen: Unseen = "refuse"
    keep: tuple[str, ...] = ()
    missing_option: str = "--unseen missing (in Python unseen='missing')"
    note: Callable[[str], None] = _ignored


class Reader(Component, kind="readers"):
    """Makes inputs of raw data, such as a table with the columns of the one that was trained on.

    A problem offers one (`Problem.reader`), its options are all that was learned from the training data (means,
    categories), and it is saved with the model as plain data. It uses no file that training used.
    """

    @property
    @abstractmethod
    def input_shape(self) -> InputShape:
        """Shape of one input; where it is not the problem's, the reader is not used."""

    @abstractmethod
    def parts(self, raw: Any, reading: Reading) -> Iterator[Part]:
        """The samples of raw data, in their order, some at a time.

        Args:
            raw: a file, or what else the reader takes.

        Raises:
            DataError: it cannot be read, or not as in training; the text names column and place.
        """
