"""`load_benchmark`: a spec file to a `Benchmark`, every fault with its position."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import attrs

from moframework.benchmark.composing import DEFERRED, compose, expand, overlay
from moframework.benchmark.spec import PAIRS, Benchmark, part_name, slug
from moframework.config import build, unstructure
from moframework.config.schema import Schema
from moframework.config.structure import Fault, KeyPath, structure
from moframework.engine.settings import Evaluation, Training
from moframework.solvers.base import Solver
from moframework.spec import Spec
from moframework.spec.loading import Other, load, schema_of
from moframework.spec.marks import Item, Located, Mark, Source, from_plain, locate, plain

__all__ = ["allow_short_entries", "benchmark_schema", "cell_spec", "entry_faults", "load_benchmark"]

_TYPES: dict[str, type] = {"training": Training, "evaluate": Evaluation, "solver": Solver}
_RUN = Other(
    keys=("problem", "solver"),
    wanted=("problems", "solvers"),
    message="this is the spec of one run, not a benchmark",
    command="moframework solve",
    function="load_spec",
)
_RANGES = Other(
    keys=("tune.ranges", "tune.contenders"),
    wanted=(),
    message="ranges are searched before a benchmark runs, which takes what was found",
    command="moframework tune",
    function="load_study",
)


def load_benchmark(source: str | Path | Mapping[str, object], overrides: Sequence[str] = ()) -> Benchmark:
    """Load a benchmark from a file, by the name of a bundled one, or from a mapping. Code that it names is imported.

    Args:
        source: a path, a bundled name such as `benchmarks/digits`, or the content as a mapping.
        overrides: as after `--set`: `training.epochs=2`, `solvers.0.solver.rank=4`, `seeds=[0]`.

    Raises:
        SpecError: with every fault found, each with its position. What entries override and what the grid tries is
            checked for every pair of problem and solver.

    >>> benchmark = load_benchmark({"problems": ["digits"], "solvers": ["palora", "pamal"], "seeds": [0, 1]})
    >>> [entry.title for entry in benchmark.solvers], benchmark.seeds
    (['palora', 'pamal'], (0, 1))
    """
    benchmark = load(
        source, Benchmark, overrides, expand=expand, further=entry_faults, other=(_RUN, _RANGES), trust=True
    )
    if benchmark.name is None and not isinstance(source, Mapping):
        named: Benchmark = attrs.evolve(cast(Any, benchmark), name=Path(source).stem)
        return named
    return benchmark


def cell_spec(
    benchmark: Benchmark, problem: int, solver: int, seed: int, choice: Mapping[str, Any] | None = None
) -> Spec:
    """The spec of one cell.

    Args:
        benchmark: what it belongs to.
        problem: position of the problem's entry.
        solver: position of the solver's entry.
        seed: of the run; in options of the solver it stands where `{seed}` is written, and the problem's label, as
            the name of a folder, where `{problem}` is.
        choice: tuned values by dotted key; there each stands where its key is, as in `{training.optimizer.lr}`.

    Raises:
        SpecError: overrides do not fit; never for what `load_benchmark` made and values of its grid.
    """
    mark = Mark(Source("", Path.cwd(), 1), 1, 1)
    tree = compose(from_plain(unstructure(benchmark), mark), problem, solver)
    tree = overlay(tree, {key: from_plain(value, mark) for key, value in (choice or {}).items()})
    parts = benchmark.problems[problem].problem, benchmark.solvers[solver].solver
    name = "-".join([*(part_name(part) for part in parts), f"seed-{seed}"])  # no label: a new one makes no new cell
    given = plain(tree)
    words = {"seed": seed, "problem": benchmark.problems[problem].title, **(choice or {})}
    solved = _filled(given["solver"], {f"{{{key}}}": slug(str(value)) for key, value in words.items()})
    return build(Spec, {**given, "solver": solved, "seed": seed, "name": name}, trust=True)


def _filled(value: Any, words: Mapping[str, str]) -> Any:
    """A solver's options with what stands for words such as `{seed}`, by which files of each cell are named."""
    if isinstance(value, str):
        return functools.reduce(lambda text, word: text.replace(word, words[word]), words, value)
    if isinstance(value, Mapping):
        return {key: _filled(one, words) for key, one in value.items()}
    return [_filled(one, words) for one in value] if isinstance(value, list) else value


