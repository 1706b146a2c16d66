from functools import cache

import polars as pl
import pytest

from freshet.demo.flights.data import (
    MINUTE_MS,
    START_MS,
    flights_of,
    load,
    weather_of,
)
from freshet.demo.flights.wire import TOPICS, EventType
from tests.freshet.demo.flights.altered_flights import with_labels_turned, with_outcome

YEAR = {"departures": 336_776, "takeoffs": 328_521, "arrivals": 327_346, "weather": 26_115}
TWO_MONTHS = {"departures": 51_955, "takeoffs": 50_173, "arrivals": 50_009, "weather": 4_236}
load_once = cache(load)


@pytest.mark.parametrize(("days", "counts"), [(365, YEAR), (59, TWO_MONTHS)])
def test_every_event_of_the_days_is_there_once_and_in_order(days, counts):
    for topic, frame in load_once(days).items():
        kind = EventType.load(topic)
        assert len(frame) == counts[topic]
        assert frame[kind.id].n_unique() == len(frame)
        assert frame.select(kind.time, kind.id).equals(
            frame.select(kind.time, kind.id).sort(kind.time, kind.id)
        )
        assert frame[kind.time][0] >= START_MS


def test_no_take_off_is_known_before_it_was_scheduled_and_no_label_before_the_take_off():
    frames = load_once(365)
    left = frames["takeoffs"].join(
        frames["departures"].select("flight_id", "scheduled_at"), on="flight_id"
    )
    assert len(left) == len(frames["takeoffs"])
    assert (left["took_off_at"] >= left["scheduled_at"]).all()
    early = left.filter(pl.col("dep_delay") < 0)
    assert (early["took_off_at"] == early["scheduled_at"]).all()
    late = left.filter(pl.col("dep_delay") >= 0)
    assert ((late["took_off_at"] - late["scheduled_at"]) == late["dep_delay"] * MINUTE_MS).all()
    down = frames["arrivals"].join(
        frames["takeoffs"].select("flight_id", "took_off_at"), on="flight_id"
    )
    assert len(down) == len(frames["arrivals"])
    assert (down["arrived_at"] > down["took_off_at"]).all()


def test_the_label_is_the_one_that_the_design_describes():
    late = load_once(365)["arrivals"]["arr_delay"] > 15
    assert late.mean() == pytest.approx(0.237, abs=0.001)


def test_an_arrival_is_known_after_departure_air_time_and_taxi():
    arrivals = load_once(59)["arrivals"].join(
        flights_of(59).select("flight_id", "scheduled_at"), on="flight_id"
    )
    minutes = arrivals["dep_delay"] + arrivals["air_time"] + 25
    assert (arrivals["arrived_at"] == arrivals["scheduled_at"] + minutes * MINUTE_MS).all()


def test_an_observation_is_known_51_minutes_after_its_truncated_hour():
    weather = weather_of(59)
    assert (weather["observed_at"] % (60 * MINUTE_MS) == 51 * MINUTE_MS).all()
    assert weather["observation_id"][0] == "EWR:2013-01-01T06:51Z"
    assert weather["observed_at"][0] == START_MS + 111 * MINUTE_MS


def test_only_flights_that_never_get_a_label_lack_a_tail_number():
    frames = load_once(365)
    assert frames["departures"]["tailnum"].null_count() == 2_512
    assert (
        frames["takeoffs"]["tailnum"].null_count()
        == frames["arrivals"]["tailnum"].null_count()
        == 0
    )


def test_times_are_utc_and_calendar_fields_are_local():
    first = load_once(59)["departures"].row(0, named=True)
    assert first["flight_id"] == "2013-01-01:UA:1545:EWR:0515"
    assert first["scheduled_at"] == START_MS + (5 * 60 + 15) * MINUTE_MS
    assert (first["hour"], first["weekday"], first["month"], first["day"]) == (5, 1, 1, 1)
    summer = load_once(365)["departures"].filter(pl.col("month") == 7)
    hour = (pl.col("scheduled_at") // (60 * MINUTE_MS) - 4) % 24
    assert summer.select((hour == pl.col("hour")).all()).item()


def test_what_departures_say_is_not_touched_by_any_outcome():
    outcome = {"dep_delay": None, "arr_delay": None, "air_time": None}
    altered = load(
        2,
        lambda flights: flights.with_columns(
            pl.lit(v, pl.Float64).alias(k) for k, v in outcome.items()
        ),
    )
    assert altered["departures"].equals(load(2)["departures"])
    assert not len(altered["takeoffs"])
    assert not len(altered["arrivals"])
    assert not {"dep_delay", "arr_delay", "air_time"} & set(EventType.load("departures").fields)


def test_an_altered_flight_leaves_all_others_as_they_were():
    me = "2013-01-01:UA:1545:EWR:0515"
    altered, plain = load(2, with_outcome(me, dep_delay=600.0, arr_delay=590.0)), load(2)
    for topic in TOPICS:
        assert len(altered[topic]) == len(plain[topic])
        if topic != "weather":
            others = pl.col("flight_id") != me
            assert altered[topic].filter(others).equals(plain[topic].filter(others))
    assert altered["arrivals"].filter(pl.col("flight_id") == me)["arr_delay"].item() == 590.0


def test_turned_labels_change_nothing_before_their_time():
    noon = START_MS + 12 * 60 * MINUTE_MS
    turned, plain = load(2, with_labels_turned(noon)), load(2)
    assert turned["takeoffs"].equals(plain["takeoffs"])
    both = turned["arrivals"].join(plain["arrivals"], on="flight_id", suffix="_was")
    assert (both["arrived_at"] == both["arrived_at_was"]).all()
    same = (both["arr_delay"] > 15) == (both["arr_delay_was"] > 15)
    assert (same == (both["arrived_at"] < noon)).all()
