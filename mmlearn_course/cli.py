"""The command line: run, check and write notebooks; see what this machine has."""

import argparse
import ast
import sys
from pathlib import Path
from typing import Any


def main(argv: list[str] | None = None) -> int:
    """Run one verb of the command line.

    Args:
        argv: The arguments; None for those of the process.

    Returns:
        The exit code: 0 all well, 1 a notebook failed or broke the contract, 2 a wrong
        call, 130 stopped by Ctrl-C.
    """
    args = _parser().parse_args(argv)
    if "verb" not in args:  # a bare call asks what there is
        args.help()
        return 0
    try:
        return args.verb(args)
    except (ValueError, OSError) as error:
        print(f"mmlearn: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(
            "mmlearn: stopped; notebooks that had finished are kept, "
            "the one that was running left nothing behind",
            file=sys.stderr,
        )
        return 130


# Every verb imports what it needs itself, so that `--help` answers at once.


def _run(args: argparse.Namespace) -> int:
    from . import notebooks, runner

    root = _course()
    build = args.build or (root or Path.cwd()) / "build"
    values = {name: _value(text) for name, text in args.parameter}
    found = notebooks.find(root, args.notebooks)
    runs = runner.run(found, build, values, args.timeout)
    return int(any(run.error for run in runs))


def _refresh(args: argparse.Namespace) -> int:
    from . import notebooks, runner

    found = notebooks.find(_course(), args.notebooks)
    runs = runner.refresh(found, timeout=args.timeout)
    return int(any(run.error for run in runs))


def _seconds(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: expected whole seconds, from 1")
    return int(text)


def _check(args: argparse.Namespace) -> int:
    from . import contract, learner_versions, notebooks

    root = _course()
    paths = notebooks.find(root, args.paths)
    if not args.paths:
        for path in learner_versions.sources(root):
            paths += [learner_versions.learner_path(path), path]
    violations = 0
    for path in paths:
        for violation in contract.check(path):
            violations += 1
            print(f"{_shown(path)}: {violation}")
    print(f"notebooks checked: {len(paths)}, violations: {violations}")
    return int(violations > 0)


def _new(args: argparse.Namespace) -> int:
    from . import new

    path = new.write(args.name, _course())
    print(f"{_shown(path)}: written; next: python -m mmlearn refresh {_shown(path)}")
    return 0


def _exercises(args: argparse.Namespace) -> int:
    from . import learner_versions

    root = _course()
    paths = args.paths or (learner_versions.sources(root) if root else [])
    changed = learner_versions.write(paths)
    for path in changed:
        print(f"{_shown(path)}: written")
    print(f"learner versions: {len(paths)}, changed: {len(changed)}")
    return 0


def _course_new(args: argparse.Namespace) -> int:
    from . import course

    written, kept = course.new(args.folder, _course())
    for path in kept:
        print(f"{_shown(path)}: was there, kept")
    print(f"{args.folder}: {len(written)} files written; next: its README.md")
    return 0


def _course_archive(args: argparse.Namespace) -> int:
    from . import archive

    missing = archive.pack(args.file, _course())
    size = args.file.stat().st_size / 1e6
    print(f"{args.file}: {size:,.0f} MB; next, where it is unpacked: python install.py")
    if missing:
        print(f"not on this machine, so not in it: {', '.join(missing)}")
    return 0


def _doctor(args: argparse.Namespace) -> int:
    from . import doctor

    return doctor.main()


def _data(args: argparse.Namespace) -> int:
    from mmlearn.datasets import sources

    return sources.main(args.arguments)


def _course() -> Path | None:
    """The folder that holds `notebooks/`: one around here, or the checkout."""
    here = Path.cwd()
    checkout = Path(__file__).parents[1]
    for folder in (here, *here.parents, checkout):
        if (folder / "notebooks").is_dir():
            return folder
    return None


def _shown(path: Path) -> Path:
    """A path as short as it can be from here."""
    path = path.resolve()
    here = Path.cwd().resolve()
    return path.relative_to(here) if path.is_relative_to(here) else path


def _value(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m mmlearn",
        description="Run, check and write the course's notebooks.",
        epilog="Begin with `python -m mmlearn run 00`. VERB --help says more.",
    )
    parser.set_defaults(help=parser.print_help)
    verbs = parser.add_subparsers(metavar="VERB")
    nb = {"nargs": "*", "metavar": "NB", "help": "number, name or path; default: all"}

    def verb(name: str, function: Any, text: str) -> argparse.ArgumentParser:
        sub = verbs.add_parser(name, help=text, description=text)
        sub.set_defaults(verb=function)
        return sub

    run = verb("run", _run, "execute copies of notebooks and render them as web pages")
    run.add_argument("notebooks", **nb)
    run.add_argument(
        "-p",
        "--parameter",
        nargs=2,
        action="append",
        default=[],
        metavar=("NAME", "VALUE"),
        help="replace a value of the parameters cell; may be repeated",
    )
    run.add_argument("--build", type=Path, help="where to write; default: build/")
    refresh = verb("refresh", _refresh, "execute notebooks, store outputs in them")
    refresh.add_argument("notebooks", **nb)
    for executing in (run, refresh):
        executing.add_argument(
            "--timeout",
            type=_seconds,
            metavar="SECONDS",
            help="stop a cell that takes longer; default: no limit",
        )
    check = verb("check", _check, "say which rules of the course a notebook breaks")
    check.add_argument("paths", **{**nb, "metavar": "PATH"})
    new = verb("new", _new, "write a fresh notebook that runs and keeps the rules")
    new.add_argument(
        "name", metavar="NAME", help="my_topic, 14_my_topic, or a path x/y.ipynb"
    )
    learner = verb(
        "exercises", _exercises, "make learners' exercise notebooks from the solutions"
    )
    learner.add_argument(
        "paths",
        nargs="*",
        type=Path,
        metavar="NB",
        help="NAME.solutions.ipynb; default: all in notebooks/exercises/",
    )
    text = "lay out a course for nbgrader, or pack all for a room without internet"
    course = verbs.add_parser("course", help=text, description=text)
    course.set_defaults(help=course.print_help)
    actions = course.add_subparsers(metavar="new | archive")
    text = "lay out a course for nbgrader, from the exercise notebooks"
    fresh = actions.add_parser("new", help=text, description=text)
    fresh.add_argument("folder", metavar="DIR", type=Path, help="created if need be")
    fresh.set_defaults(verb=_course_new)
    text = "pack repository, wheels and data into one archive"
    packed = actions.add_parser("archive", help=text, description=text)
    packed.add_argument("file", metavar="FILE.zip", type=Path, help="a new file")
    packed.set_defaults(verb=_course_archive)
    verb("doctor", _doctor, "say what this machine has, what it lacks, and what to do")
    data = verb("data", _data, "say where each data set would come from, or fetch one")
    data.add_argument(
        "arguments", nargs="*", metavar="list | get NAME", help="default: list"
    )
    return parser
