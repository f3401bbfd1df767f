"""The same programs with autograd itself and with fastbp's names for it.

Skipped where autograd is not installed. Each runs in a process of its own, since `install` refuses
to stand beside the other.
"""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

PROGRAMS = Path(__file__).with_name("peer_programs.py")


def results(name):
    command = [sys.executable, str(PROGRAMS), name]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(found.stdout)


def differences(ours, theirs):
    """Return what differs: name -> both results."""
    return {
        name: (ours[name], theirs[name])
        for name in theirs
        if not isinstance(theirs[name], str) and not _same(ours[name], theirs[name])
    }


def _same(a, b):
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(_same(a[k], b[k]) for k in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(_same, a, b))
    numbers = (int, float)
    if not isinstance(a, numbers) or not isinstance(b, numbers):
        return False
    return bool(np.isclose(a, b, rtol=1e-9, atol=1e-11, equal_nan=True))


def test_our_programs_run():
    ours = results("fastbp.autograd")
    assert [name for name, found in ours.items() if isinstance(found, str)] == []


@pytest.mark.skipif(importlib.util.find_spec("autograd") is None, reason="autograd is missing")
def test_what_autograd_computes_we_compute():
    assert differences(results("fastbp.autograd"), results("autograd")) == {}
