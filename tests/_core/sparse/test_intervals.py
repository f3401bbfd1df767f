"""The table of sets behind `sparsity.Sets`: equal sets are one, and its memory has a limit."""

import numpy as np
import pytest

from fastbp._core.intervals import Table
from fastbp._core.sparsity import Sets


def put(sets, *members):
    """Return the number of a set; those of single columns begin at 1."""
    return sets.rows(np.array([members], np.int32) + np.int32(1)).item()


def test_a_table_begins_with_the_empty_set_and_those_of_single_columns():
    for table in (Table(10), Sets(10)):
        assert (table.size, len(table)) == (10, 11)
    assert len(Sets(0)) == 1


def test_equal_sets_are_one_entry_however_they_are_made():
    sets = Sets(100)
    first = put(sets, 3, 4, 5)
    count = len(sets)
    assert put(sets, 5, 3, 4, 4) == first
    pair = put(sets, 3, 4)
    found = sets.union(np.array([pair], np.int32), np.array([5 + 1], np.int32))
    assert found.item() == first
    assert len(sets) == count + 1  # the pair


def test_neighbours_are_one_interval_and_take_no_more_room():
    """A run of any length is one interval: the limit is never met."""
    sets = Sets(100_000, 1 << 22)
    everything = sets.rows(np.arange(1, 100_001, dtype=np.int32)[None])
    assert len(sets.indices(everything.item())) == 100_000


def test_the_limit_is_on_bytes():
    sets = Sets(20_000, 1000)
    with pytest.raises(MemoryError, match="20000 columns need more than 1000 bytes"):
        put(sets, *range(0, 10_000, 2))


@pytest.mark.parametrize("size", [-1, 2**31 - 1])
def test_sizes_beyond_indices(size):
    with pytest.raises(ValueError, match=f"inputs of {size} elements"):
        Table(size)
