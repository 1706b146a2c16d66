"""What of an app's logs lies in its archive: reading it below the live logs, for how long records
stay in those, and what is asked before they are shortened. A topic says how long by `keep=`.
What is made of it stays as long: of what several topics made, as long as the longest, and for
ever where one of them is kept whole. The logs of messages are always whole: whoever starts reads
all settings and decisions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

from freshet.app import App
from freshet.schemas.topics.topic import Topic
from freshet.schemas.wire.blocks import NO_TICK
from freshet.settings import Settings
from freshet.streams.archive.layout import (
    CLEAN,
    CONTROL,
    DEAD,
    EXAMPLES,
    FATES,
    OUTCOMES,
    SOURCE,
    STATISTICS,
)
from freshet.streams.archive.log import ArchivedLog
from freshet.streams.archive.stored import StoredArchive
from freshet.streams.archive.trimming import Rule
from freshet.streams.control.channels import Follower
from freshet.streams.log.contract import Log, TopicPartition
from freshet.streams.operators.ticks import Pace


def kept_ms(app: App) -> Mapping[str, int]:
    """By log, how long (ms) its records stay; those of other logs stay for ever."""
    topics: dict[str, Sequence[Topic]] = {app.log_of(topic.name): [topic] for topic in app.topics}
    topics |= {app.fates_log_of(topic): [topic] for topic in app.topics}
    topics |= {app.by_id_log_of(topic): [topic] for topic in app.topics if topic.by_id}
    topics |= {app.clean_log_of(view): view.topics for view in app.views}
    for model in app.models:
        both = [model.on, model.label.topic]
        topics |= {app.outcomes_log_of(model): both, app.examples_log_of(model): both}
    topics |= {app.dead_log: app.topics, app.statistics_log: app.topics}
    found = {}
    for log, of in topics.items():
        longest = _longest(of)
        if longest is not None:
            found[log] = longest
    return found


def _longest(topics: Iterable[Topic]) -> int | None:
    keeps = [topic.keep_ms for topic in topics]
    if None in keeps:
        return None
    return max(keep for keep in keeps if keep is not None)


def kinds(app: App) -> dict[str, str]:
    """The kind of each log that is archived, by its name."""
    found = {app.log_of(topic.name): SOURCE for topic in app.topics}
    found |= {app.fates_log_of(topic): FATES for topic in app.topics}
    found |= {app.outcomes_log_of(model): OUTCOMES for model in app.models}
    found |= {app.examples_log_of(model): EXAMPLES for model in app.models}
    found |= {app.dead_log: DEAD, app.statistics_log: STATISTICS, app.control_log: CONTROL}
    return found | dict.fromkeys(shortened_copies(app), CLEAN)


def shortened_copies(app: App) -> list[str]:
    """The logs that are made again of others, and archived all the same: they are shortened, and
    nothing is before it was copied."""
    made = [app.clean_log_of(view) for view in app.views]
    made += [app.by_id_log_of(topic) for topic in app.topics if topic.by_id]
    kept = kept_ms(app)
    return [log for log in made if log in kept]


def stored_archive(app: App, given: Settings) -> StoredArchive | None:
    """The app's archive; None where nothing is archived."""
    if given.archive_url is None:
        return None
    return StoredArchive(given.archive_url, given.checkpoints_url, app.name, kinds(app))


def over_archive(app: App, log: Log, given: Settings) -> Log:
    """The app's log, which goes on below its first records with what was archived of it."""
    archive = stored_archive(app, given)
    if archive is None:
        return log
    return ArchivedLog(log, archive)


def shortened(
    app: App,
    log: Log,
    inputs: Mapping[str, TopicPartition],
    kept_as: Callable[[str], str],
) -> list[Rule]:
    """Which logs are shortened once they are archived, and what is asked of each before: `inputs`
    says what each task reads, `kept_as` under which name it keeps its checkpoints. Of logs that
    others write nothing is deleted."""
    theirs = {topic.log for topic in app.topics if topic.log is not None and log.is_shared}
    # A learner that cannot be saved begins at the first example, in the archive, each time.
    unsaved = {
        f"train:{m.name}.{m.lineage(x)}:0"
        for m in app.models
        for x in m.learners
        if not getattr(x, "servable", True)
    }
    rules = []
    for name, keep_ms in kept_ms(app).items():
        tasks = {
            task.rpartition(":")[0]
            for task, (read, _) in inputs.items()
            if read == name and task not in unsaved
        }
        if name not in theirs:
            rules.append(Rule(name, keep_ms, partial(_of_partition, sorted(tasks), kept_as)))
    return rules


def _of_partition(tasks: Sequence[str], kept_as: Callable[[str], str], partition: int) -> list[str]:
    return [kept_as(f"{task}:{partition}") for task in tasks]


class AppClock:
    """The app's clock as intake tells it, read off the control log where a replay paces it."""

    def __init__(self, pace: Pace, control: Follower) -> None:
        self._pace = pace
        self._control = control

    def now_ms(self) -> int | None:
        """None: nobody has told the time yet."""
        for message in self._control.poll(0.0):
            self._pace.note(message)
        now_ms = self._pace.now_ms()
        return None if now_ms == NO_TICK else now_ms