def benchmark_schema() -> Schema:
    """The JSON Schema (draft-07) of benchmarks with every part installed here, for editors."""
    return {"title": "moframework benchmark", **allow_short_entries(schema_of(Benchmark))}


def allow_short_entries(schema: Schema) -> Schema:
    """The schema of benchmarks where a name, or a part with its options, is short for an entry."""
    definitions = schema["definitions"]
    for prefix in ("", "extending."):
        for entry, part in (("ProblemEntry", "problems"), ("SolverEntry", "solvers")):
            whole = f"{prefix}{entry}.whole"
            definitions[whole] = definitions[prefix + entry]
            short = {"$ref": f"#/definitions/{prefix}{part}"}
            definitions[prefix + entry] = {"anyOf": [{"$ref": f"#/definitions/{whole}"}, short]}
    return schema


def entry_faults(root: Item, benchmark: Benchmark | None) -> list[Located]:
    """What is wrong with overrides once they are laid over the rest, and with values of the grid; each told once."""
    found: dict[tuple[Mark, str], Located] = {}
    problems, solvers = _positions(root, "problems"), _positions(root, "solvers")
    if len(problems) * len(solvers) > PAIRS:  # which `Benchmark` refuses
        return []
    for problem, solver in itertools.product(problems, solvers):
        for fault in _faults_of_pair(root, problem, solver, whole=benchmark is not None):
            found.setdefault((fault.mark, fault.message), fault)
    return list(found.values())


def _positions(root: Item, key: str) -> range:
    section = root.value.get(key)
    return range(len(section.value)) if section is not None and isinstance(section.value, list) else range(0)


def _faults_of_pair(root: Item, problem: int, solver: int, *, whole: bool) -> Iterator[Located]:
    """Faults of one pair; `whole`: the benchmark itself has none, so that the grid can be tried."""
    pair = compose(root, problem, solver)
    entries: tuple[KeyPath, ...] = (("solvers", solver), ("problems", problem), ())
    faulty = False
    for section in DEFERRED:
        if section in pair.value:
            part = Item({section: pair.value[section]}, pair.mark)
            _, faults = _structured(part, section)
            for fault in faults:
                faulty = True
                path = (section, *fault.path)
                mark = locate(part, path, on_key=fault.on_key)
                owners = (o for o in entries if locate(root, (*o, *path), on_key=fault.on_key) == mark)
                yield Located(mark, (*next(owners, ()), *path), fault.message)
    grid = root.value["tune"].value["grid"].value if whole and not faulty and _has_grid(root) else {}
    for key, values in grid.items():
        for position, value in enumerate(values.value):
            tried = overlay(pair, {key: value})
            section = key.partition(".")[0]
            part = Item({section: tried.value[section]}, tried.mark)
            _, faults = _structured(part, section)
            for fault in faults:
                whose = f" (in solvers.{solver})" if section == "solver" else ""
                yield Located(value.mark, ("tune", "grid", key, position), f"{section}.{fault}{whose}")


def _has_grid(root: Item) -> bool:
    tune = root.value.get("tune")
    return tune is not None and isinstance(tune.value, dict)


def _structured(tree: Item, section: str) -> tuple[Any, list[Fault]]:
    """An object of a section and its faults; relative paths start from the folder of the spec each was written in."""

    def folder(path: KeyPath) -> Path:
        return locate(tree, (section, *path)).source.folder

    return structure(plain(tree.value[section]), _TYPES[section], base=folder, trust=True)
