"""The settings: one frozen struct, defaults and ranges in the types.

Every number is finite and bounded, and every text can be shown, stored and read back.
"""

import math
import re
from collections.abc import Mapping
from reprlib import repr as shortened
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from state.durations import Duration
from state.events import TimeUnit
from state.log import MOST_PARTITIONS, LogError
from state.plain_text import is_plain_line
from state.topics import TOPICS

_D = Duration.parse
Share = Annotated[float, Meta(gt=0, lt=1)]
ErrorRate = Annotated[float, Meta(ge=1e-9, le=1 - 1e-9)]
"""A share so far from 0 and 1 that a number of labels exists that can prove it."""
Price = Annotated[float, Meta(ge=0, le=1e12)]
_MOST_MARGIN = 50.0
"""Larger than the difference of any two mean log-losses, which are at most -log(1e-15)."""
_MOST_MODELS = 1_000
_MOST_RIVERS = 32
_MOST_ROWS = 10**12
_MOST_TEXT = 1_000
_MOST_FREE_TEXT = 100_000
_LONGEST_WAIT = _D("1d")
_LONGEST_COMMIT = _D("10s")
_DECIDING = (
    "online.", "decision.threshold", "clock.", "metrics.every", "training.", "promotion.", "drift.",
    "alerts", "columns.",
)  # fmt: skip
_LATER = {"alerts": {}, "training.search": "grid"}
"""Settings that earlier versions lacked, as they then were: so they are journaled."""
_ELSEWHERE = {"training.wait", "training.trainer"}


