"""What a request's body asks for: inputs as the network reads them, with a preference for each sample."""

from __future__ import annotations

import base64
import binascii
import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson
import torch
from attrs import frozen
from PIL import Image

from moframework.errors import DataError, nearest, shortened
from moframework.inputs import Entry, InputForm, Tree
from moframework.inputs.form import Node
from moframework.inputs.trees import count_samples, mapped, named_leaves, select_samples, tensor_leaves
from moframework.predicting import Reader, Reading
from moframework.predicting.image_files import ImageReader
from moframework.predicting.table import TableReader
from moframework.serve.limits import Limits
from moframework.serve.points import preferences_of
from moframework.serve.refusal import Fault, Refusal, pointer
from moframework.serve.samples import Samples
from moframework.serve.tensors import tensor_of

__all__ = ["Asked", "Asking", "together"]

_OPTIONS = ("preference", "point", "keep", "unseen", "outputs")
_IMAGE_FORMATS = ("PNG", "JPEG", "WEBP", "BMP")
_MOST_PIXELS = 1 << 25
"""Of all images of a request: a file of few bytes can have any number of pixels."""
_CELLS = (str, int, float, bool, type(None))


@frozen(eq=False)
class Asked:
    """What one request asks for.

    Attributes:
        inputs: of n samples, on the host, as the network reads them.
        preferences: n rows of m numbers that sum to 1.
        kept: columns that are passed through, n cells each.
        outputs: whether raw outputs are wanted too.
        notes: what is worth knowing, a sentence each.
    """

    inputs: Tree
    preferences: list[list[float]]
    kept: Mapping[str, Sequence[Any]]
    outputs: bool
    notes: tuple[str, ...]

    @property
    def samples(self) -> int:
        """How many there are."""
        return len(self.preferences)


