"""A run's past as frames: what happened, what was asked and answered, and what came of it."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from freshet.past.moments import Moment, ms_of
from freshet.runs.opened import opened
from freshet.schemas.errors import RequestError

if TYPE_CHECKING:
    import polars as pl

    from freshet.app import App
    from freshet.learners.model import Model


class RecordedRun:
    """A run as its logs and its archive have it, as Polars frames; a context manager. It may go on
    meanwhile, or have ended; reading it changes nothing.

    What a shortened log has forgotten is read from the archive. All moments are of the app's clock,
    `Datetime("ms", "UTC")`. `fr.open_run` makes one.

    Args:
        run_dir: The folder of the run, or its URL.

    Attributes:
        app: The app that ran.

    Raises:
        ComponentError: none was ever started there, or its log is gone.
        DefinitionError: its app's file is wrong by now.
    """

    def __init__(self, run_dir: str | Path) -> None:
        with ExitStack() as stack:
            self._run = stack.enter_context(opened(run_dir))
            self._open_until = stack.pop_all()
        self.app: App = self._run.app

    def examples(
        self,
        model: str | None = None,
        since: Moment | None = None,
        until: Moment | None = None,
        as_of: Moment | None = None,
    ) -> pl.DataFrame:
        """What a model was asked, with every feature as of the question, and what became of it.

        Args:
            model: Its name. None: the app's only one.
            since: The first moment of a question. None: all from the beginning on.
            until: The moment before which questions are. None: all to the end.
            as_of: What was known then. Whatever was appended later, to any log, changes no row. An
                event was appended when its record was; a question, when it was asked. None: what
                is known now.

        Returns:
            A row for each question, in the order in which they were logged. `id` text; `asked_at`
            moment; `fate` one of `open` (its label may come yet), `labelled`, `expired` (no label
            came in time), `corrected` (one came after that), `conflicted` (another question of
            that id said something else); `label` Float64; `labelled_at` the label's event time;
            `expired_at` moment; `saw_future` whether the label was not later than the question,
            which is not learned then; `known_at` the tick from which on the label could be learned,
            and `answer` Int64, which rises in the order in which trainers learn; `probability`
            Float64, `rung`, `lineage` and `snapshot` of the answer that was given; `model_lag` and
            `value_age` duration; `vector` says `served`: what follows was logged with the answer,
            or `served in part` where some of the features came to be read only later, and were
            not; `feature.<name>` for each feature that any of its learners reads, texts of
            categories and Float32 of numbers. What is not there is null.

        Raises:
            RequestError: there is no such model, or a moment is none.
            LogError: a log cannot be read.
        """
        from freshet.past.as_of import joined_as_of
        from freshet.past.examples import frame_of
        from freshet.past.own_logs import blocks_of

        wanted = model_of(self.app, model)
        if as_of is None:
            told = blocks_of(self._run.log, self.app.examples_log_of(wanted))
        else:
            told = joined_as_of(self._run, wanted, ms_of("as_of", as_of))
        return _between(
            frame_of(wanted, told),
            "asked_at",
            since,
            until,
        )

    def reconstructed(
        self,
        file: str | Path,
        model: str | None = None,
        since: Moment | None = None,
        until: Moment | None = None,
        as_of: Moment | None = None,
    ) -> pl.DataFrame:
        """Examples of a model that need never have run: its features as of each question, computed
        of this run's log and archive by the code that views and scorers run.

        The questions are those that a model of the run with the same requests was asked (of the
        same name, or else any); where there is none, each event of its topic that was taken, as of
        when it was appended. A row of a view holds all that was appended before the question. Over
        topics of one partition, and where definitions are the same, values are those that were
        served, bit for bit; over several, records are put in the order of their append times. What
        is filled by events before is filled by those since the topic began.

        Args:
            file: A Python file that declares one app; its topics are those of the run that have
                the same names, read as the file declares them.
            model: The model's name in it. None: its only one.
            since: The first moment of a question. None: all from the beginning on.
            until: The moment before which questions are. None: all to the end.
            as_of: As `examples` has it. None: what is known now.

        Returns:
            A row for each question, in the order of its moment, with the columns of `examples`:
            `vector` says `reconstructed`. `probability` to `value_age` are what was answered then,
            and not there where nothing was. Fields of a request that were no feature of the model
            that was asked are null, and so are the features of views keyed by one. A label that is
            declared otherwise than the run's is found anew: time goes by append times then, in
            place of intake's ticks.

        Raises:
            DefinitionError: the file declares no app that is sound.
            RequestError: there is no such model, the run has no such topic, or a moment is none.
            LogError: a log cannot be read.
        """
        from freshet.app import load
        from freshet.reconstructed.examples import reconstructed

        app = load(file)
        as_of_ms = None if as_of is None else ms_of("as_of", as_of)
        frame = reconstructed(
            self._run,
            app,
            model_of(app, model),
            as_of_ms,
        )
        return _between(frame, "asked_at", since, until)

    def predictions(
        self,
        model: str | None = None,
        since: Moment | None = None,
        until: Moment | None = None,
    ) -> pl.DataFrame:
        """Every answer that a model gave, also to a question that was asked again.

        Args:
            model: Its name. None: the app's only one.
            since: The first moment of a question. None: all from the beginning on.
            until: The moment before which questions are. None: all to the end.

        Returns:
            A row for each answer, in the order of the log: `id`, `asked_at`, `probability`,
            `rung`, `lineage`, `snapshot`, `model_lag`, `value_age` and `feature.<name>` as
            `examples` has them; `instance` text, the scorer that gave it, and `sequence` Int64,
            its own count of them; `offset` Int64, that of the record in the outcomes log.

        Raises:
            RequestError: there is no such model, or a moment is none.
            LogError: the log cannot be read.
        """
        from freshet.past.predictions import frame_of

        return _between(
            frame_of(self._run, model_of(self.app, model)),
            "asked_at",
            since,
            until,
        )

    def events(self, topic: str) -> pl.LazyFrame:
        """The events of a topic as they came, each with what became of it.

        A fate depends on all that came before it: the topic is settled once more, as intake did,
        from its first record on. So all of it is read, batch by batch, when the frame is collected;
        of the values those columns alone that are asked for.

        Args:
            topic: Its name.

        Returns:
            A row for each event, partition after partition in the order of the log. `partition`
            Int32 and `offset` Int64 of its record; `index` Int32, its place in that where it is
            several events; `appended_at` moment; `event_at` moment, null where it has none that is
            sound; `fate` as `freshet.audit` and the status count them (`applied`, `deduplicated`,
            `dropped:…`, `dead:…`); `event.<field>` for each field of the schema, decoded by the
            schema that the record was written by, before imputes.

        Raises:
            RequestError: there is no such topic. When it is collected a `LogError` where the log
                cannot be read.
        """
        from freshet.past.events import lazy_frame_of

        names = [known.name for known in self.app.topics]
        if topic not in names:
            raise RequestError(
                f"topic {topic!r}",
                f"is none of app {self.app.name}",
                f"Its topics are {', '.join(names)}.",
            )
        return lazy_frame_of(self._run, self.app.topic(topic))

    def close(self) -> None:
        """Let go of its log. Lazy frames cannot be collected any more."""
        self._open_until.close()

    def __enter__(self) -> RecordedRun:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def open_run(run_dir: str | Path = ".freshet/run") -> RecordedRun:
    """Open the past of a run, for reading.

    Args:
        run_dir: The folder of the run, or its URL.

    Returns:
        What happened in it, as frames; a context manager, or to be closed by `close()`.

    Raises:
        ComponentError: none was ever started there, or its log is gone.
        DefinitionError: its app's file is wrong by now.

    Examples:
        >>> import freshet as fr
        >>> fr.open_run("no/such/folder")  # the folder of a run gives its frames
        Traceback (most recent call last):
        freshet.schemas.errors.ComponentError: freshet run in no/such/folder: there is none. \
Start one with freshet run APP.py, or name its folder with --run-dir.
    """
    return RecordedRun(run_dir)


def model_of(app: App, name: str | None) -> Model:
    """The model of that name; the only one, where none is named.

    Raises:
        RequestError: there is no such model.
    """
    names = [known.name for known in app.models]
    if name is None and len(names) == 1:
        return app.models[0]
    if name is None:
        raise RequestError(
            f"app {app.name}",
            f"has {len(names)} models, and none was named",
            f"Name one: {', '.join(names)}." if names else "Declare one in models=[…].",
        )
    if name not in names:
        raise RequestError(
            f"model {name!r}", f"is none of app {app.name}", f"Its models are {', '.join(names)}."
        )
    return app.model(name)


def _between(
    frame: pl.DataFrame, column: str, since: Moment | None, until: Moment | None
) -> pl.DataFrame:
    import polars as pl

    from freshet.past.columns import TIME

    if since is not None:
        frame = frame.filter(pl.col(column) >= pl.lit(ms_of("since", since)).cast(TIME))
    if until is not None:
        frame = frame.filter(pl.col(column) < pl.lit(ms_of("until", until)).cast(TIME))
    return frame