class _Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the settings file."""


class Training(_Part, frozen=True):
    """Schedule and data of the offline model's refits.

    Attributes:
        every: Time between boundaries; while the log is younger than twice that, they are closer.
        wait: Hold at each boundary until its fit has ended, so that a run repeats exactly; false
            goes on and takes the model when it comes.
        trainer: `embedded` in the main flow, or `external` (`flows.train`).
        window: Longest time before the boundary whose rows a fit uses.
        windows: Number of window lengths that the search tries: 1 is the whole window, 2 also a
            quarter of it, 3 also a sixteenth.
        validation: Longest slice of newest rows on which candidates are judged; it is never more
            than a fifth of the rows.
        algorithm: The algorithm's name in H2O.
        models: Number of candidates beside the last winner, with other windows and parameters;
            with `tpe`, of fits that a search may take as long as, beside the last winner's.
        search: Source of the parameters to try: `grid` draws them by the seed, `tpe` proposes them
            by what earlier fits found; it needs the extra `search`.
        seed: Seed of all random numbers of a fit.
        min_rows: A fit with fewer rows is skipped.
        margin: A challenger is promoted if its log-loss is lower than the champion's by at least
            this, or if 1.64 standard errors could explain that it is not; negative values allow
            a higher log-loss.
        refit: Fit the winner once more on all rows, the newest slice included.
        pinned: Id of a model to use from the next boundary on, without any fits; empty: none.
    """

    every: Duration = _D("7d")
    wait: bool = True
    trainer: Literal["embedded", "external"] = "embedded"
    window: Duration = _D("90d")
    windows: Annotated[int, Meta(ge=1, le=3)] = 1
    validation: Duration = _D("3d")
    algorithm: str = "gbm"
    models: Annotated[int, Meta(ge=1, le=_MOST_MODELS)] = 1
    search: Literal["grid", "tpe"] = "grid"
    seed: Annotated[int, Meta(ge=0, le=2**63 - 1)] = 1
    min_rows: Annotated[int, Meta(ge=1, le=_MOST_ROWS)] = 2_000
    margin: Annotated[float, Meta(ge=-_MOST_MARGIN, le=_MOST_MARGIN)] = 0.0
    refit: bool = True
    pinned: str = ""


class Online(_Part, frozen=True):
    """The learners.

    Attributes:
        river: River classifiers that join the bank's own learners, such as
            `[{class = "tree.HoeffdingTreeClassifier", grace_period = 100}]`.
    """

    river: Annotated[tuple[dict[str, Any], ...], Meta(max_length=_MOST_RIVERS)] = ()


class Decision(_Part, frozen=True):
    """The decision threshold, and the costs of wrong decisions.

    Attributes:
        threshold: Probability from which `decision` is true.
        false_positive: Cost of a true `decision` on a request whose label is 0.
        false_negative: Cost of a false one if the label is 1.
    """

    threshold: Share = 0.5
    false_positive: Price = 1.0
    false_negative: Price = 1.0


class Risk(_Part, frozen=True):
    """Accepted error rates of trusted decisions.

    Attributes:
        false_positives: Largest share of the requests with label 0 that may be acted on.
        false_negatives: Largest share of the requests with label 1 that may be missed.
        confidence: Confidence of each of these two limits.
    """

    false_positives: ErrorRate = 0.1
    false_negatives: ErrorRate = 0.2
    confidence: Annotated[float, Meta(ge=0.5, le=1 - 1e-9)] = 0.95


class Drift(_Part, frozen=True):
    """The detection of a model that has become wrong.

    Attributes:
        false_alarms: Least mean event time between two false alarms.
        rest: Least time between two alarms, and between two boundaries that they ask for.
    """

    false_alarms: Duration = _D("365d")
    rest: Duration = _D("1d")


class Promotion(_Part, frozen=True):
    """The title of champion, which an offline model gets by evidence on live labels.

    Attributes:
        alpha: Probability at most of the title for a model that is not better, and of its loss by
            one that is not worse.
        undecided: Model that has the title, and answers beside the next one, if that comes before
            the evidence is in: the `newer` or the `older` of the two.
        watch: Number of labels of a partition for which the former champion at least answers on
            after a promotion: it takes the title back if it turns out to be better.
    """

    alpha: Share = 0.05
    undecided: Literal["newer", "older"] = "newer"
    watch: Annotated[int, Meta(ge=0, le=10**12)] = 2_000


class Clock(_Part, frozen=True):
    """The clock guard.

    Attributes:
        tolerance: An event further than this ahead of its append time is quarantined.
        span: Length of the spans in which each source's least lag is recorded.
        notice: A source ahead by more than this is reported once per span.
    """

    tolerance: Duration = _D("5m")
    span: Duration = _D("1h")
    notice: Duration = _D("1s")


class MetricsSettings(_Part, frozen=True):
    """Intervals of metrics.

    Attributes:
        every: Time between two metrics records of a partition.
        windows: Lengths of the periods (event time) that `headwater scorecard` shows.
    """

    every: Duration = _D("1h")
    windows: Annotated[tuple[Duration, ...], Meta(min_length=1, max_length=20)] = (
        _D("1h"),
        _D("24h"),
        _D("7d"),
    )


class ColumnSettings(_Part, frozen=True):
    """The comparison of live columns with the training window.

    Attributes:
        season: Time that a training window must hold before columns are compared with it, as data
            change by hour and weekday; up to a tenth may be missing.
    """

    season: Duration = _D("7d")


AlertMetric = Literal[
    "auc", "f1", "f2", "accuracy", "precision", "recall", "log_loss", "brier", "ece",
    "estimate_error",
]  # fmt: skip


class AlertLine(_Part, frozen=True):
    """The line that a metric must keep to; it has one of `below` and `above`.

    Attributes:
        below: An alert is written if the metric is below this.
        above: An alert is written if it is above this.
        window: Length in event time over which the metric is taken.
    """

    below: float | None = None
    above: float | None = None
    window: Duration = _D("24h")

    def __post_init__(self) -> None:
        """Refuse a line without a side, or with two.

        Raises:
            ValueError: Neither `below` nor `above` is set, or both are.
        """
        if (self.below is None) == (self.above is None):
            got = "neither" if self.below is None else "both"
            msg = f"alerts must have `below` or `above`; got {got}"
            raise ValueError(msg)

    @property
    def line(self) -> float:
        """The line itself."""
        line = self.above if self.below is None else self.below
        assert line is not None
        return line

    @property
    def text(self) -> str:
        """The side and the line.

        Example:
            >>> AlertLine(above=0.5).text
            'above 0.5'
        """
        return f"{'above' if self.below is None else 'below'} {self.line:g}"

    def is_beyond(self, value: float) -> bool:
        """Whether a value is on the wrong side.

        Example:
            >>> [AlertLine(below=0.75).is_beyond(value) for value in (0.7, 0.75, 0.8)]
            [True, False, False]
        """
        return value > self.line if self.below is None else value < self.line


class Checkpoints(_Part, frozen=True):
    """The shards' checkpoints.

    Attributes:
        every: Wall time between two checkpoints of a partition.
        store: Store for copies, for machines without the home, in pyarrow's syntax, such as
            `s3://bucket/checkpoints`; one store per log. Empty: checkpoints stay in the home.
        trusted: Copies need no signature, as nobody else can write to the store.
    """

    every: Duration = _D("5s")
    store: str = ""
    trusted: bool = False


_MOST_PORT = 65_535
_H2O_URL = r"https?://(?:[\w-]{1,63}\.)*[\w-]{1,63}:(?P<port>\d{1,5})(?:/[\w-]+)*/?"
"""All that H2O's own client takes."""


