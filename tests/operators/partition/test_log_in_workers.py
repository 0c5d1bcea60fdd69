import bytewax.operators as op
from bytewax.dataflow import Dataflow
from bytewax.testing import TestingSink, TestingSource, cluster_main

from state.log import Entry
from state.log.sqlite import SqliteLog


def test_a_worker_opens_each_database_once_however_often_it_reads(tmp_path):
    log = SqliteLog(tmp_path)
    log.create("events", 1)
    log.append("events", 0, [Entry(5, b"", b"{}")])
    flow = Dataflow("reads")
    turns = op.input("turns", flow, TestingSource(range(50), batch_size=1))
    ends = []
    op.output("ends", op.map("end", turns, lambda _: log.end("events", 0)), TestingSink(ends))
    cluster_main(flow, [], 0, worker_count_per_proc=2)
    assert ends == [1] * 50
    assert len(log._databases) <= 3  # this thread's and the workers'
    log.close()
