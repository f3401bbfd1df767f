"""Tables by the kinds of two operands."""

from fastbp.pairs import ANY, Pairs


def test_particular_rows_go_first_and_older_ones_before_younger():
    table = Pairs()
    table.enter(ANY, ANY, "last")
    table.enter(ANY, "b", "right")
    table.enter("a", ANY, "left")
    table.enter("a", "b", "old")
    table.enter("a", "b", "young")
    assert list(table.rows("a", "b")) == ["old", "young", "left", "right", "last"]
    assert list(table.rows("a", "c")) == ["left", "last"]
    assert list(table.rows("c", "c")) == ["last"]


def test_a_table_without_rows():
    assert list(Pairs().rows("a", "b")) == []
