import freshet as fr
from freshet.schemas.topics.topic import Topic
from freshet.serving.board.view_figures import past_columns, view_figures

VISIT = {
    "type": "record",
    "name": "visit",
    "fields": [{"name": "id", "type": "string"}, {"name": "at", "type": "long"}],
}
VISITS = Topic("visits", VISIT, event_id="id", event_time="at")
VIEW = fr.View("by_id", VISITS, key="id", features={"n": fr.count(over="1h")})
SETTINGS = {"visits": VISITS.freshness}


def test_rows_of_all_partitions_are_told_and_those_among_them_that_lie_on_disk() -> None:
    told = [{"keys": 5, "keys_on_disk": 3, "events": 9}, {"keys": 2, "events": 2}]
    figures = view_figures(VIEW, told, SETTINGS, 10, "view")
    assert (figures.rows, figures.on_disk, figures.events) == (7, 3, 11)


def test_of_a_view_that_told_nothing_nothing_is_known() -> None:
    figures = view_figures(VIEW, [], SETTINGS, None, "")
    assert (figures.rows, figures.on_disk, figures.events) == (None, 0, None)


def test_refused_rows_are_counted_and_one_of_them_named() -> None:
    told = [{"keys": 1}, {"keys": 1, "refused": 2, "refusal": "'k': too large"}]
    figures = view_figures(VIEW, told, SETTINGS, 10, "view")
    assert (figures.refused, figures.refusal) == (2, "'k': too large")


def test_a_view_tells_how_far_its_past_is_until_it_goes_on_from_that() -> None:
    built = {"state": "lagging", "records": 7, "waits_for": "intake of t"}
    waiting = [{"keys": 0, "waits_for_its_past": True}]
    past = view_figures(VIEW, waiting, SETTINGS, None, "view", built).past
    assert past is not None
    assert (past.state, past.records, past.waits_for) == ("lagging", 7, "intake of t")
    unheard = view_figures(VIEW, waiting, SETTINGS, None, "view").past
    assert unheard is not None
    assert unheard.state == "hydrating"
    assert view_figures(VIEW, [{"keys": 3}], SETTINGS, 10, "view", built).past is None


def test_columns_of_the_past_are_told_until_all_are_there() -> None:
    told = {"state": "hydrating", "columns": 3, "questions": 4_000, "questions_left": 9, "else": 1}
    found = past_columns([told])
    assert found is not None
    assert (found.state, found.columns, found.questions) == ("hydrating", 3, 4_000)
    assert (found.questions_left, found.seconds_left) == (9, None)
    assert past_columns([{**told, "state": "ready"}]) is None
    assert past_columns([]) is None
