"""The cases whose instructions are counted can be called; valgrind itself need not be there."""

import json

import pytest

from fastbp.benchmarks import instructions


@pytest.mark.parametrize("case", instructions.CASES)
def test_a_case_can_be_called(case):
    assert instructions.main(["--run", case]) == 0


def test_budgets_are_of_cases_that_there_are():
    budgets = json.loads(instructions.BUDGETS.read_text())
    assert set(budgets) < set(instructions.CASES)
    assert instructions.REFERENCE in instructions.CASES


@pytest.mark.parametrize(("counted", "status"), [(1.0, 0), (1.04, 0), (1.06, 1)])
def test_more_than_a_budget_allows_is_an_error(monkeypatch, capsys, counted, status):
    budgets = json.loads(instructions.BUDGETS.read_text())
    first, *_ = budgets
    found = {case: 1e5 * budget for case, budget in budgets.items()}
    found |= {instructions.REFERENCE: 1e5, first: 1e5 * budgets[first] * counted}
    monkeypatch.setattr(instructions, "counts", lambda cases: {c: found[c] for c in cases})
    monkeypatch.setattr(instructions.shutil, "which", lambda name: name)
    assert instructions.main(["--check"]) == status
    assert capsys.readouterr().out.count("OVER") == status


def test_without_valgrind_budgets_are_not_checked(monkeypatch, capsys):
    monkeypatch.setattr(instructions.shutil, "which", lambda name: None)
    assert instructions.main(["--check"]) == 0
    assert "not checked" in capsys.readouterr().out
