"""The command ``fastbp-bench``."""

from __future__ import annotations

import argparse
import os
import sys
import textwrap
import time
from collections.abc import Sequence
from typing import Any

from . import comparison, digits, environment, page, registry, report, runner
from .checking import CheckError
from .console import Console
from .peers import PEERS, missing

__all__ = ["main"]

PROGRAM = "fastbp-bench"
DIGITS = "digits"
SUITES = (DIGITS, *registry.SUITES)
MAIN = (DIGITS, *registry.MAIN)
THREADS = {"one": ("one",), "default": ("default",), "both": ("one", "default")}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return 0, 1 if a check failed, 2 if a report cannot be read or written."""
    options = _parser().parse_args(argv)
    console = Console(plain=options.plain)
    try:
        if options.command == "list":
            return _list(console)
        if options.command == "compare":
            before, after = report.load(options.before), report.load(options.after)
            comparison.compare(before, after, console)
            if options.html:
                report.write(page.comparison_page(before, after), options.html)
                console.line(f"page written to {options.html}")
            return 0
        return _run(options, console)
    except report.ReportError as error:
        print(f"{PROGRAM}: error: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # whoever reads has seen enough, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 2
    except KeyboardInterrupt:
        print(f"{PROGRAM}: stopped", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description=textwrap.fill(
            "Train a classifier of handwritten digits with fastbp, then measure fastbp: "
            f"{registry.duration(MAIN)} on two cores. Every gradient is checked against an "
            "independent reference before its time is shown.", _width(),
        ),
        epilog=_epilog(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument(
        "--suite", type=_choice(SUITES, "suite"), default=MAIN, metavar="A,B",
        help=f"of {', '.join(SUITES)}; without it, all up to {registry.MAIN[-1]}",
    )  # fmt: skip
    parser.add_argument(
        "--peers", type=_choice(tuple(PEERS), "peer"), nargs="?", const=tuple(PEERS), default=(),
        metavar="A,B",
        help="compare with other libraries, each in a fresh process: "
        f"{', '.join(PEERS)} (all if none is named; {registry.duration(MAIN, peers=True)})",
    )  # fmt: skip
    parser.add_argument(
        "--threads", choices=THREADS, default="both",
        help="one: one thread and one CPU for everybody; default: what each library takes",
    )  # fmt: skip
    parser.add_argument(
        "--processes", type=_count, default=None, metavar="N",
        help="measure everything in N fresh processes, one after the other (default: "
        f"{runner.Effort.processes}); more of them tell smaller changes apart, and take longer",
    )  # fmt: skip
    parser.add_argument(
        "--quick", action="store_true",
        help="fewer sizes and samples, no targets: a smoke test of less than ten seconds",
    )  # fmt: skip
    parser.add_argument("--json", metavar="FILE", help="also write the report to FILE")
    parser.add_argument(
        "--html", metavar="FILE",
        help="also write it as a page with pictures, one file that needs nothing else",
    )  # fmt: skip
    parser.add_argument("--plain", action="store_true", help="plain text even if rich is installed")
    commands = parser.add_subparsers(dest="command", metavar="{list,compare}")
    commands.add_parser("list", help="list the benchmarks, and how long they take")
    compare = commands.add_parser(
        "compare",
        help="compare two reports written with --json",
        description="Say what became faster or slower from one report to another, by more than "
        "two runs of the same code differ.",
    )
    compare.add_argument("before", metavar="A.json")
    compare.add_argument("after", metavar="B.json")
    # Kept apart: a default of the subcommand would replace what stands before its name.
    compare.add_argument(
        "--html", metavar="FILE", default=argparse.SUPPRESS,
        help="also write the comparison as a page with pictures",
    )  # fmt: skip
    return parser


def _width() -> int:
    return Console(plain=True).width - 2


def _epilog() -> str:
    suites = [
        f"  {name:<12} {registry.duration((name,)):<17} "
        f"with --peers {registry.duration((name,), peers=True)}"
        for name in SUITES
    ]
    closing = (
        "A target is judged only where samples are steady enough to tell, and called missed only "
        "if the machine was quiet: otherwise it is not measured, and what kept the machine busy is "
        "named. The exit status is 0 if everything that was checked is right, whatever the targets "
        "say; 1 if a result was wrong; 2 if a file or an argument cannot be used; 130 if stopped."
    )
    return "\n".join(
        [
            "how long the suites take on two cores that have nothing else to do:",
            *suites,
            "",
            *textwrap.wrap(closing, _width()),
        ]
    )


def _count(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of processes")
    return int(text)


def _choice(known: tuple[str, ...], what: str):
    def parse(text: str) -> tuple[str, ...]:
        names = [name.strip() for name in text.split(",") if name.strip()]
        for name in names:
            if name not in known:
                raise argparse.ArgumentTypeError(
                    f"unknown {what} {name!r} (known: {', '.join(known)})"
                )
        if not names:
            raise argparse.ArgumentTypeError(f"names no {what} (known: {', '.join(known)})")
        return tuple(dict.fromkeys(names))

    return parse


def _list(console: Console) -> int:
    console.line(f"{_headline(DIGITS)}\n  {DIGITS}")
    console.line("      Train a dense classifier; test accuracy above 95 %.")
    for suite in registry.SUITES:
        console.line(_headline(suite))
        for cls in registry.select((suite,)):
            values = (f"{key} = {' | '.join(map(str, v))}" for key, v in cls.params.items())
            console.line(f"  {cls.name}: {'; '.join(values)}\n      {cls.title}")
    return 0


def _headline(suite: str) -> str:
    run = "" if suite in MAIN else f"; only with --suite {suite}"
    return f"{suite} ({registry.duration((suite,))}{run})"


def _effort(options: argparse.Namespace) -> runner.Effort:
    careful: dict[str, Any] = {"threads": THREADS[options.threads], "peers": options.peers}
    if options.quick:
        careful |= {"quick": True, "rounds": 3, "window": 0.004, "pause": 0.0}
        return runner.Effort(**careful, processes=options.processes or 1, extra=0.0)
    if options.peers:
        careful["rounds"] = 16
    if options.processes:
        careful["processes"] = options.processes
    return runner.Effort(**careful)


def _run(options: argparse.Namespace, console: Console) -> int:
    start = time.perf_counter()
    for path in filter(None, (options.json, options.html)):
        report.check_writable(path)
    record = environment.record()
    report.show_environment(record, console)
    _say_what_is_missing(options, console)
    document: dict[str, Any] = {
        "kind": report.KIND, "schema": report.SCHEMA, "environment": record,
        "quick": options.quick, "peers": options.peers, "digits": None,
        "rows": [], "notes": [], "failures": [], "seconds": {},
    }  # fmt: skip
    if DIGITS in options.suite:
        _train(document, console)
    _measure(document, options, console)
    report.show(document, console)
    seconds = document["seconds"]["total"] = time.perf_counter() - start
    if options.json:
        report.save(document, options.json)
        console.line(f"report written to {options.json}")
    if options.html:
        report.write(page.report_page(document, PROGRAM), options.html)
        console.line(f"page written to {options.html}")
    whole = not options.quick and not options.processes and options.threads == "both"
    usual = f" ({registry.duration(options.suite, bool(options.peers))} are usual)" if whole else ""
    console.line(f"done in {seconds:.1f} s{usual}")
    console.line()
    console.paragraph(report.conclusion(document, PROGRAM))
    return 1 if document["failures"] else 0


def _say_what_is_missing(options: argparse.Namespace, console: Console) -> None:
    if environment.blas_pools() is None:
        console.line(
            "threadpoolctl is not installed: threads are limited by environment variables of the "
            "child processes only, not in this process, and what BLAS makes of them is not recorded"
        )
    for peer in options.peers:
        if note := missing(peer):
            console.line(f"{note}: its rows stay empty")


def _train(document: dict[str, Any], console: Console) -> None:
    console.line(
        "\nHandwritten digits (UCI): a dense classifier 64-128-10, bp.value_and_grad and Adam"
    )

    def show(epoch: dict[str, Any]) -> None:
        console.line(
            f"  epoch {epoch['epoch']:2d}  loss {epoch['loss']:.4f}  "
            f"test accuracy {epoch['accuracy']:.1%}"
        )

    try:
        result = digits.train(show)
    except CheckError as error:
        document["failures"].append(f"digits: {error}")
        return
    document["digits"] = result
    document["seconds"][DIGITS] = result["seconds"]
    console.line(
        f"test accuracy {result['test_accuracy']:.1%} on {result['test_images']} images held out "
        f"(must exceed {digits.ACCURACY:.0%}), trained in {result['seconds']:.2f} s; "
        f"gradient agrees with the hand-written one to {result['gradient_error']:.0e}\n"
    )


def _measure(document: dict[str, Any], options: argparse.Namespace, console: Console) -> None:
    benchmarks = registry.select(options.suite)
    effort = _effort(options)
    steps = runner.steps(benchmarks, effort)
    if not steps:
        return
    with console.progress(steps) as progress:
        result = runner.run(benchmarks, effort, progress.step)
    document["rows"] = result.rows
    document["failures"] += result.failures
    document["notes"] = result.notes
    document["seconds"] |= result.seconds
    document["environment"]["versions"] |= result.peer_versions
    document["environment"]["pools"] = result.pools


if __name__ == "__main__":
    sys.exit(main())