class H2O(_Part, frozen=True):
    """The H2O cluster.

    Attributes:
        url: Address of a running cluster; empty: start a child process.
        memory: Heap of the child.
    """

    url: str = ""
    memory: str = "2g"

    def __post_init__(self) -> None:
        """Refuse values that H2O's client or Java would not accept."""
        url = re.fullmatch(_H2O_URL, self.url, re.ASCII)
        if self.url and (url is None or int(url["port"]) > _MOST_PORT):
            got = "one with a user or a password" if "@" in self.url else shortened(self.url)
            msg = f"h2o.url must be like 'http://host:54321'; got {got}"
            raise ValueError(msg)
        if not re.fullmatch(r"[1-9][0-9]{0,11}[kKmMgGtT]?", self.memory):
            msg = f"h2o.memory must be like '512m' or '2g'; got {shortened(self.memory)}"
            raise ValueError(msg)


class ReadSettings(_Part, frozen=True):
    """Limits on reading the log.

    Attributes:
        batch: Most records in one step.
        in_flight: Most bytes between reader and sinks, for each partition.
    """

    batch: Annotated[int, Meta(ge=1, le=1_000_000)] = 1_000
    in_flight: Annotated[int, Meta(ge=1, le=2**40)] = 64 * 2**20


_SECRETS = (".password", ".secret", ".passphrase", ".key.pem", "oauthbearer.config", "jaas.config",
            "auth.user.info", "auth.token")  # fmt: skip
"""Ends of the names of secret options, of librdkafka and the registry client."""


def _check_wait(name: str, wait: Duration) -> None:
    if wait > _LONGEST_WAIT:
        msg = f"{name} must be at most {_LONGEST_WAIT}; got {wait}"
        raise ValueError(msg)


def _check_secrets(where: str, options: dict[str, str | int | float | bool]) -> None:
    for name, value in options.items():
        if name.endswith(_SECRETS) and not str(value).startswith("env:"):
            msg = (
                f"{name} must name a variable, such as 'env:KAFKA_SECRET'; "
                f"got the secret itself in {where}"
            )
            raise ValueError(msg)


def _check_registry(addresses: str) -> None:
    """Refuse what is no address, and a password in it."""
    for address in addresses.split(",") if addresses else ():
        try:
            url = urlsplit(address.strip())
        except ValueError:
            url = urlsplit("")
        if url.username is not None or url.password is not None:
            msg = (
                "kafka.schema_registry must name no user or password; got one for "
                f"{url.hostname!r}: kafka.schema_registry_options take them from the environment"
            )
            raise ValueError(msg)
        if url.scheme not in {"http", "https"} or not url.hostname:
            msg = f"kafka.schema_registry must be like 'http://host:8081'; got {address!r}"
            raise ValueError(msg)


class Scoring(_Part, frozen=True):
    """The in-process scorer.

    Attributes:
        shadow: Number of requests of a partition, after a new model's activation, that the previous
            model still answers while the new one is only compared.
        staleness: Lag behind the log beyond which it refuses to answer; none: it always answers.
    """

    shadow: Annotated[int, Meta(ge=0, le=10**9)] = 0
    staleness: Duration | None = None


class Serve(_Part, frozen=True):
    """Scoring over HTTP.

    Attributes:
        host: Address to listen on; any address but loopback needs a token.
        port: Port; 0: any free one.
        body: Most bytes of a request's body.
        batch: Most requests in one batch.
        concurrent: Most requests in flight, counted once their bodies have come.
        timeout: Time limit for a request's head, for its body, and for the answer to a batch.
        drain: Time after SIGTERM for which it still answers, while it is not ready.
    """

    host: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=_MOST_PORT)] = 8080
    body: Annotated[int, Meta(ge=1, le=2**30)] = 2**20
    batch: Annotated[int, Meta(ge=1, le=1_000_000)] = 1_000
    concurrent: Annotated[int, Meta(ge=1, le=100_000)] = 64
    timeout: Duration = _D("10s")
    drain: Duration = _D("5s")

    def __post_init__(self) -> None:
        """Refuse limits of more than a day."""
        _check_wait("serve.timeout", self.timeout)
        _check_wait("serve.drain", self.drain)


