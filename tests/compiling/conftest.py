"""Fixtures of tests that count instructions."""

import pytest


@pytest.fixture
def all_passes(monkeypatch):
    """Make plans with all passes, whatever FASTBP_PASSES says."""
    monkeypatch.delenv("FASTBP_PASSES", raising=False)
