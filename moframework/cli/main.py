"""The command line. Its top level imports click and nothing else of weight, so that `--help` answers at once."""

from __future__ import annotations

import re
import sys
import tempfile
import traceback
from pathlib import Path
from typing import NoReturn

import click

from moframework.cli import reference, runs, showing, tuning
from moframework.cli.shared import (
    EXIT_CODES,
    FAILED,
    INTERRUPTED,
    WRONG_USAGE,
    imports_told,
    processes,
    rank,
    set_option,
    spec_argument,
    trust_option,
)
from moframework.errors import (
    InterruptedRun,
    MoframeworkError,
    NonFiniteLossError,
    PeerError,
    RequestError,
    SpecError,
    UnknownNameError,
    nearest,
)
from moframework.schemas.results import RESULT_FILES

__all__ = ["main"]


class Commands(click.Group):
    """The group of commands: every expected error becomes a message on stderr and an exit code, never a traceback."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, or propose what may have been meant."""
        if args and self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            shown = [name for name in self.list_commands(ctx) if not self.commands[name].hidden]
            guess = nearest(args[0], shown)
            if Path(args[0]).exists():
                hint = f" To solve it: moframework solve {args[0]}"
            else:
                hint = f" Did you mean '{guess}'?" if guess else f" Commands: {', '.join(shown)}."
            ctx.fail(f"there is no command '{args[0]}'.{hint}")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> object:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except PeerError:  # another process tells
            sys.exit(FAILED)
        except SpecError as error:  # its lines begin with file:line:column, which editors turn into links
            _stop(str(error), WRONG_USAGE, common=True)
        except (UnknownNameError, RequestError) as error:
            _stop(f"Error: {error}", WRONG_USAGE, common=True)
        except InterruptedRun as error:
            _stop(str(error), INTERRUPTED, common=True)
        except NonFiniteLossError as error:
            _stop(f"Error: {error}", FAILED, common=True)
        except MoframeworkError as error:
            _stop(f"Error: {error}", FAILED)
        except KeyboardInterrupt:
            _stop("interrupted", INTERRUPTED, common=True)
        except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise  # click knows these; the last is `moframework list | head`
        except Exception as error:
            _stop(f"Error: {_missing(error) or _unexpected(error)}", FAILED)


def _stop(message: str, code: int, *, common: bool = False) -> NoReturn:
    """End with a message and an exit code. What is `common` to all processes that torchrun started is told once a
    machine; else each tells its own."""
    own, local = rank("RANK"), rank("LOCAL_RANK")
    if not common or local == 0:
        click.echo(message if common or own == 0 else f"process {own}: {message}", err=True)
    sys.exit(code)


def _missing(error: Exception) -> str | None:
    """Which package to install, when the error is that a module of another package is not there."""
    if not isinstance(error, ModuleNotFoundError) or error.name is None or error.name.startswith("moframework"):
        return None
    from importlib import metadata

    module = error.name.partition(".")[0]
    package = module
    for requirement in metadata.requires("moframework") or ():
        match = re.match(r"([\w.-]+).*extra\s*==\s*['\"](\w+)", requirement)
        if match and match[1].lower().replace("-", "_") == module.lower():
            package = f"'moframework[{match[2]}]'"
    return f"this needs the package '{module}', which is not installed. Install it with: pip install {package}"


def _unexpected(error: Exception) -> str:
    """An error nobody planned for: its text, and the name of a file with the traceback (a plug-in may be at fault): a
    run's log, where the error says so."""
    notes = getattr(error, "__notes__", [])
    if notes:
        return "\n".join([f"unexpected {type(error).__name__}: {error}", *notes])
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", prefix="moframework-", suffix=".txt", delete=False) as file:
        traceback.print_exception(error, file=file)
    return f"unexpected {type(error).__name__}: {error}\nThe traceback is in {file.name}"