_ENDS = tuple(name for name, topic in TOPICS.items() if topic.is_end)

_CHECKPOINTS_KEPT = 20
"""Retention spares records since this many checkpoints: a killed run repeats and compares them."""


class Kafka(_Part, frozen=True):
    """The Kafka cluster, for `log = "kafka"`.

    Attributes:
        bootstrap: `host:port`; several are separated by commas.
        prefix: Prefix of the names of topics and writers.
        replication: Copies of each record in the topics that Headwater creates.
        retention: Age at which records are deleted, by topic; only for topics from which nothing is
            derived.
        format: Encoding of the values; it can change at any time.
        commit: Shortest time from one transaction of a partition's outputs to the next.
        patience: Longest wait of a call for Kafka once Kafka has answered; then the process stops.
        options: Any of librdkafka's, such as `"security.protocol"`; a value `"env:NAME"` is taken
            from the environment, from where passwords must come.
        schema_registry: Address of the registry that has the schemas of foreign records in Avro
            and Protobuf; several with commas.
        schema_registry_options: Any of Confluent's registry client, such as
            `"basic.auth.user.info" = "env:REGISTRY_USER"`.
    """

    bootstrap: str = "127.0.0.1:9092"
    prefix: str = "headwater."
    replication: Annotated[int, Meta(ge=1, le=1_000)] = 1
    retention: dict[str, Duration] = {}
    format: Literal["json", "msgpack"] = "json"
    commit: Duration = _D("20ms")
    patience: Duration = _D("2m")
    options: dict[str, str | int | float | bool] = {}
    schema_registry: str = ""
    schema_registry_options: dict[str, str | int | float | bool] = {}

    def __post_init__(self) -> None:
        """Refuse a password in the file, retention of topics read again, and long waits."""
        _check_wait("kafka.patience", self.patience)
        if self.commit > _LONGEST_COMMIT:
            msg = f"kafka.commit must be at most {_LONGEST_COMMIT}; got {self.commit}"
            raise ValueError(msg)
        _check_registry(self.schema_registry)
        _check_secrets("kafka.schema_registry_options", self.schema_registry_options)
        if not re.fullmatch(r"[A-Za-z0-9._-]{0,200}", self.prefix):
            rule = "must be of at most 200 letters, digits, dots, underscores and hyphens"
            msg = f"kafka.prefix {rule}; got {shortened(self.prefix)}"
            raise ValueError(msg)
        _check_secrets("kafka.options", self.options)
        for topic in self.retention.keys() - set(_ENDS):
            msg = (
                f"kafka.retention must be for {', '.join(_ENDS)}; got {topic!r}, whose records are "
                "read again: `headwater trim` deletes those that are not needed"
            )
            raise ValueError(msg)


Option = str | int | float | bool


class Scaled(_Part, frozen=True, rename={"path": "from"}, omit_defaults=True):
    """The place of a time or a decimal in a record, and its unit or scale.

    Attributes:
        path: Place in the record.
        unit: Unit of a time since 1970 UTC; none: the stream's `time_unit`.
        scale: Digits after the point of a decimal that Connect wrote as base64 of its bytes.
    """

    path: str
    unit: TimeUnit | None = None
    scale: Annotated[int, Meta(ge=0, le=100)] | None = None


Place = str | int | float | bool | Scaled
"""A place in a foreign record; a value that is not text stands for itself.

See `state.ingest.mapping`.
"""


class ForeignTopic(_Part, frozen=True):
    """Mapping of a foreign topic's records to events of one type.

    Attributes:
        topic: Name of the topic in Kafka.
        event: The `type` of the events.
        when: Only records with these values at these places; of several mappings of a topic the
            first that fits is taken.
        id: Place of the event's id; `offset`: the id is made of topic, partition and offset.
        time: Place of the event's time; `timestamp`: the record's own timestamp.
        source: Place of the source's name; empty: the topic's name.
        fields: Places of the other fields, by field; a field that is not named here has the same
            name in the record.
        format: Format of keys and values; `avro` and `protobuf` need `kafka.schema_registry`.
    """

    topic: Annotated[str, Meta(pattern=r"^[A-Za-z0-9._-]{1,249}\Z")]
    event: str
    when: dict[str, Option] = {}
    id: Place = "offset"
    time: Place = "timestamp"
    source: Place = ""
    fields: dict[str, Place] = {}
    format: Literal["json", "msgpack", "avro", "protobuf"] = "json"


