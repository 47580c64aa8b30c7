"""No function is too long to read at once or takes too many arguments. (Ruff counts branches and statements.)"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from attrs import frozen

ROOT = Path(__file__).parents[1]
FOLDERS = ("moframework", "problems")

LONGEST = 50  # lines from `def` to the last one, docstring and blank lines included
LONGEST_IN_ENGINE = 40  # the training loop is what every reader goes through
MOST_PARAMETERS = 8  # without self and cls


@frozen
class Function:
    """A function as it stands in a file: `folder/file.py:Class.name`, its lines, and its parameters but self or cls."""

    name: str
    lines: int
    parameters: int

    @property
    def limit(self) -> int:
        return LONGEST_IN_ENGINE if self.name.startswith("moframework/engine/") else LONGEST

    @property
    def too_large(self) -> bool:
        return self.lines > self.limit or self.parameters > MOST_PARAMETERS


def functions(source: str, file: str) -> Iterator[Function]:
    """All functions of a file, methods and inner ones too."""

    def visit(node: ast.AST, inside: tuple[str, ...], in_class: bool) -> Iterator[Function]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.ClassDef):
                yield from visit(child, (*inside, child.name), True)
            elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                names = (*inside, child.name)
                lines = (child.end_lineno or child.lineno) - child.lineno + 1
                yield Function(f"{file}:{'.'.join(names)}", lines, parameters(child, in_class))
                yield from visit(child, names, False)
            else:
                yield from visit(child, inside, in_class)

    yield from visit(ast.parse(source), (), False)


def parameters(function: ast.FunctionDef | ast.AsyncFunctionDef, in_class: bool) -> int:
    """How many there are, `*args` and `**kwargs` as one each. The constructors that attrs makes are no functions here:
    nobody writes them."""
    arguments = function.args
    positional = [*arguments.posonlyargs, *arguments.args]
    static = any(isinstance(one, ast.Name) and one.id == "staticmethod" for one in function.decorator_list)
    own = positional[1:] if in_class and not static else positional
    return len(own) + len(arguments.kwonlyargs) + (arguments.vararg is not None) + (arguments.kwarg is not None)


ALL = [
    function
    for folder in FOLDERS
    for path in sorted((ROOT / folder).rglob("*.py"))
    for function in functions(path.read_text(encoding="utf-8"), path.relative_to(ROOT).as_posix())
]


def test_all_functions_are_read() -> None:
    files = {function.name.partition(":")[0] for function in ALL}
    assert len(ALL) > 1500
    assert {"moframework/engine/step.py", "moframework/solvers/palora.py", "problems/digits.py"} <= files


def test_no_function_is_too_large() -> None:
    large = [function for function in ALL if function.too_large]
    assert not large, "split these, or put what travels together into an options class:\n" + "\n".join(
        f"{one.name}: {one.lines} lines (limit {one.limit}), {one.parameters} parameters (limit {MOST_PARAMETERS})"
        for one in large
    )


@pytest.mark.parametrize(
    ("signature", "count"),
    [
        ("f(a, b, /, c, *d, e=1, **g)", 6),
        ("f()", 0),
    ],
)
def test_parameters_are_counted(signature: str, count: int) -> None:
    (function,) = functions(f"def {signature}: ...\n", "m.py")
    assert function.parameters == count


def test_methods_and_inner_functions_are_found() -> None:
    source = (
        "class A:\n"
        "    def f(self, x):\n"
        '        """Doc."""\n'
        "\n"
        "        async def g(x, y): ...\n"
        "        return g\n"
        "    @staticmethod\n"
        "    def h(x): ...\n"
        "    if True:\n"
        "        @classmethod\n"
        "        def k(cls, x): ...\n"
    )
    found = {one.name: (one.lines, one.parameters) for one in functions(source, "m.py")}
    assert found == {"m.py:A.f": (5, 1), "m.py:A.f.g": (1, 2), "m.py:A.h": (1, 1), "m.py:A.k": (1, 1)}


@pytest.mark.parametrize(("file", "limit"), [("moframework/engine/a/b.py", 40), ("moframework/run/run.py", 50)])
def test_one_line_more_is_too_much(file: str, limit: int) -> None:
    def of(lines: int) -> Function:
        (function,) = functions("def f():\n" + "    x = 1\n" * (lines - 1), file)
        return function

    assert (of(limit).lines, of(limit).too_large) == (limit, False)
    assert of(limit + 1).too_large