@frozen(kw_only=True)
class Asking:
    """How bodies of requests are read.

    Attributes:
        form: of the model's inputs.
        tasks: names of the m objectives.
        reader: of raw data, or None.
        points: operating points by name.
        samples: samples that a request can name by their numbers.
        limits: of the server.
    """

    form: InputForm
    tasks: tuple[str, ...]
    reader: Reader | None
    points: Mapping[str, Sequence[float]]
    samples: Samples
    limits: Limits

    @property
    def sources(self) -> tuple[str, ...]:
        """The keys by which a request can give its inputs; it has one of them."""
        rows = ("rows",) * isinstance(self.reader, TableReader)
        images = ("images",) * isinstance(self.reader, ImageReader)
        return (*rows, *images, "inputs", *("samples",) * bool(len(self.samples)))

    @property
    def decodes(self) -> bool:
        """Whether requests may bring what takes long to read, however small it is."""
        return isinstance(self.reader, ImageReader)

    def read(self, body: bytes | bytearray) -> Asked:
        """What a body, JSON, asks for.

        Raises:
            Refusal: 400 where it is no JSON; 422 where it is not as it should be, or too large.
        """
        try:
            asked = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise Refusal(400, f"the body is no JSON: {error}") from None
        if not isinstance(asked, dict):
            raise Refusal.of("#", f"the body should be an object with {' or '.join(self.sources)} and `preference`")
        self._check_keys(asked)
        notes: list[str] = []
        inputs, kept = self._inputs(asked, notes.append)
        count = count_samples(inputs)
        self._check_count(count, "inputs")
        preferences = preferences_of(asked, self.tasks, self.points, count)
        return Asked(inputs, preferences, kept, bool(asked.get("outputs", False)), tuple(notes))

    def _check_keys(self, asked: Mapping[str, Any]) -> None:
        known = (*self.sources, *_OPTIONS)
        faults = []
        for key in asked:
            if key not in known:
                guess = nearest(key, known)
                hint = f"; did you mean '{guess}'?" if guess else f"; allowed: {', '.join(known)}"
                faults.append(Fault(pointer(key), f"there is no '{shortened(key)}' here{hint}"))
        given = [key for key in self.sources if key in asked]
        if len(given) != 1:
            told = f"there are {' and '.join(given)}, of which one is enough" if given else "there are no inputs"
            faults.append(Fault("#", f"{told}; give {' or '.join(self.sources)}"))
        if asked.get("unseen", "refuse") not in ("refuse", "missing"):
            faults.append(Fault("#/unseen", "allowed: refuse, missing"))
        if type(asked.get("outputs", False)) is not bool:
            faults.append(Fault("#/outputs", "true or false stands here"))
        keep = asked.get("keep", [])
        if not isinstance(keep, list) or not all(isinstance(name, str) for name in keep):
            faults.append(Fault("#/keep", "a list of names of columns stands here"))
        elif keep and "rows" not in asked:
            faults.append(Fault("#/keep", "only columns of `rows` can be kept"))
        if faults:
            raise Refusal(422, faults=faults)

    def _inputs(
        self, asked: Mapping[str, Any], note: Callable[[str], None]
    ) -> tuple[Tree, Mapping[str, Sequence[Any]]]:
        if "rows" in asked:
            return self._read(self._rows(asked["rows"]), asked, "rows", note)
        if "images" in asked:
            return self._read(self._images(asked["images"]), asked, "images", note)[0], {}
        if "samples" in asked:
            return self._samples(asked["samples"]), {}
        inputs = self._tree(self.form.tree, asked["inputs"], ("inputs",))
        counts = {path: len(leaf) for path, leaf in named_leaves(inputs).items()}
        if len({*counts.values()}) > 1:
            told = ", ".join(f"{path} {count}" for path, count in counts.items())
            raise Refusal.of("#/inputs", f"all need as many samples, but there are: {told}")
        return inputs, {}

    def _tree(self, tree: Node | Entry, given: Any, where: tuple[str | int, ...]) -> Tree:
        """Prepared inputs as tensors."""
        if isinstance(tree, Entry):
            return tensor_of(given, tree, where, self.limits.max_length)
        if isinstance(given, list) and tree.kind == "tuple":
            given = {str(position): part for position, part in enumerate(given)}
        if not isinstance(given, dict) or given.keys() != tree.parts.keys():
            kind = "a list" if tree.kind == "tuple" else "an object"
            raise Refusal.of(pointer(*where), f"{kind} with {', '.join(tree.parts)} stands here, and nothing else")
        made = {key: self._tree(part, given[key], (*where, key)) for key, part in tree.parts.items()}
        return tuple(made.values()) if tree.kind == "tuple" else made

    def _rows(self, rows: Any) -> list[dict[str, Any]]:
        self._check_list(rows, "rows", "objects, a row each, with a cell for each column")
        for position, row in enumerate(rows):
            if not isinstance(row, dict):
                raise Refusal.of(pointer("rows", position), "an object with a cell for each column stands here")
            for name, cell in row.items():
                if not isinstance(cell, _CELLS):
                    raise Refusal.of(pointer("rows", position, name), "a cell is text, a number, true, false or null")
        return list(rows)

    def _images(self, images: Any) -> list[Image.Image]:
        self._check_list(images, "images", f"texts, an image file each in base64 ({', '.join(_IMAGE_FORMATS)})")
        made: list[Image.Image] = []
        for position, given in enumerate(images):
            made.append(
                _image(given, pointer("images", position), _MOST_PIXELS - sum(i.width * i.height for i in made))
            )
        return made

    def _read(
        self, raw: Any, asked: Mapping[str, Any], key: str, note: Callable[[str], None]
    ) -> tuple[Tree, Mapping[str, Sequence[Any]]]:
        """What the reader makes of raw data, which is in memory: no text of a request is ever taken for a path."""
        assert self.reader is not None
        reading = Reading(
            count=len(raw),
            unseen=asked.get("unseen", "refuse"),
            keep=tuple(asked.get("keep", ())),
            missing_option='"unseen": "missing"',
            note=note,
        )
        try:
            parts = list(self.reader.parts(raw, reading))
        except DataError as error:
            raise Refusal(422, faults=[Fault(pointer(key), line) for line in str(error).splitlines()]) from None
        kept = {name: [cell for part in parts for cell in part.kept[name]] for name in parts[0].kept}
        return together([part.inputs for part in parts]), kept

    def _samples(self, numbers: Any) -> Tree:
        self._check_list(numbers, "samples", "numbers of samples")
        for position, number in enumerate(numbers):
            if type(number) is not int or not 0 <= number < len(self.samples):
                raise Refusal.of(
                    pointer("samples", position), f"a whole number from 0 to {len(self.samples) - 1} stands here"
                )
        return select_samples(self.samples.inputs, torch.tensor(numbers))

    def _check_list(self, given: Any, key: str, of: str) -> None:
        if not isinstance(given, list) or not given:
            raise Refusal.of(pointer(key), f"a list of {of} stands here")
        self._check_count(len(given), key)

    def _check_count(self, count: int, key: str) -> None:
        if count > self.limits.max_samples:
            raise Refusal.of(pointer(key), f"there are {count} samples; at most {self.limits.max_samples} a request")


def together(trees: Sequence[Tree]) -> Tree:
    """Trees of one form, one after the other along the samples.

    >>> together([torch.zeros(1, 2), torch.ones(2, 2)]).shape
    torch.Size([3, 2])
    """
    if len(trees) == 1:
        return trees[0]
    leaves = iter([torch.cat(each) for each in zip(*map(tensor_leaves, trees), strict=True)])
    return mapped(lambda _: next(leaves), trees[0])


def _image(given: Any, where: str, most: int) -> Image.Image:
    """An image, decoded, that has at most so many pixels."""
    if not isinstance(given, str):
        raise Refusal.of(where, "a text stands here, an image file in base64")
    if given.startswith("data:"):
        given = given.partition(",")[2]
    try:
        image = Image.open(io.BytesIO(base64.b64decode(given, validate=True)), formats=_IMAGE_FORMATS)
        if image.width * image.height > most:
            size = f"{image.width} x {image.height}"
            raise Refusal.of(
                where, f"this image has {size} pixels; the images of a request have at most {_MOST_PIXELS:,}"
            )
        image.load()
        return image
    except binascii.Error as error:
        raise Refusal.of(where, f"this is no base64: {error}") from None
    except Refusal:
        raise
    except Exception as error:  # a damaged image may raise nearly anything: see `data.images`
        raise Refusal.of(where, f"this is no image that can be read ({type(error).__name__})") from None