class Ingest(_Part, frozen=True):
    """Foreign topics that `flows.ingest` reads.

    Attributes:
        topics: Mappings of the topics.
        bootstrap: Kafka cluster of the topics; empty: that of `kafka`, with its options.
        options: See `kafka`.
        skip_lost: Resume at a topic's begin if it deleted records before they were ingested.
    """

    topics: tuple[ForeignTopic, ...] = ()
    bootstrap: str = ""
    options: dict[str, Option] = {}
    skip_lost: bool = False

    def __post_init__(self) -> None:
        """Refuse a password in the file."""
        _check_secrets("ingest.options", self.options)


class Settings(_Part, frozen=True):
    """All settings; the file is `headwater.toml`.

    Attributes:
        stream: A built-in stream, or `module:attribute` of your own.
        follow: Wait for new events at the end of the log.
        log: Backend of the log: `sqlite` in the home, or `kafka`.
        artifacts: Store for model files, in pyarrow's syntax, such as `s3://bucket/models`; empty:
            they stay in the home, or go through Kafka in the topic `models`.
        partitions: Partition count of `events` when the log is created; none: the stream's.
        risk: Accepted error rates; if they are set, each prediction says whether it can be trusted.
        alerts: Lines that metrics must keep to, by metric.
    """

    stream: str = "flights"
    follow: bool = False
    log: Literal["sqlite", "kafka"] = "sqlite"
    artifacts: str = ""
    partitions: Annotated[int, Meta(ge=1, le=MOST_PARTITIONS)] | None = None
    training: Training = Training()
    online: Online = Online()
    decision: Decision = Decision()
    risk: Risk | None = None
    drift: Drift = Drift()
    promotion: Promotion = Promotion()
    clock: Clock = Clock()
    metrics: MetricsSettings = MetricsSettings()
    alerts: dict[AlertMetric, AlertLine] = {}
    columns: ColumnSettings = ColumnSettings()
    checkpoints: Checkpoints = Checkpoints()
    h2o: H2O = H2O()
    reading: ReadSettings = ReadSettings()
    scoring: Scoring = Scoring()
    serve: Serve = Serve()
    kafka: Kafka = Kafka()
    ingest: Ingest = Ingest()

    def __post_init__(self) -> None:
        """Refuse invalid stores, a password in the file, and retention too short for recovery."""
        for topic, span in self.kafka.retention.items():
            if span < _CHECKPOINTS_KEPT * self.checkpoints.every:
                msg = (
                    f"retention must be at least {_CHECKPOINTS_KEPT} times checkpoints.every, "
                    f"{self.checkpoints.every}; got {span} in kafka.retention.{topic}"
                )
                raise ValueError(msg)
        for name, alert in self.alerts.items():
            if not 0.0 <= alert.line <= (_MOST_MARGIN if name == "log_loss" else 1.0):
                most = f"{_MOST_MARGIN:g}" if name == "log_loss" else "1"
                msg = f"a line must be from 0 to {most}; got {alert.line:g} in alerts.{name}"
                raise ValueError(msg)
        _check_store("artifacts", self.artifacts)
        _check_store("checkpoints.store", self.checkpoints.store)

    @property
    def accepted_risk(self) -> Risk:
        """`risk`, or its defaults if it is not set."""
        return Risk() if self.risk is None else self.risk


def _check_store(name: str, uri: str) -> None:
    """Refuse an invalid store address, and a password in it."""
    try:
        store = urlsplit(uri)
    except ValueError as error:
        msg = f"{name} must be like 's3://bucket/prefix'; got {uri!r}: {error}"
        raise ValueError(msg) from None
    if uri and not (store.scheme and store.path + store.netloc):
        msg = f"{name} must be like 's3://bucket/prefix'; got {uri!r}"
        raise ValueError(msg)
    if store.password is not None:
        msg = (
            f"{name} must name no password; got one for {store.hostname!r}: "
            "stores take theirs from the environment or the machine's role"
        )
        raise ValueError(msg)


