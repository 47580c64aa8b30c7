"""`load_study`: a spec with ranges to a `Study` or a `Contest`, every fault with its position; specs of trials."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import attrs

from moframework.benchmark.composing import absolute, compose, expand, overlay
from moframework.benchmark.loading import allow_short_entries, cell_spec, entry_faults
from moframework.config import build, unstructure
from moframework.config.schema import Schema
from moframework.config.structure import KeyPath, structure
from moframework.config.words import allowed
from moframework.engine.settings import Training
from moframework.errors import SpecError
from moframework.problem import Problem
from moframework.solvers.base import Solver
from moframework.spec import Spec
from moframework.spec.bundled import find_spec
from moframework.spec.extending import SpecReader
from moframework.spec.loading import load, schema_of
from moframework.spec.marks import Item, Located, Mark, Source, from_plain, locate, plain
from moframework.spec.spec import Untrained, allow_untrained
from moframework.tuning.spec import Contest, Study, key_fault

__all__ = ["best_spec", "contender_study", "load_study", "own_choice", "study_schema", "trial_spec", "with_values"]

_TYPES: dict[str, type] = {"training": Training, "solver": Solver, "problem": Problem}


def load_study(source: str | Path | Mapping[str, object], overrides: Sequence[str] = ()) -> Study | Contest:
    """Load a spec with ranges from a file, by the name of a bundled one, or from a mapping. Code that it names is
    imported.

    Args:
        source: a path, a bundled name such as `studies/digits`, or the content as a mapping. What has `problems` and
            `solvers` is a benchmark.
        overrides: as after `--set`: `tune.trials=50`, `training.epochs=1`.

    Raises:
        SpecError: with every fault found, each with its position. Both ends of each range, and each choice, are tried
            in the spec.
    """
    if _is_benchmark(source):
        made: Study | Contest = load(source, Contest, overrides, expand=_expanded, further=_contest_faults, trust=True)
    else:
        untrained = Untrained()

        def further(root: Item, study: Study | None) -> list[Located]:
            return [*untrained.faults(root, study), *_study_faults(root, study)]

        def expanded(root: Item) -> Item:
            return _absolute_choices(untrained.expanded(root))

        made = load(source, Study, overrides, expand=expanded, further=further, trust=True)
    if made.name is None and not isinstance(source, Mapping):
        named: Study | Contest = attrs.evolve(cast(Any, made), name=Path(source).stem)
        return named
    return made


def study_schema() -> Schema:
    """The JSON Schema (draft-07) of specs to tune, of a run or of a benchmark, for editors."""
    run, benchmark = allow_untrained(schema_of(Study)), allow_short_entries(schema_of(Contest))
    definitions = run.pop("definitions") | benchmark.pop("definitions")
    return {
        "$schema": run.pop("$schema"),
        "title": "moframework study",
        "type": "object",
        "if": {"anyOf": [{"required": ["problems"]}, {"required": ["solvers"]}]},
        "then": {key: benchmark[key] for key in ("if", "then", "else")},
        "else": {key: run[key] for key in ("if", "then", "else")},
        "definitions": definitions,
    }


def trial_spec(study: Study, choice: Mapping[str, Any], reference: Sequence[float] | None, name: str) -> Spec:
    """The spec of one trial: the study's, with tried values, and with the epochs of a trial where it states them.

    Args:
        study: what it belongs to.
        choice: values by dotted key.
        reference: of the loss hypervolume, a number a task; None leaves the study's.
        name: of the run.

    Raises:
        SpecError: values do not fit together, though each fits alone.
    """
    epochs = {} if study.tune.epochs is None else {"training.epochs": study.tune.epochs}
    return best_spec(study, {**choice, **epochs}, reference, name)


def best_spec(study: Study, choice: Mapping[str, Any], reference: Sequence[float] | None, name: str) -> Spec:
    """The spec of a run that takes what was found: as `trial_spec`, but trained as long as the study's spec says."""
    values = dict(choice) if reference is None else {**choice, "evaluate.reference": list(reference)}
    own = {key: value for key, value in unstructure(study).items() if key != "tune"}
    return build(Spec, {**with_values(own, values), "name": name}, trust=True)


