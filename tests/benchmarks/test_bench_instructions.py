"""The cases whose instructions are counted can be called; valgrind itself need not be there."""

import pytest

from fastbp.benchmarks import instructions


@pytest.mark.parametrize("case", instructions.CASES)
def test_a_case_can_be_called(case):
    assert instructions.main(["--calls", "3", case]) == 0