def settings_from(document: dict[str, Any]) -> Settings:
    """Make settings from a parsed TOML document.

    Raises:
        ValueError: An unknown key, a wrong type or a value out of range; the message has its path.

    Example:
        >>> settings_from({"training": {"every": "1d"}}).training.every
        Duration('1d')
        >>> settings_from({"training": {"evry": "1d"}})
        Traceback (most recent call last):
        ValueError: Object contains unknown field `evry` - at `$.training`
    """
    try:
        _check_values(document, "$")
    except RecursionError:
        msg = "settings must not be nested so deeply"
        raise ValueError(msg) from None
    _check_gone(document)
    try:
        return msgspec.convert(_listed(document), Settings, dec_hook=_decode)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from None


_GONE = ("online.rate", "residual.rate", "ensemble.rate", "ensemble.models")
"""Settings of earlier versions; a journal may have them."""


def _check_gone(document: dict[str, Any]) -> None:
    """Refuse a setting of an earlier version, with a message of its own.

    Raises:
        ValueError: The document has such a setting.
    """
    for name in _GONE:
        table, _, key = name.partition(".")
        if isinstance(of := document.get(table), dict) and key in of:
            msg = f"{name} no longer exists: remove it, as steps and weights adapt"
            raise ValueError(msg)


def _listed(document: dict[str, Any]) -> dict[str, Any]:
    """Turn a single River classifier, or none, into a list."""
    online = document.get("online")
    if not isinstance(online, dict) or isinstance(river := online.get("river", []), list):
        return document
    listed = [] if river is None else [river]
    return document | {"online": online | {"river": listed}}


_FREE = ("$.kafka.options.", "$.ingest.options.", "$.ingest.topics[")
"""Keys whose texts may be long and have several lines, such as certificates."""


def _check_values(value: Any, path: str) -> None:
    """Refuse values that could not be stored, shown or read back, whatever their key.

    Raises:
        ValueError: A number is not finite or has more than 64 bits, or a text has control
            characters or is very long; the message has its path.
    """
    match value:
        case dict():
            for key, one in value.items():
                _check_text(str(key), path, free=False)
                _check_values(one, f"{path}.{key}")
        case list() | tuple():
            for i, one in enumerate(value):
                _check_values(one, f"{path}[{i}]")
        case _Part():
            _check_values(msgspec.structs.asdict(value), path)
        case str():
            _check_text(value, path, free=path.startswith(_FREE))
        case float() if not math.isfinite(value):
            msg = f"number must be finite; got {value} - at `{path}`"
            raise ValueError(msg)
        case int() if not -(2**63) <= value < 2**63:
            got = f"one of {value.bit_length()} bits"
            msg = f"number must be from -2^63 to 2^63 - 1; got {got} - at `{path}`"
            raise ValueError(msg)
        case bool() | int() | float() | None:
            pass
        case _:
            kinds = "text, a number, true or false, a list or a table"
            msg = f"value must be {kinds}; got {value!r} - at `{path}`"
            raise ValueError(msg)


def _check_text(text: str, path: str, *, free: bool) -> None:
    most = _MOST_FREE_TEXT if free else _MOST_TEXT
    if len(text) > most:
        msg = f"text must be at most {most:,} characters; got {len(text):,} - at `{path}`"
        raise ValueError(msg)
    if not is_plain_line(text.translate(_LAYOUT) if free else text):
        msg = f"text must have no control characters; got {shortened(text)} - at `{path}`"
        raise ValueError(msg)


_LAYOUT = str.maketrans("", "", "\t\r\n")


def changed(settings: Settings, document: dict[str, Any]) -> Settings:
    """Change settings by a parsed TOML document.

    Raises:
        ValueError: As `settings_from`.

    Example:
        >>> changed(Settings(), {"training": {"every": "1d"}}).training.every
        Duration('1d')
    """
    own = _document(settings)
    for name, value in document.items():
        both = isinstance(value, dict) and isinstance(own.get(name), dict)
        own[name] = own[name] | value if both else value
    return settings_from(own)


