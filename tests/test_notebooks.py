"""Notebooks of docs/: they are shipped with what their cells give, which is little, and what they give is given again.

To render one anew, in its folder: `PYTHONWARNINGS=ignore jupyter execute --inplace first-front.ipynb`, and remove what
it leaves.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.extras import needs_nbclient

NOTEBOOKS = sorted((Path(__file__).parents[1] / "docs").rglob("*.ipynb"))


def outputs(notebook: Any) -> list[dict[str, Any]]:
    """What the code cells gave, but for warnings."""
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    return [output for cell in cells for output in cell["outputs"] if output.get("name") != "stderr"]


def kinds(notebook: Any) -> list[tuple[str, ...]]:
    return [(output["output_type"], *sorted(output.get("data", ()))) for output in outputs(notebook)]


def shown(notebook: Any, kind: str) -> str:
    """All that was shown in one kind of data; `text` is what was printed."""
    found = [output.get("text", "") if kind == "text" else output.get("data", {}).get(kind, "")
             for output in outputs(notebook)]  # fmt: skip
    return "\n".join("".join(part) for part in found)


SHOWN = {
    "first-front": [
        r"epoch 30\.0/30 · loss left",
        r"λ = \[0\.\d+, 0\.\d+\]\nleft/accuracy: 0\.\d+ on test, 95 % interval",  # a pick
        r"left:  \[\d \d \d \d \d\] truth:",  # a prediction
    ],
    "own-model": [
        r"problem     2 tasks: empty \(empty\), waste \(waste\)",  # a check
        r"epoch 10\.0/10 · loss empty",
        r"λ = \[0\.\d+, 0\.\d+\]\nempty/loss: \d\.\d+ on test, 95 % interval",
        r"'orders\.pt2'",
        r"picked: (\[[\d., ]+\])\n(?s:.*)\n\1\n",  # the exported network says the same
    ],
}
"""What stands in the texts of each."""


def test_each_is_known() -> None:
    assert {path.stem for path in NOTEBOOKS} == SHOWN.keys()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_shipped_with_its_outputs(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.encode()) < 200_000
    cells = [cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1)), "run from top to bottom"
    for cell in cells:
        assert cell["outputs"]
        assert all(
            output["output_type"] != "error" and output.get("name") != "stderr" for output in cell["outputs"]
        )  # fmt: skip


@needs_nbclient
@pytest.mark.timeout(900)  # a quarter of a minute on a free core; one that is shared takes many times that
@pytest.mark.filterwarnings("ignore")  # of Jupyter about itself
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_gives_what_it_is_shipped_with(path: Path, tmp_path: Path) -> None:
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}}).execute()
    assert kinds(notebook) == kinds(json.loads(path.read_text(encoding="utf-8")))
    page, printed = shown(notebook, "text/html"), shown(notebook, "text/plain") + shown(notebook, "text")
    assert re.search(r'<progress value="(\d+)" max="\1"', page), "a bar, at its end"
    assert re.search(r"<b>[\w-]+</b>: done", page)
    assert page.count("<circle") == 11, "a front"
    assert shown(notebook, "image/png").strip(), "and its picture"
    for pattern in SHOWN[path.stem]:
        assert re.search(pattern, printed), pattern