def _no_run(spec: str) -> str:
    """What is said where a run is to be continued and no run folder is named."""
    from moframework.run.run import nearest_run

    near = nearest_run(Path(spec))
    hint = f"; did you mean {near}?" if near else ""
    return f"--resume continues a run, and {spec} is no run folder: say which with --out RUN, or as SPEC{hint}"


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=EXIT_CODES,
    no_args_is_help=True,
)
@click.version_option(package_name="moframework", prog_name="moframework")
def main() -> None:
    """Pareto front learning from one spec: train one model, choose the trade-off between tasks afterwards.

    \b
    moframework solve quickstart     solve a bundled spec
    moframework specs                what else is bundled
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a terminal without λ must not end a finished run with an error
            stream.reconfigure(errors="replace")


@main.command(epilog=EXIT_CODES)
@spec_argument
@click.option(
    "--out",
    metavar="DIR",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of the run. Default: runs/NAME-DATE-TIME.",
)
@set_option
@click.option("--resume", is_flag=True, help="Continue the run in --out, or in SPEC when that is a run folder.")
@click.option("--device", metavar="DEVICE", help="auto, cpu, cuda, cuda:N or mps, in place of the spec's.")
@click.option("--quiet", is_flag=True, help="Show no progress; print the run folder alone.")
@trust_option("the run folder to resume, or the run that `initial` names,")
def solve(
    spec: str,
    out: Path | None,
    overrides: tuple[str, ...],
    resume: bool,
    device: str | None,
    quiet: bool,
    trust: bool,
) -> None:
    """Train and evaluate what a spec says.

    SPEC is a YAML file, or the name of a bundled spec (see `moframework specs`). Ends with the test front, the run
    folder, and what to do next. Ctrl-C finishes the step, saves and stops. Code that SPEC names is run, and said so.

    \b
    Several processes or devices train one run together:
    torchrun --nproc-per-node N -m moframework solve SPEC
    """
    folder = Path(spec) if Path(spec).is_dir() else None
    if folder is not None and not resume:
        from moframework.run.resuming import resume_command

        raise click.UsageError(f"{spec} is a folder. To continue the run in it: {resume_command(folder)}")
    if resume and folder is None and out is None:
        raise click.UsageError(_no_run(spec))
    if folder is not None and out is not None and folder.resolve() != out.resolve():
        raise click.UsageError(f"--resume continues one run, but SPEC is {folder} and --out is {out}")

    from moframework.cli.tables import output, print_run
    from moframework.run.progress import watching
    from moframework.run.run import Run
    from moframework.run.signals import follow_parent
    from moframework.run.solving import solve
    from moframework.spec import load_spec

    follow_parent()

    file = spec if folder is None else Run(folder).spec_file
    first = rank("RANK") == 0
    with imports_told():
        loaded = load_spec(file, overrides, trust=folder is None or trust)
        with watching(quiet or not first) as observers:
            run = solve(loaded, out or folder, resume=resume, device=device, observers=observers, trust=trust)
    if not first:
        return
    if quiet:
        click.echo(run.path)
    else:
        print_run(output(), run.path, run.front("test"))


@main.command(epilog=EXIT_CODES)
@spec_argument
@click.option(
    "--out",
    metavar="DIR",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of cells and results; the same one again goes on. Default: runs/benchmark-NAME.",
)
@click.option("--jobs", metavar="N", type=click.IntRange(min=1), help="Cells at a time: --set executor.jobs=N.")
@set_option
@click.option("--report-only", is_flag=True, help="Run nothing; make the results of what is there.")
@click.option("--dry-run", is_flag=True, help="Run nothing; tell what would run, and what that would take.")
@trust_option("a run that `initial` of a solver names,")
def benchmark(
    spec: str,
    out: Path | None,
    jobs: int | None,
    overrides: tuple[str, ...],
    report_only: bool,
    dry_run: bool,
    trust: bool,
) -> None:
    """Compare solvers on problems over seeds.

    SPEC lists problems, solvers and seeds, and what is tuned for all: a YAML file, or a bundled one such as
    benchmarks/digits. Each cell is a run in a process of its own. Only missing, unfinished and failed cells are run; a
    cell that fails is recorded and stops no other. Ends with one table (results.md, .csv, .json) and a picture of the
    fronts of each problem. Ctrl-C saves the running cells and stops; the same command goes on.
    """
    if processes() > 1:
        raise click.UsageError("a benchmark starts processes of its own: run it without torchrun")
    if dry_run and report_only:
        raise click.UsageError("--dry-run tells what would run, and --report-only runs nothing: give one of them")
    from moframework.benchmark.loading import load_benchmark
    from moframework.benchmark.running import default_folder, run_benchmark
    from moframework.cli.progress import BenchmarkLines
    from moframework.cli.tables import output, print_results

    given = (*overrides, f"executor.jobs={jobs}") if jobs is not None else overrides
    with imports_told():
        loaded = load_benchmark(spec, given)
    folder = out or default_folder(loaded)
    if dry_run:
        from moframework.benchmark.belonging import refuse_another
        from moframework.benchmark.estimating import plan_benchmark
        from moframework.cli.planning import print_plan

        refuse_another(loaded, folder)
        print_plan(output(), plan_benchmark(loaded, folder), folder)
        return
    with BenchmarkLines() as watcher:
        results = run_benchmark(loaded, folder, report_only=report_only, watcher=watcher, trust=trust)
    print_results(output(), folder, results)
    for text in results.failed:
        click.echo(f"failed: {text}", err=True)
    if results.failed:
        sys.exit(FAILED)


@main.command(epilog=EXIT_CODES)
@spec_argument
@set_option
@click.option("--verbose", is_flag=True, help="Tell too what each acceleration does, and why the others do not apply.")
@trust_option("the run that `initial` names,")
def check(spec: str, overrides: tuple[str, ...], trust: bool, verbose: bool) -> None:
    """Check a spec and print the plan.

    Does all that can be known before training, on a few samples; all mistakes of SPEC are reported at once, with their
    lines. Code that SPEC names is run, and said so.
    """
    from moframework.run.solving import check
    from moframework.spec import load_spec

    with imports_told():
        for line in check(load_spec(spec, overrides), trust=trust, verbose=verbose):
            click.echo(line)


@main.command()
@click.option("--benchmark", "of_benchmarks", is_flag=True, help="Of what `moframework benchmark` reads.")
@click.option("--study", "of_studies", is_flag=True, help="Of what `moframework tune` reads.")
@click.option("--of", "name", type=click.Choice(list(RESULT_FILES)), help="Of a file of results, such as status.json.")
def schema(of_benchmarks: bool, of_studies: bool, name: str | None) -> None:
    """Print the JSON Schema of specs.

    Editors complete and check YAML with it. Installed plug-ins are included. With --of, that of the JSON files that
    runs (`results`: benchmarks) leave: each key, its unit and its range.
    """
    import json

    if of_benchmarks + of_studies + (name is not None) > 1:
        raise click.UsageError("--benchmark and --study are about specs, --of is about results: give one of them")
    if name is not None:
        from moframework.schemas.results import result_schema

        click.echo(json.dumps(result_schema(name), indent=2, ensure_ascii=False))
        return
    from moframework.benchmark.loading import benchmark_schema
    from moframework.spec.spec import spec_schema
    from moframework.tuning.loading import study_schema

    made = benchmark_schema() if of_benchmarks else study_schema() if of_studies else spec_schema()
    click.echo(json.dumps(made, indent=2))


@main.group()
def new() -> None:
    """Write files to start from."""


@new.command("problem", epilog=EXIT_CODES)
@click.argument("name")
@click.option(
    "--out",
    metavar="DIR",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(),
    help="Folder to write into, made if need be. Default: here.",
)
def new_problem(name: str, out: Path) -> None:
    """Start a problem of your own.

    Writes NAME.py with a small problem that works, NAME.yaml that solves it and test_NAME.py that tests it, to be
    changed piece by piece. Overwrites nothing.
    """
    from moframework.cli.scaffold import write_problem

    module, spec, test = write_problem(name, out)
    click.echo(f"Wrote {module}, {spec} and {test}. They work as they are:")
    click.echo(f"  moframework check {spec}")
    click.echo(f"  moframework solve {spec}")
    click.echo(f"  python -m pytest {test}")


@main.command(epilog=EXIT_CODES.replace("failed run", "something is wrong"))
@click.option("--json", "as_json", is_flag=True, help="Print JSON: sections with their findings, and problems.")
def doctor(as_json: bool) -> None:
    """Look for what is wrong with this installation.

    Tells environment, devices, packages and extras, known bad combinations of versions, data, cache, disk and shared
    memory. Each problem comes with the next step. Uses no network and changes nothing.
    """
    import json

    from moframework.cli.doctor import examine
    from moframework.cli.tables import output, print_examination

    found = examine()
    if as_json:
        click.echo(json.dumps(found.as_json(), indent=2))
    else:
        print_examination(output(), found)
    if found.problems:
        sys.exit(FAILED)


@main.command()
def specs() -> None:
    """List the bundled specs.

    Each can be solved by its name, from any folder; those under benchmarks/ are for `moframework benchmark`,
    those under studies/ for `moframework tune`.
    """
    from moframework.cli.tables import output, table
    from moframework.spec.bundled import bundled_specs

    rows = table(("name", "what it shows"))
    for name, path in sorted(bundled_specs().items()):
        rows.add_row(name, _first_comment(path))
    output().print(rows)


def _first_comment(path: Path) -> str:
    """The first comment line of a YAML file, without its mark."""
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("#") and line.strip("# "):
            return line.strip("# ")
    return ""


for _command in (*runs.COMMANDS, *showing.COMMANDS, *tuning.COMMANDS, *reference.COMMANDS):
    main.add_command(_command)
