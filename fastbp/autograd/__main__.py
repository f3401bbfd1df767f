"""``python -m fastbp.autograd script.py``: run a program with fastbp in the place of autograd.

``python -m fastbp.autograd -m module args`` and ``-c code args`` run modules and code.
"""

from __future__ import annotations

import os
import runpy
import sys

from fastbp.autograd import install

__all__ = ["main"]

USAGE = "usage: python -m fastbp.autograd (script.py | -m module | -c code) [args]"


def main(argv: list[str]) -> None:
    """Run what the command line names."""
    if argv and argv[0] in ("-h", "--help"):
        print(f"{USAGE}\n\n{__doc__}")
        return
    if not argv or (argv[0] in ("-m", "-c") and len(argv) == 1):
        raise SystemExit(USAGE)
    if argv[0] not in ("-m", "-c") and not os.path.exists(argv[0]):
        raise SystemExit(f"fastbp.autograd: there is no file {argv[0]}\n{USAGE}")
    install()
    here = sys.path[0]  # `-m` has put the current directory there
    if argv[0] == "-m":
        sys.argv = argv[1:]
        runpy.run_module(argv[1], run_name="__main__", alter_sys=True)
    elif argv[0] == "-c":
        sys.argv = ["-c", *argv[2:]]
        exec(compile(argv[1], "<string>", "exec"), {"__name__": "__main__"})
    else:
        sys.argv = argv
        if not sys.flags.safe_path:
            sys.path[0] = os.path.dirname(os.path.abspath(argv[0])) if here else here
        runpy.run_path(argv[0], run_name="__main__")


if __name__ == "__main__":
    main(sys.argv[1:])
