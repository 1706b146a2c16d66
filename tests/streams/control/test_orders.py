"""Orders count as they rise; one that goes back must say so."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from freshet.schemas.models.manifest import Identity
from freshet.schemas.wire.messages import Settled
from freshet.streams.control.orders import MOST_AHEAD, OrderBook, ordered

DIGEST = "0" * 64


def order(
    number: int, snapshot: int | None = 1, lineage: str = "x", back: bool = False, model: str = "m"
) -> Settled:
    if snapshot is None:
        return Settled(model, number, 0, None, None, None, "")
    return Settled(model, number, 0, lineage, snapshot, DIGEST, "", back)


def test_only_rising_orders_count() -> None:
    book = OrderBook()
    assert [book.take(order(n)) == "" for n in (1, 2, 2, 1, 5, 4)] == [
        True,
        True,
        False,
        False,
        True,
        False,
    ]
    assert book.last("m") == 5
    assert book.take(order(1, model="other")) == ""


def test_an_earlier_snapshot_of_a_lineage_needs_an_order_that_goes_back() -> None:
    book = OrderBook()
    assert book.take(order(1, 7)) == ""
    assert (
        book.take(order(2, 5)) == "order 2 goes back from snapshot 7 to 5 of x, and does not say so"
    )
    assert book.take(order(2, 3, lineage="y")) == ""
    assert book.take(order(3, 5)) != "", "another lineage in between is no way back"
    assert book.take(order(3, 5, back=True)) == ""
    assert book.take(order(4, 6)) == "", "from where it went back to"


def test_one_order_cannot_use_up_all_numbers() -> None:
    book = OrderBook()
    assert book.take(order(3)) == ""
    assert "runs ahead" in book.take(order(4 + MOST_AHEAD))
    assert book.take(order(4)) == ""


def test_who_reads_a_log_that_was_cut_off_in_front_takes_its_first_order() -> None:
    assert OrderBook().take(order(7 * MOST_AHEAD)) == ""


def test_an_order_names_a_snapshot_or_none() -> None:
    assert ordered("app", order(1, 4)) == Identity("app", "m", "x", 4, DIGEST)
    assert ordered("app", order(1, None)) is None


orders = st.builds(
    order,
    st.integers(1, 9),
    st.none() | st.integers(0, 4),
    st.sampled_from("xy"),
    st.booleans(),
    st.sampled_from("mn"),
)


@given(st.lists(orders, max_size=20))
def test_whatever_was_said_the_next_order_of_release_counts(said: list[Settled]) -> None:
    book = OrderBook()
    for one in said:
        book.take(one)
    back = book.goes_back("m", "x", 2)
    assert book.take(order(book.last("m") + 1, 2, "x", back)) == ""
