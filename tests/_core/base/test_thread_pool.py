"""The pool of threads by itself under ThreadSanitizer: a program in C, thread_pool_driver.c."""

import os
import pathlib
import shutil
import subprocess
import sys

import pytest

HERE = pathlib.Path(__file__).resolve().parent
SOURCES = HERE.parents[2] / "src_cy" / "base"
POOL = SOURCES / "thread_pool.c"

pytestmark = [
    pytest.mark.skipif(
        not sys.platform.startswith("linux") or shutil.which("gcc") is None or not POOL.exists(),
        reason="needs gcc, Linux and the sources",
    ),
    pytest.mark.thread_unsafe(reason="compiles and runs a program with threads of its own"),
]


def built(path, pool):
    """Return the driver with a pool, or skip where there is no ThreadSanitizer."""
    program = path / "driver"
    flags = "-std=c11 -D_GNU_SOURCE -O1 -g -fsanitize=thread -Wall -Werror -pthread".split()
    command = ["gcc", *flags, f"-I{SOURCES}", HERE / "thread_pool_driver.c", pool, "-lm"]
    made = subprocess.run([*command, "-o", program], capture_output=True, text=True, check=False)
    if "tsan" in made.stderr:
        pytest.skip("gcc has no ThreadSanitizer")
    assert made.returncode == 0, made.stderr
    return program


def ran(program):
    # Children of fork() start threads of their own.
    settings = "die_after_fork=0 halt_on_error=1"
    environment = os.environ | {"TSAN_OPTIONS": settings}
    done = subprocess.run(
        [program, "1000"], env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    if "unexpected memory mapping" in done.stderr:
        pytest.skip("ThreadSanitizer does not run with this kernel's address layout")
    return done


def test_no_races(tmp_path):
    done = ran(built(tmp_path, POOL))
    assert (done.stdout, done.returncode) == ("right\n", 0), done.stderr


def test_a_race_is_found(tmp_path):
    text, atomic = POOL.read_text(), "__atomic_fetch_add(&pool.next, 1, __ATOMIC_RELAXED)"
    assert text.count(atomic) == 1
    broken = tmp_path / "thread_pool.c"
    broken.write_text(text.replace(atomic, "pool.next++"))
    done = ran(built(tmp_path, broken))
    assert "data race" in done.stderr
    assert done.returncode != 0
