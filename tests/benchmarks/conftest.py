"""The benchmarks are a package only where fastbp is installed (an editable install will do)."""

import pytest

pytest.importorskip(
    "fastbp.benchmarks", reason="fastbp.benchmarks exists only once fastbp is installed"
)