def with_values(tree: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Plain data with a value at each dotted key.

    >>> with_values({"training": {"groups": [{"lr": 1}, {"lr": 2}]}}, {"training.groups.1.lr": 3})
    {'training': {'groups': [{'lr': 1}, {'lr': 3}]}}
    """
    mark = Mark(Source("", Path.cwd(), 1), 1, 1)
    laid = overlay(from_plain(dict(tree), mark), {key: from_plain(value, mark) for key, value in values.items()})
    return cast(dict[str, Any], plain(laid))


def own_choice(study: Study) -> tuple[dict[str, Any], list[str]]:
    """The values that the spec itself has at the keys of the ranges, and the keys whose ranges do not hold them.

    >>> tune = {"ranges": {"solver.rank": {"integers": [1, 8]}, "training.optimizer.lr": {"log": [0.1, 1]}}}
    >>> own_choice(load_study({"problem": "digits", "solver": {"name": "palora", "rank": 2}, "tune": tune}))
    ({'solver.rank': 2, 'training.optimizer.lr': 0.001}, ['training.optimizer.lr'])
    """
    tree = unstructure(study)
    tree["problem"].setdefault("augmentation", [])  # a problem without any has no such key
    found = {key: _at(tree, key) for key in study.tune.ranges}
    outside = []
    for key, one in study.tune.ranges.items():
        if one.choices is not None:  # which may leave out options that have their defaults
            same = (value for value in one.choices if _written_out(study, key, value) == found[key])
            found[key] = next(same, found[key])
        if not one.holds(found[key]):
            outside.append(key)
    return found, outside


def _at(tree: Any, key: str) -> Any:
    """The value at a dotted key of plain data; None where there is none."""
    for part in key.split("."):
        if isinstance(tree, list) and part.isdecimal():
            tree = dict(enumerate(tree)).get(int(part))
        else:
            tree = tree.get(part) if isinstance(tree, Mapping) else None
    return tree


def _written_out(study: Study, key: str, value: Any) -> Any:
    """A choice with all of its options, as the spec has it."""
    return _at(unstructure(best_spec(study, {key: value}, None, "choice")), key)


def contender_study(contest: Contest, problem: int, solver: int) -> Study:
    """The study of one contender on one problem, with the first of the benchmark's seeds.

    Args:
        contest: what it belongs to.
        problem, solver: positions in its lists.
    """
    spec, tune = cell_spec(contest, problem, solver, contest.seeds[0]), contest.tune
    own = {key: value for key, value in unstructure(tune).items() if key != "contenders"}
    title = contest.solvers[solver].title
    own["ranges"] = {key: unstructure(value) for key, value in tune.of(title).items()}
    name = f"{contest.name or 'benchmark'}-{contest.problems[problem].title}-{title}"
    return build(Study, {**unstructure(spec), "tune": own, "name": name}, trust=True)


def _is_benchmark(source: str | Path | Mapping[str, object]) -> bool:
    """Whether a spec is one of problems and solvers. Raises `SpecError` where it cannot be read, or tunes nothing."""
    if not isinstance(source, str | Path | Mapping):
        raise SpecError(f"a spec is a path, the name of a bundled one, or a mapping; {type(source).__name__} is none")
    reader = SpecReader()
    root = reader.mapping(source) if isinstance(source, Mapping) else reader.file(find_spec(source))
    if root is None or reader.broken:
        raise SpecError("\n".join(dict.fromkeys(str(one) for one in sorted(reader.faults, key=lambda one: one.order))))
    return bool({"problems", "solvers"} & set(root.value))


def _absolute_choices(root: Item) -> Item:
    """`root` with references to Python files among choices made absolute: nothing later knows where they stood."""
    tune = root.value.get("tune")
    return root if tune is None else Item({**root.value, "tune": absolute(tune)}, root.mark, root.key)


def _expanded(root: Item) -> Item:
    """A benchmark with short entries written out, without the grid of one that it extends where it has ranges."""
    root = expand(root)
    tune = root.value.get("tune")
    if tune is not None and isinstance(tune.value, dict) and {"ranges", "contenders"} & set(tune.value):
        kept = Item({key: one for key, one in tune.value.items() if key != "grid"}, tune.mark, tune.key)
        root = Item({**root.value, "tune": kept}, root.mark, root.key)
    return _absolute_choices(root)


def _study_faults(root: Item, study: Study | None) -> list[Located]:
    """What is wrong with keys and values of the ranges of one spec."""
    ranges = _section(root, "tune", "ranges")
    if ranges is None:
        return []
    return _unique(_range_faults(root, ranges, ("tune", "ranges"), whole=study is not None))


def _contest_faults(root: Item, contest: Contest | None) -> list[Located]:
    """What is wrong with the entries of a benchmark, and with keys and values of the ranges of each contender."""
    without = Item({key: one for key, one in root.value.items() if key != "tune"}, root.mark, root.key)
    found = entry_faults(without, contest)
    common, own = _section(root, "tune", "ranges"), _section(root, "tune", "contenders")
    if contest is None:
        parts: list[tuple[Item, KeyPath]] = [(common, ("tune", "ranges"))] if common is not None else []
        parts += [(one, ("tune", "contenders", title)) for title, one in (own.value if own is not None else {}).items()]
        return found + _unique(fault for one, path in parts for fault in _range_faults(root, one, path, whole=False))
    return found + _unique(_faults_of_contenders(root, contest, common, own))


def _faults_of_contenders(root: Item, contest: Contest, common: Item | None, own: Item | None) -> Iterator[Located]:
    titles = [entry.title for entry in contest.solvers]
    for title, item in own.value.items() if own is not None else ():
        if title not in titles:
            yield Located(item.at, ("tune", "contenders", title), f"no contender; {allowed(titles, str(title))}")
    for place, title in enumerate(titles):
        for problem in range(len(contest.problems)):
            pair = compose(root, problem, place)
            whose = f" (in solvers.{place})"
            if common is not None:
                yield from _range_faults(pair, common, ("tune", "ranges"), whole=True, whose=whose)
            if own is not None and title in own.value:
                yield from _range_faults(pair, own.value[title], ("tune", "contenders", title), whole=True)


def _range_faults(tree: Item, ranges: Item, path: KeyPath, *, whole: bool, whose: str = "") -> Iterator[Located]:
    """What is wrong with keys, and with values that the spec refuses.

    Args:
        tree: the spec of a run.
        ranges: by key.
        path: of the ranges.
        whole: whether the spec itself has no faults, so that values can be tried in it.
        whose: told of a value that is refused.
    """
    if not isinstance(ranges.value, dict):
        return
    for key, item in ranges.value.items():
        wrong = key_fault(str(key), [str(other) for other in ranges.value])
        if wrong is not None:
            yield Located(item.at, (*path, key), wrong)
        elif whole:
            for where, value in _values(item):
                yield from _refused(tree, str(key), value, (*path, key, *where), item.at, whose)


def _values(item: Item) -> Iterator[tuple[KeyPath, Item]]:
    """The ends of a range, or its choices, each with where it stands."""
    for kind, values in item.value.items():
        for place, value in enumerate(values.value if isinstance(values.value, list) else ()):
            yield (kind, place), value


def _refused(tree: Item, key: str, value: Item, path: KeyPath, at: Mark, whose: str) -> Iterator[Located]:
    """Faults of a spec with one value of a range in it; an unknown key is told at the key of the range."""
    section = key.partition(".")[0]
    tried = overlay(tree, {key: value})

    def folder(inside: KeyPath) -> Path:
        return locate(tried, (section, *inside)).source.folder

    _, faults = structure(plain(tried.value[section]), _TYPES[section], base=folder, trust=True)
    for fault in faults:
        mark, where = (at, path[:-2]) if fault.on_key else (value.mark, path)
        yield Located(mark, where, f"{section}.{fault}{whose}")


def _section(root: Item, *keys: str) -> Item | None:
    """What stands at a path of keys, where it is a mapping."""
    item = root
    for key in keys:
        if not isinstance(item.value, dict) or key not in item.value:
            return None
        item = item.value[key]
    return item if isinstance(item.value, dict) else None


def _unique(faults: Iterator[Located]) -> list[Located]:
    """Each fault once: a key is tried with several values, and in several contenders."""
    return list({(fault.mark, fault.path, fault.message): fault for fault in faults}.values())
