"""Make the pictures of docs/gallery.md by the commands that stand there: `python docs/gallery/make.py FOLDER [TITLE]…`.

Each section happens in a folder of its own below FOLDER, with all of its files and commands, or only those of the
titles. What they leave is shrunk and put beside this file, with what each section took in `made.json`, and the times
on the page are those. Where playwright and a chromium are installed, the README's picture is made of the report of the
first section.
"""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import torch
from PIL import Image

HERE = Path(__file__).parent
PAGE = HERE.with_suffix(".md")
MADE = HERE / "made.json"
COLORS = 64
"""Of a picture; more cannot be seen, and fewer can."""

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_FILE = re.compile(r"# ([\w.-]+)\n")
_TOOK = re.compile(r"(Takes\s+)\d+(\s+processor\s+seconds)")


def sections(text: str) -> dict[str, str]:
    """Below each heading of the page, what stands there; headings have no two names."""
    parts = re.split(r"^## (.+)\n", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def files(section: str) -> dict[str, str]:
    """Blocks whose first line names a file."""
    return {m[1]: block for _, block in _FENCE.findall(section) if (m := _FILE.match(block))}


def commands(section: str) -> list[str]:
    """Lines to be typed."""
    return [line for language, block in _FENCE.findall(section) if language == "bash" for line in block.splitlines()]


def shrink(source: Path, target: Path) -> None:
    """Write a picture with few colors."""
    with Image.open(source) as picture:
        few = picture.convert("RGB").quantize(COLORS, dither=Image.Dither.NONE)
    few.save(target, optimize=True)


def make(section: str, folder: Path) -> float:
    """Write the files of a section, run its commands, and fetch the pictures; processor seconds of the commands."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, content in files(section).items():
        (folder / name).write_text(content, encoding="utf-8")
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    for command in commands(section):
        sys.stderr.write(f"$ {command}\n")
        subprocess.run(command, shell=True, cwd=folder, env=environment, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    for picture in folder.glob("*.png"):
        shrink(picture, HERE / picture.name)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return round(used, 1)


def photograph(report: Path, target: Path) -> None:
    """Front and dial of a report, without the words about them, as a browser shows them."""
    from playwright.sync_api import sync_playwright

    raw = target.with_suffix(".raw.png")
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1000, "height": 1400})
        page.goto(report.resolve().as_uri())
        page.locator("#dial-0").fill("0.34")
        page.add_style_tag(content="#front h2, #front > p, #dial > p { display: none }")
        front, dial = page.locator("#front").bounding_box(), page.locator("#dial").bounding_box()
        assert front is not None, "the report has fronts"
        assert dial is not None, "and a dial"
        height = dial["y"] + dial["height"] - front["y"]
        page.screenshot(path=raw, clip={"x": 8, "y": front["y"], "width": 984, "height": height})
        browser.close()
    shrink(raw, target)
    raw.unlink()


def main(folder: Path, titles: list[str]) -> None:
    """Make all sections, or those of the titles."""
    made = json.loads(MADE.read_text(encoding="utf-8")) if MADE.is_file() else {}
    for title in titles or sections(PAGE.read_text(encoding="utf-8")):
        place = folder / re.sub(r"\W+", "-", title.lower())
        section = sections(PAGE.read_text(encoding="utf-8"))[title]
        made[title] = {"processor_seconds": make(section, place), "torch": torch.__version__}
        MADE.write_text(json.dumps(made, indent=2) + "\n", encoding="utf-8")
        took = _TOOK.sub(rf"\g<1>{made[title]['processor_seconds']:.0f}\g<2>", section)
        PAGE.write_text(PAGE.read_text(encoding="utf-8").replace(section, took), encoding="utf-8")
        report = place / "quickstart.html"
        if report.is_file() and shutil.which("chromium"):
            photograph(report, HERE.parent / "quickstart-dial.png")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
