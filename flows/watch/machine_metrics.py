"""Metrics of processes, disk, H2O and Kafka, and those that the scoring service has itself."""

from flows.watch.metric import Metric, Points, one
from flows.watch.sample import Sample

ROLES = ("flow", "trainer", "h2o")
_MOST_PROCESSES = 24


def _kafka(sample: Sample, name: str) -> float | None:
    health = sample.log.kafka if sample.log is not None else None
    return None if health is None else float(getattr(health, name))


def _usage(sample: Sample, name: str) -> Points:
    rows = [
        ((one.role, beat.host, str(one.pid)), float(getattr(one, name)))
        for beat in sample.beats
        for one in beat.processes
    ]
    return rows[:_MOST_PROCESSES]


MACHINE = (
    Metric(
        "headwater_processes", "gauge", "", "Processes of this home that live, by role.",
        ("role",), "running", lambda sample: [((role,), sample.count(role)) for role in ROLES],
    ),
    Metric(
        "headwater_process_cpu_seconds_total", "counter", "s", "Processor time.",
        ("role", "host", "pid"), "running", lambda sample: _usage(sample, "cpu_s"),
    ),
    Metric(
        "headwater_process_memory_bytes", "gauge", "bytes", "Resident memory.",
        ("role", "host", "pid"), "running", lambda sample: _usage(sample, "memory_bytes"),
    ),
    Metric(
        "headwater_process_descriptors", "gauge", "", "Open file descriptors.",
        ("role", "host", "pid"), "running", lambda sample: _usage(sample, "descriptors"),
    ),
    Metric(
        "headwater_process_threads", "gauge", "", "Threads.", ("role", "host", "pid"), "running",
        lambda sample: _usage(sample, "threads"),
    ),
    Metric(
        "headwater_disk_free_bytes", "gauge", "bytes", "Free on the file system of the home.", (),
        "home", one(lambda s: s.disk.free if s.disk else None),
    ),
    Metric(
        "headwater_disk_size_bytes", "gauge", "bytes", "Size of the file system of the home.", (),
        "home", one(lambda s: s.disk.size if s.disk else None),
    ),
    Metric(
        "headwater_home_bytes", "gauge", "bytes", "Bytes of a part of the home.", ("part",),
        "home",
        lambda sample: [((p,), n) for p, n in (sample.disk.parts if sample.disk else {}).items()],
    ),
    Metric(
        "headwater_h2o_up", "gauge", "", "1 if the cluster of h2o.url says that it is healthy.",
        (), "H2O", one(lambda sample: sample.h2o),
    ),
    Metric(
        "headwater_kafka_brokers", "gauge", "", "Brokers of the cluster; 0: none answers.", (),
        "Kafka",
        one(lambda s: 0 if s.backend == "kafka" and s.trouble else _kafka(s, "brokers")),
    ),
    Metric(
        "headwater_kafka_partitions", "gauge", "", "Partitions of Headwater's topics.", (),
        "Kafka", one(lambda sample: _kafka(sample, "partitions")),
    ),
    Metric(
        "headwater_kafka_under_replicated_partitions", "gauge", "",
        "Partitions with too few copies in sync.", (), "Kafka",
        one(lambda sample: _kafka(sample, "under_replicated")),
    ),
    Metric(
        "headwater_kafka_leaderless_partitions", "gauge", "", "Partitions that nobody leads.", (),
        "Kafka", one(lambda sample: _kafka(sample, "leaderless")),
    ),
    Metric(
        "headwater_kafka_blocked_partitions", "gauge", "",
        "Partitions with records behind a transaction that was never ended.", (), "Kafka",
        one(lambda sample: _kafka(sample, "blocked")),
    ),
)  # fmt: skip

SERVING = (
    Metric(
        "headwater_scorer_behind_seconds", "gauge", "s",
        "Since all of the log was last known to be seen.", (), "headwater serve", None,
    ),
    Metric(
        "headwater_scorer_behind_records", "gauge", "records", "Records not seen yet.", (),
        "headwater serve", None,
    ),
    Metric(
        "headwater_scorer_trouble", "gauge", "", "1 if answers may not be the flow's.", (),
        "headwater serve", None,
    ),
    Metric(
        "headwater_http_running", "gauge", "", "Requests in flight.", (), "headwater serve", None
    ),
    Metric(
        "headwater_http_scored_total", "counter", "records", "Rows scored.", (),
        "headwater serve", None,
    ),
)  # fmt: skip
