"""The commands of the command line: usage, what each does, its arguments and options."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator

import click

from moframework.reference.docstrings import escaped, markdown
from moframework.reference.entry import Entry, Page, anchor

__all__ = ["command_page", "commands"]


def commands(group: click.Group, name: str) -> Iterator[tuple[str, click.Command]]:
    """All commands of a group and of the groups in it, with their whole names, sorted."""
    for key in sorted(group.commands):
        command = group.commands[key]
        if isinstance(command, click.Group):
            yield from commands(command, f"{name} {key}")
        else:
            yield f"{name} {key}", command


def command_page(group: click.Group, name: str = "moframework") -> Page:
    """The page of all commands."""
    lines = [
        f"- [`{key}`](#{_anchor(key)}): {escaped(one.get_short_help_str(200))}" for key, one in commands(group, name)
    ]
    first = f"`{name} COMMAND --help` says the same in a terminal. {group.epilog or ''}"
    introduction = "\n\n".join([first, "\n".join(lines)])
    # Commands keep the option for help that they are first asked for; its names are those of the group.
    above = click.Context(group, info_name=name, **group.context_settings)
    entries = tuple(_entry(key, command, above) for key, command in commands(group, name))
    return Page("commands", "Commands", introduction, entries)


def _anchor(name: str) -> str:
    return anchor("command", *name.split()[1:])


def _entry(name: str, command: click.Command, above: click.Context) -> Entry:
    context = click.Context(command, parent=above, info_name=name)
    usage = f"```text\n{' '.join([name, *command.collect_usage_pieces(context)])}\n```"
    help_ = inspect.cleandoc(command.help or "")
    told = "\n\n".join(_paragraph(part) for part in help_.split("\n\n"))
    lines = [_option(one, context) for one in command.params if isinstance(one, click.Option)]
    options = ["**Options**", "\n".join(lines)] if lines else []
    return Entry(name, "commands", _anchor(name), f"`{name}`", "\n\n".join([usage, told, *options]))


def _paragraph(text: str) -> str:
    """A paragraph of a help; click leaves one as it is that begins with a backspace."""
    if text.startswith("\b"):
        return f"```text\n{text.lstrip(chr(8)).strip()}\n```"
    return markdown(text)


def _option(option: click.Option, context: click.Context) -> str:
    record = option.get_help_record(context)
    assert record is not None, "no option is hidden"
    names, told = record
    told = re.sub(r"\s+", " ", told)
    return f"- `{names}`: {escaped(told)}"
