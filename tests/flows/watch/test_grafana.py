"""`headwater dashboards apply` and `diff` against a Grafana with a memory."""

import pytest

from flows.__main__ import main
from flows.watch.grafana_objects import uid_of, wanted
from flows.watch.panels import DASHBOARDS
from flows.watch.rules import RULES
from tests.flows.watch.fake_grafana import TOKEN, grafana
from tests.flows.watch.test_hostile_databases import HEAD, answering

WEBHOOK = "http://127.0.0.1:8080/"

pytest.importorskip("grafana_client", reason="pip install 'headwater[grafana]'")


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("GRAFANA_TOKEN", TOKEN)
    with grafana() as running:
        yield running


def dashboards(action, server, *words):
    return main(["dashboards", action, "--url", server.url, *words])


def test_all_is_created_and_a_second_time_nothing_is_changed(server, capsys):
    words = ("--alerts", "--webhook", WEBHOOK)
    assert dashboards("diff", server, *words) == 1
    assert server.written == []
    count = 3 + len(DASHBOARDS) + len(RULES)
    assert f"{count} objects in {server.url}, {count} differ" in capsys.readouterr().out
    assert dashboards("apply", server, *words) == 0
    assert len(server.written) == count
    assert {*server.kept["dashboards"]} == {board.uid for board in DASHBOARDS}
    assert {*server.kept["rules"]} == {uid_of(rule) for rule in RULES}
    assert server.kept["points"]["headwater"]["settings"] == {"url": WEBHOOK}
    capsys.readouterr()
    assert dashboards("apply", server, *words) == 0
    assert len(server.written) == count
    assert capsys.readouterr().out == f"{count} objects in {server.url}, 0 changed\n"
    assert dashboards("diff", server, *words) == 0


def test_a_change_made_by_hand_is_shown_and_taken_back_and_the_rest_stays(server, capsys):
    dashboards("apply", server, "--alerts")
    board = server.kept["dashboards"]["headwater-kafka"]["dashboard"]
    board["panels"][0]["title"] = "Brokers"
    server.kept["rules"]["headwater-flow-down"]["for"] = "1h"
    server.kept["rules"]["headwater-flow-down"]["isPaused"] = True
    server.kept["datasources"]["headwater"]["url"] = "http://127.0.0.1:1"
    server.kept["datasources"]["headwater"]["jsonData"] = {"timeInterval": "5s"}
    capsys.readouterr()
    assert dashboards("diff", server, "--alerts") == 1
    assert capsys.readouterr().out.splitlines() == [
        "~ data source Headwater",
        "    url: 'http://127.0.0.1:1', not 'http://127.0.0.1:9090'",
        "~ dashboard Headwater: Kafka",
        "    panels[0].title: 'Brokers', not 'How many brokers answer?'",
        "~ alert rule HeadwaterFlowDown",
        "    for: '1h', not '1m'",
        f"{2 + len(DASHBOARDS) + len(RULES)} objects in {server.url}, 3 differ",
    ]
    assert dashboards("apply", server, "--alerts") == 0
    assert dashboards("diff", server, "--alerts") == 0
    assert server.kept["datasources"]["headwater"]["jsonData"] == {"timeInterval": "5s"}
    assert server.kept["rules"]["headwater-flow-down"]["isPaused"] is True
    kafka = server.kept["dashboards"]["headwater-kafka"]["dashboard"]
    assert (kafka["version"], kafka["panels"][0]["title"]) == (2, "How many brokers answer?")


def test_without_alerts_grafana_gets_no_rule(server):
    assert dashboards("apply", server) == 0
    assert server.kept["rules"] == server.kept["points"] == {}


def test_a_wrong_token_is_told_in_one_line_and_is_not_printed(server, monkeypatch, capsys):
    monkeypatch.setenv("GRAFANA_TOKEN", "wrong")
    assert dashboards("apply", server) == 2
    said = capsys.readouterr().err
    assert "got 401: GRAFANA_TOKEN must be the token of an Admin" in said
    assert "wrong" not in said
    assert server.written == []


def test_a_grafana_that_is_not_there_is_told_in_one_line(monkeypatch, capsys):
    monkeypatch.setenv("GRAFANA_TOKEN", TOKEN)
    assert main(["dashboards", "diff", "--url", "http://127.0.0.1:1"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("headwater: Grafana must answer at http://127.0.0.1:1; got none")


def test_the_token_must_come_from_the_environment(monkeypatch, capsys):
    monkeypatch.delenv("GRAFANA_TOKEN", raising=False)
    assert main(["dashboards", "apply"]) == 2
    assert "GRAFANA_TOKEN must be the token" in capsys.readouterr().err


def test_a_webhook_needs_the_alerts(capsys):
    assert main(["dashboards", "apply", "--webhook", WEBHOOK]) == 2
    assert "--webhook must go with --alerts" in capsys.readouterr().err


def test_uids_are_short_and_no_object_has_that_of_another():
    objects = wanted("http://127.0.0.1:9090", alerts=True, webhook=WEBHOOK)
    assert len({(one.kind, one.uid) for one in objects}) == len(objects)
    assert max(len(one.uid) for one in objects) <= 40


@pytest.mark.parametrize(
    "body",
    [b"[]", b"null", b"1", b'"x"', b"{}", b'{"dashboard":[]}', b"[" * 10**5],
    ids=["list", "null", "number", "text", "empty", "odd", "deep"],
)
def test_an_answer_that_grafana_never_gives_is_told_in_a_line(monkeypatch, capsys, body):
    monkeypatch.setenv("GRAFANA_TOKEN", TOKEN)
    head = (
        "connection: close\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\n\r\n"
    )
    with answering(HEAD + head.encode() + body) as (url, _):
        assert main(["dashboards", "diff", "--url", url, "--alerts"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"headwater: Grafana must answer at {url}; got ")


@pytest.mark.parametrize(
    "url",
    ["", "x", "http://", "http://[", "http://127.0.0.1:99999", "http://127.0.0.1:b", "http://a..b",
     f"http://{'a' * 300}", "file:///etc/passwd", "http://me:hidden@127.0.0.1:1"],
)  # fmt: skip
def test_an_address_that_nothing_can_open_is_refused_in_a_line(monkeypatch, capsys, url):
    monkeypatch.setenv("GRAFANA_TOKEN", TOKEN)
    assert main(["dashboards", "diff", f"--url={url}"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("headwater: --url must ")
    assert "hidden" not in line


def test_a_token_that_no_header_can_hold_is_refused_and_not_repeated(monkeypatch, capsys):
    monkeypatch.setenv("GRAFANA_TOKEN", "two\nlines")
    assert main(["dashboards", "diff"]) == 2
    assert capsys.readouterr().err.startswith("headwater: GRAFANA_TOKEN must be of ASCII")
