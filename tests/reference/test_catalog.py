from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from moframework.config import Component, Entry, entries, kinds
from moframework.config.fields import options_of
from moframework.errors import UnknownNameError
from moframework.reference.catalog import KINDS, PACKAGE_KINDS, all_kinds, parts, shared_keys, summary


def test_every_kind_is_described_once() -> None:
    assert set(KINDS) == set(all_kinds()), "describe a new kind in catalog.KINDS; remove one that is gone"
    assert not set(PACKAGE_KINDS) & set(kinds())


@pytest.mark.parametrize("kind", kinds())
def test_every_part_has_a_line(kind: str) -> None:
    found = parts(kind)
    assert [part.name for part in found] == sorted({entry.name for entry in entries(kind)})
    for part in found:
        assert part.summary
        assert "broken" not in part.summary
        assert "\n" not in part.summary


@pytest.mark.parametrize(("kind", "name"), [("optimizers", "adamw"), ("lr_schedules", "cosine_annealing")])
def test_torch_brings_names_of_its_own(kind: str, name: str) -> None:
    found = {part.name: part for part in parts(kind)}
    assert found[name].package == "torch"
    assert found[name].summary


def test_unknown_kind_names_the_nearest_and_all() -> None:
    with pytest.raises(
        UnknownNameError, match=r"no kind 'optimiser'; did you mean 'optimizers'\? Kinds: augmentations, "
    ):
        parts("optimiser")


@pytest.mark.parametrize("kind", kinds())
def test_keys_of_all_parts_are_those_of_the_interface(kind: str) -> None:
    found = (entry.load() for entry in entries(kind))
    overrides = next(part for part in found if isinstance(part, type) and issubclass(part, Component)).overrides
    options = options_of(overrides) if overrides is not None else ()
    assert shared_keys(kind) == {option.key: option.help for option in options}


def test_torch_parts_share_no_keys() -> None:
    assert not any(shared_keys(kind) for kind in PACKAGE_KINDS)


def test_lines_are_read_without_importing() -> None:
    script = (
        "import sys; from moframework.reference.catalog import all_kinds, parts, shared_keys, PACKAGE_KINDS\n"
        "for kind in set(all_kinds()) - set(PACKAGE_KINDS): parts(kind), shared_keys(kind)\n"
        "print([name for name in ('torch', 'numpy', 'matplotlib', 'yaml') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An importable package `some_plugin` that must not be imported: importing it fails."""
    package = tmp_path / "some_plugin"
    (package / "deep").mkdir(parents=True)
    (package / "__init__.py").write_text(
        "from some_plugin.deep.real import Real as Handed\n"
        "from .deep import real as _\n"
        "raise ImportError('a broken import')\n"
    )
    (package / "deep" / "__init__.py").write_text("from .real import *\n")
    (package / "deep" / "real.py").write_text(
        'class Real:\n    """What it does. More\n    of it."""\n\n'
        'def fold(x):\n    """Folds x:\n\n    details\n    """\n'
        "class Silent:\n    pass\n\nmade = type('made', (), {'__doc__': 'Made at run time.'})\n"
    )
    (package / "wrong.py").write_text("def (:\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield package
    for name in [name for name in sys.modules if name.startswith("some_plugin")]:
        del sys.modules[name]


@pytest.mark.usefixtures("plugin")
@pytest.mark.parametrize(
    ("target", "line"),
    [
        ("some_plugin.deep.real:Real", "What it does."),
        ("some_plugin.deep.real:fold", "Folds x."),
        ("some_plugin.deep.real:Silent", ""),
        ("some_plugin:Handed", "What it does."),
        ("some_plugin.deep.real:made", None),
        ("some_plugin.deep.real:absent", None),
        ("some_plugin.deep.absent:Real", None),
        ("no_such_package:Real", None),
        ("math:sqrt", None),
    ],
)
def test_summary(target: str, line: str | None) -> None:
    assert summary(target) == line
    assert "some_plugin" not in sys.modules


@pytest.mark.usefixtures("plugin")
@pytest.mark.parametrize(
    ("target", "said"), [("some_plugin.deep.real:made", "a broken import"), ("some_plugin.wrong:X", "SyntaxError")]
)
def test_broken_part_harms_only_its_own_line(target: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    broken, fine = Entry("solvers", "broken", target, "p"), Entry("solvers", "fine", "some_plugin.deep.real:Real", "p")
    monkeypatch.setattr("moframework.reference.catalog.entries", lambda kind: (broken, fine))
    first, second = parts("solvers")
    assert first.summary.startswith("(broken: ")
    assert said in first.summary
    assert second.summary == "What it does."
