"""What else the machine did: accounts that are made up, and the real ones where there are any."""

import os
import sys
import time

import pytest

from fastbp.benchmarks import load
from fastbp.benchmarks.load import Moment, Process

ME = os.getpid()


def moment(time, mine, child, others, busy, stolen=0.0):
    processes = {
        (ME, 1): Process(0, "python", mine),
        (ME + 1, 2): Process(ME, "python", child),
        (ME + 2, 3): Process(ME + 1, "git", 0.0),
    }
    processes |= {(7 + 10**7, i): Process(1, name, s) for i, (name, s) in enumerate(others)}
    return Moment(time, 3.2, processes, busy, stolen)


@pytest.fixture(autouse=True)
def two_cpus(monkeypatch):
    monkeypatch.setattr(load, "cpus", lambda: 2)


def test_others_are_all_that_is_not_ours():
    before = moment(0.0, 1.0, 1.0, [("cc1", 5.0), ("idle", 9.0)], busy=100.0)
    after = moment(2.0, 1.5, 2.0, [("cc1", 6.5), ("idle", 9.0), ("new", 0.4)], busy=104.0)
    found = load.between(before, after)
    assert found["others"] == pytest.approx(1.25)  # (4 - 1.5) / 2: also who came and went
    assert found["programs"] == ["cc1", "new"]
    assert load.describe(found) == "other programs used 1.2 of 2 CPUs (cc1, new), load average 3.2"
    assert not load.is_quiet(found)


def test_a_quiet_machine():
    before = moment(0.0, 1.0, 1.0, [], busy=100.0)
    found = load.between(before, moment(2.0, 2.0, 2.0, [], busy=102.1))
    assert load.is_quiet(found)
    assert found["programs"] == []


def test_what_a_hypervisor_takes_is_named():
    before = moment(0.0, 1.0, 1.0, [], busy=100.0)
    found = load.between(before, moment(2.0, 2.0, 2.0, [], busy=102.0, stolen=0.4))
    assert not load.is_quiet(found)
    assert "the hypervisor took 10% of their time" in load.describe(found)


def test_without_accounts_there_is_the_load_average():
    found = load.between(Moment(0.0, 2.5), Moment(1.0, 3.0))
    assert found["others"] == 2.0  # one of three is ours
    assert not load.is_quiet(found)
    found = load.between(Moment(0.0), Moment(1.0))
    assert load.is_quiet(found)
    assert load.describe(found) == "this system does not tell what else ran"


def test_the_busiest_of_several():
    quiet, busy = ({"others": x, "stolen": None} for x in (0.1, 1.0))
    assert load.worst([quiet, busy, quiet]) is busy


def test_involuntary_switches_stand_in_for_the_kernels_account(monkeypatch, tmp_path):
    pytest.importorskip("resource")
    monkeypatch.setattr(load, "TASKS", tmp_path / "missing")
    found = load.waited()
    assert found.main == 0.0  # it is not known whose they were
    assert found.others >= 0.0
    monkeypatch.setattr(load, "resource", None)
    assert load.waited() == (0.0, 0.0, 0.0)


def test_the_main_thread_is_told_from_the_others(monkeypatch, tmp_path):
    for task, delay in ((ME, 2_000_000), (ME + 1, 3_000_000), (ME + 2, 4_000_000)):
        (tmp_path / str(task)).mkdir()
        (tmp_path / str(task) / "schedstat").write_text(f"123456 {delay} 7\n")
    monkeypatch.setattr(load, "TASKS", tmp_path)
    assert load.waited() == pytest.approx((2e-3, 7e-3, 246912e-9))


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_accounts_of_this_machine():
    before = Moment.now()
    if before.processes is None:
        pytest.skip("this system does not tell")
    start = time.process_time()
    while time.process_time() < start + 0.1:
        pass
    after = Moment.now()
    key = next(key for key in after.processes if key[0] == ME)
    assert after.processes[key].seconds >= before.processes[key].seconds + 0.05
    assert after.busy >= before.busy
    assert load.between(before, after)["others"] >= 0.0