def deciding(settings: Settings) -> dict[str, Any]:
    """The settings that decide outputs and fits: TOML values by dotted key.

    They are complete and not differences, as a later version may have other defaults. They were
    checked to be read back by `recorded`.

    Raises:
        ValueError: A value of the settings would be refused in a file.

    Example:
        >>> deciding(Settings())["decision.threshold"]
        0.5
    """
    values = {
        key: value
        for key, value in _flat(_document(settings)).items()
        if key.startswith(_DECIDING) and key not in _ELSEWHERE and value != _LATER.get(key)
    }
    read_back = msgspec.json.decode(msgspec.json.encode(values))
    if changed(settings, nested(read_back)) != settings:
        msg = f"settings must be read back as they were written; got {read_back} of {values}"
        raise ValueError(msg)
    return values


HEAL = "`headwater doctor --repair` mends a home"
"""Remedy for an unreadable journal."""


def recorded(settings: Settings, values: Mapping[str, Any]) -> Settings:
    """Change settings by values that `deciding` returned for an earlier run, as journaled.

    They pass the checks of a file. Settings that no longer exist are ignored. Without `alerts`
    there were none, whatever there is today. A value of an earlier version beyond a bound of today
    is lowered to that bound if both mean the same, such as longer than all of time, or more than
    all models.

    Raises:
        LogError: A value is invalid.

    Example:
        >>> recorded(Settings(), {"training.window": "99999d"}).training.window
        Duration('50000d')
    """
    try:
        kept = {key: _bounded(key, of) for key, of in values.items() if key not in _GONE}
        return changed(msgspec.structs.replace(settings, alerts={}), nested(_LATER | kept))
    except ValueError as error:
        msg = f"settings in the journal must be usable; got '{error}': {HEAL}"
        raise LogError(msg) from error


_SAME_BEYOND: dict[str, tuple[float, float]] = {
    "training.margin": (-_MOST_MARGIN, _MOST_MARGIN),
    "training.models": (1, _MOST_MODELS),
    "training.min_rows": (1, _MOST_ROWS),
}


def _bounded(key: str, value: Any) -> Any:
    """The value, or a bound with the same meaning."""
    if key in _SAME_BEYOND and isinstance(value, int | float):
        least, most = _SAME_BEYOND[key]
        return min(max(value, least), most)
    return Duration.bounded(value) if isinstance(value, str) else value


def nested(values: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted keys as a document, the inverse of what `deciding` does to one.

    Example:
        >>> nested({"training.seed": 2, "stream": "quotes"})
        {'training': {'seed': 2}, 'stream': 'quotes'}

    Raises:
        ValueError: A key is a value and a table at once.
    """
    document: dict[str, Any] = {}
    for key, value in values.items():
        table, dot, name = key.partition(".")
        if not dot:
            document[key] = value
        elif isinstance(of := document.setdefault(table, {}), dict):
            of[name] = value
        else:
            msg = f"{table} must be a table or a value; got both, the one in {shortened(key)}"
            raise ValueError(msg)
    return document


def differences(old: Settings, new: Settings) -> dict[str, Any]:
    """The settings that differ in `new`: TOML values by dotted key.

    Example:
        >>> differences(Settings(), changed(Settings(), {"training": {"seed": 2}}))
        {'training.seed': 2}
    """
    before, after = _flat(_document(old)), _flat(_document(new))
    return {key: value for key, value in after.items() if value != before.get(key)}


def _document(part: _Part) -> dict[str, Any]:
    document = msgspec.structs.asdict(part)
    for name, value in document.items():
        if isinstance(value, _Part):
            document[name] = _document(value)
        elif isinstance(value, Duration):
            document[name] = str(value)
        elif isinstance(value, tuple):
            document[name] = [str(v) if isinstance(v, Duration) else v for v in value]
        elif isinstance(value, dict):
            document[name] = {k: _value(v) for k, v in value.items()}
    return document


def _value(value: Any) -> Any:
    """A value of a table, as in a file, which has no null."""
    if isinstance(value, AlertLine):
        return {name: of for name, of in _document(value).items() if of is not None}
    return str(value) if isinstance(value, Duration) else value


def _flat(document: dict[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in document.items():
        if isinstance(value, dict) and name != "alerts":  # lines are set as a whole
            flat |= {f"{name}.{key}": of for key, of in value.items()}
        else:
            flat[name] = value
    return flat


def _decode(kind: type, value: Any) -> Any:
    if kind is Duration and isinstance(value, str):
        duration = Duration.parse(value)
        if duration <= 0:
            msg = f"duration must be positive; got {value!r}"
            raise ValueError(msg)
        return duration
    msg = f"must be a duration such as '7d'; got {value!r}"
    raise ValueError(msg)
