"""`headwater serve`: what it answers, what it refuses, and that bad input is never its failure."""

import gzip
import json
import re
import shutil
import socket
from contextlib import suppress

import msgspec
import pytest
import requests
import schemathesis.openapi
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import CHECKS
from schemathesis.generation import GenerationMode

from flows.__main__ import main
from flows.home.home import Home
from flows.scorer import Scorer
from flows.serving.bind import token_for
from flows.serving.problems import ProblemError, decoded, shown
from state.log import EVENTS, Entry
from state.plain_text import is_plain_line
from tests.serving import SETTINGS, TOKEN, Serving, make_home, quotes
from tests.waiting import until

STRICT = SETTINGS + 'body = 4096\nbatch = 3\nconcurrent = 1\ntimeout = "1s"\n'
_SLOW = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]
BEARER = {"authorization": f"Bearer {TOKEN}"}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return make_home(tmp_path_factory.mktemp("homes") / "home")


@pytest.fixture(scope="module")
def asked(home):
    return quotes(home, 5)


@pytest.fixture(scope="module")
def service(home):
    with Serving(home) as serving:
        yield serving
        serving.end()
        assert serving.ended() == (0, "Stopped.\n")


@pytest.fixture(scope="module")
def strict(home, tmp_path_factory):
    """One with narrow limits, that wants a token."""
    root = tmp_path_factory.mktemp("strict") / "home"
    shutil.copytree(home, root)
    (root / "headwater.toml").write_text('stream = "quotes"\n' + STRICT)
    with Serving(root, token=TOKEN) as serving:
        yield serving


def problem(response, content):
    told = json.loads(content)
    assert response.headers["content-type"] == "application/problem+json"
    assert told["status"] == response.status
    assert told["request_id"] == response.headers["x-request-id"]
    assert len(told["detail"]) <= 200
    return told


def test_it_says_in_one_line_where_it_listens_and_how_fresh_it_is(service):
    assert service.line.startswith("Serving quotes (online only; 0 records, ")
    assert " at http://127.0.0.1:" in service.line


def test_it_answers_what_the_scorer_answers(service, home, asked):
    with Scorer.open(home / "headwater.toml", home=home, follow=False) as scorer:
        wanted = [scorer.score(one).as_dict() for one in asked]
    response, content = service.ask("POST", "/score/batch", json.dumps(asked))
    assert response.status == 200
    assert [one | {"unseen": [], "reasons": None} for one in wanted] == json.loads(content)
    for one, answer in zip(asked, wanted, strict=True):
        found = json.loads(service.ask("POST", "/score", json.dumps(one))[1])
        assert {name: found[name] for name in answer} == answer


def test_a_request_needs_no_type_and_takes_no_other(service, asked):
    without = {name: value for name, value in asked[0].items() if name != "type"}
    assert service.ask("POST", "/score", json.dumps(without))[0].status == 200
    other = json.dumps(without | {"type": "rain"})
    assert problem(*service.ask("POST", "/score", other))["field"] == "$.type"


def test_reasons_come_when_asked_for_the_largest_first(service, asked):
    response, content = service.ask("POST", "/score?reasons=3", json.dumps(asked[0]))
    changes = [abs(one["change"]) for one in json.loads(content)["reasons"]]
    assert (response.status, len(changes)) == (200, 3)
    assert changes == sorted(changes, reverse=True)


def test_a_level_that_no_event_had_is_noted_and_scored(service, asked):
    response, content = service.ask("POST", "/score", json.dumps(asked[0] | {"venue": "mars"}))
    answer = json.loads(content)
    assert (response.status, answer["unseen"]) == (200, ["venue"])
    assert 0 < answer["probability"] < 1
    metrics = service.get("/metrics")[1].decode()
    assert 'headwater_http_unseen_total{column="venue"}' in metrics
    assert "_created" not in metrics


@pytest.mark.parametrize(
    ("changes", "status", "field"),
    [
        ({"wind": 1}, 422, "$.wind"),
        ({"spread": "wide"}, 422, "$.spread"),
        ({"spread": 1e300}, 422, "$.spread"),
        ({"spread": None}, 422, "$.spread"),
        ({"spread": float("nan")}, 422, "$.spread"),
        ({"spread": float("-inf")}, 422, "$.spread"),
        ({"time": -1}, 422, "$.time"),
        ({"time": 1.5}, 422, "$.time"),
        ({"account": ""}, 422, "$.account"),
        ({"x" * 900: 1}, 422, shown("$." + "x" * 900)),
    ],
)
def test_a_wrong_field_is_named(service, asked, changes, status, field):
    body = json.dumps(asked[0] | changes)
    told = problem(*service.ask("POST", "/score", body))
    assert (told["status"], told["field"]) == (status, field)
    told = problem(*service.ask("POST", "/score/batch", f"[{json.dumps(asked[1])}, {body}]"))
    assert (told["status"], told["field"]) == (status, shown(field.replace("$", "$[1]", 1)))


def test_a_missing_field_is_named(service, asked):
    body = json.dumps({name: value for name, value in asked[0].items() if name != "depth"})
    assert problem(*service.ask("POST", "/score", body))["field"] == "$.depth"


def test_a_request_the_flow_would_bury_is_refused_with_its_field(service, asked):
    late = asked[0] | {"expires": asked[0]["time"] + 86_400_000_000 * 300}
    told = problem(*service.ask("POST", "/score", json.dumps(late)))
    assert told["status"] == 422
    assert "deadline" in told["detail"]


@pytest.mark.parametrize(
    "body", [b"", b"{", b"\xff", b'{"id":"\\ud800"}', b"[" * 5000, b'{"id":"a"} b', b"NaNa"]
)
def test_what_is_no_json_is_a_bad_request(service, body):
    for path in ("/score", "/score/batch"):
        response, content = service.ask("POST", path, body)
        assert problem(response, content)["status"] in {400, 422}


@pytest.mark.parametrize("text", ["\x9b31m", "\x7f", "\u202e", "\u0085"])
def test_an_error_answer_repeats_no_character_that_controls_a_terminal(service, asked, text):
    for changes in ({"type": text}, {text: 1}):
        body = json.dumps(asked[0] | changes)
        response, content = service.ask("POST", "/score", body)
        assert problem(response, content)["status"] == 422
        assert is_plain_line(content.decode())
        assert f"\\\\u{ord(text[0]):04x}" in content.decode()


def test_other_ways_to_ask_are_told_what_is_wrong(service):
    assert problem(*service.get("/score"))["status"] == 405
    assert problem(*service.get("/nowhere"))["status"] == 404
    text = {"content-type": "text/plain"}
    assert problem(*service.ask("POST", "/score", "{}", text))["status"] == 415
    for query in ("reasons=-1", "reasons=101", "reasons=x", "reasons=", "reasons=%C2%B2"):
        assert problem(*service.ask("POST", f"/score?{query}", "{}"))["status"] == 422
    assert problem(*service.get("/model", {"x-much": "y" * 17_000}))["status"] == 431


def test_a_request_id_is_kept_if_it_is_short_and_plain(service):
    assert service.get("/healthz", {"x-request-id": "a-1"})[0].headers["x-request-id"] == "a-1"
    given = "<script>"
    assert service.get("/healthz", {"x-request-id": given})[0].headers["x-request-id"] != given


def test_no_other_origin_may_read(service):
    response, _ = service.get("/model", {"origin": "http://elsewhere.test"})
    assert not [name for name in response.headers if name.startswith("access-control")]


def test_it_describes_itself(service, asked):
    document = json.loads(service.get("/openapi.json")[1])
    schema = document["components"]["schemas"]["Quote"]
    assert set(asked[0]) <= set(schema["properties"])
    page = service.get("/docs")[1].decode()
    assert all(path in page for path in document["paths"])
    assert "<script" not in page


def test_it_tells_which_models_answer(service):
    told = json.loads(service.get("/model")[1])
    assert (told["stream"], len(told["in_use"]), told["behind_records"]) == ("quotes", 8, 0)
    assert service.get("/healthz")[0].status == service.get("/readyz")[0].status == 200


@pytest.mark.parametrize(
    ("method", "path", "modes"),
    [
        ("POST", "/score", list(GenerationMode)),
        ("POST", "/score/batch", list(GenerationMode)),
        ("GET", "/model", [GenerationMode.POSITIVE]),
        ("GET", "/healthz", [GenerationMode.POSITIVE]),
        ("GET", "/readyz", [GenerationMode.POSITIVE]),
        ("GET", "/metrics", [GenerationMode.POSITIVE]),
    ],
)
def test_it_keeps_to_its_own_description_whatever_is_asked(service, method, path, modes):
    url = f"http://127.0.0.1:{service.port}/openapi.json"
    operation = schemathesis.openapi.from_url(url)[path][method]
    # A request that the schema allows can still break a rule between two fields.
    left_out = [CHECKS.get_one("positive_data_acceptance")]
    for mode in modes:

        @settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=_SLOW)
        @given(case=operation.as_strategy(generation_mode=mode))
        def holds(case):
            case.call_and_validate(excluded_checks=left_out)

        holds()


def test_only_who_bears_the_token_may_ask(strict, asked):
    body = json.dumps(asked[0])
    for path in ("/model", "/metrics", "/docs", "/openapi.json", "/nowhere"):
        assert problem(*strict.get(path))["status"] == 401
    for wrong in ({}, {"authorization": f"Bearer {TOKEN}x"}, {"authorization": TOKEN}):
        response, content = strict.ask("POST", "/score", body, wrong)
        assert problem(response, content)["status"] == 401
        assert response.headers["www-authenticate"] == "Bearer"
    assert strict.ask("POST", "/score", body, BEARER)[0].status == 200
    assert strict.get("/healthz")[0].status == strict.get("/readyz")[0].status == 200


def test_what_is_too_large_is_refused(strict, asked):
    padded = json.dumps(asked[0] | {"pad": "x" * 5_000})
    assert problem(*strict.ask("POST", "/score", padded, BEARER))["status"] == 413
    told = problem(*strict.ask("POST", "/score/batch", json.dumps(asked[:4]), BEARER))
    assert (told["status"], told["detail"]) == (413, "batch must have at most 3 requests; got 4")


def test_a_body_of_unknown_length_is_cut_off_at_the_limit(strict):
    many = requests.post(
        f"http://127.0.0.1:{strict.port}/score",
        data=iter([b" " * 2_000] * 3),
        headers=BEARER | {"content-type": "application/json"},
        timeout=20,
    )
    assert many.status_code == 413


def test_the_scheme_of_the_token_may_be_written_in_any_case(strict):
    for scheme in ("bearer", "BEARER", "Bearer ", "bEaReR"):
        assert strict.get("/model", {"authorization": f"{scheme} {TOKEN}"})[0].status == 200
    for wrong in (f"basic {TOKEN}", f"bearer{TOKEN}", f"bearer {TOKEN} x", f"Bearer\t{TOKEN}"):
        response, content = strict.get("/model", {"authorization": wrong})
        assert problem(response, content)["status"] == 401
        assert response.headers["connection"] == "close"


def raw(serving, request):
    """Statuses of all answers to some bytes on one connection, and the last one's content."""
    with socket.create_connection(("127.0.0.1", serving.port), timeout=20) as connection:
        connection.sendall(request)
        answers = b""
        with suppress(ConnectionResetError):
            while part := connection.recv(65_536):
                answers += part
    statuses = re.findall(rb"HTTP/1\.1 (\d+) ", answers)
    return list(map(int, statuses)), answers.rpartition(b"\r\n\r\n")[2]


POST = b"POST /score HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
LAST = b"connection: close\r\n"


@pytest.mark.parametrize(
    "head",
    [
        POST + b"content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n",
        POST + b"content-length: 2\r\ncontent-length: 2\r\n\r\n",
        POST + b"content-length: 2, 2\r\n\r\n",
        POST + b"content-length: +2\r\n\r\n",
        POST + b"content-length: 99999999999999999999999\r\n\r\n",
        POST + b"transfer-encoding: xchunked\r\n\r\n",
        POST + b"transfer-encoding: gzip, chunked\r\n\r\n2\r\n",
        POST + b"transfer-encoding: chunked\r\n\r\nzz\r\n",
        POST + b"transfer-encoding : chunked\r\n\r\n2\r\n",
        POST + LAST + b"host: y\r\ncontent-length: 2\r\n\r\n",
        POST + LAST + b"content-type: application/json\r\ncontent-length: 2\r\n\r\n",
        POST + b"connection: upgrade\r\nupgrade: h2c\r\ncontent-length: 2\r\n\r\n",
        b"GET /readyz HTTP/1.1\nhost: x\n\n",
        b"GET /readyz HTTP/1.1\r\nhost: x\r\nx: a\r\n b\r\n\r\n",
        b"GET /readyz HTTP/1.1\r\nhost: x\r\nx: a\0b\r\n\r\n",
        b"GET readyz HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET http://elsewhere.test HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET /\xc3\xa9 HTTP/1.1\r\nhost: x\r\n\r\n",
        b"FORGED /readyz HTTP/1.1\r\nhost: x\r\n\r\n",
        b"CONNECT elsewhere.test:80 HTTP/1.1\r\nhost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
)
def test_what_two_readers_could_take_for_two_requests_is_refused_and_the_last(service, head):
    statuses, content = raw(service, head + b"{}")
    assert statuses == [400]
    assert json.loads(content)["status"] == 400


def test_a_field_after_the_body_is_no_header(service, asked):
    body = json.dumps(asked[0]).encode()
    head = b"POST /score HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\nconnection: close\r\n"
    whole = head + b"\r\n%x\r\n%s\r\n0\r\ncontent-type: application/json\r\n\r\n" % (
        len(body),
        body,
    )
    assert raw(service, whole)[0] == [415]


def test_some_requests_may_be_sent_in_advance_and_the_rest_is_for_another_connection(service):
    ready = b"GET /readyz HTTP/1.1\r\nhost: x\r\n\r\n"
    assert raw(service, ready * 2 + ready.replace(b"host", LAST + b"host"))[0] == [200] * 3
    assert raw(service, ready * 5_000)[0] == [200] * 3


def test_what_was_asked_before_a_broken_request_is_answered(service, asked):
    body = json.dumps(asked[0]).encode()
    whole = POST + b"content-length: %d\r\n\r\n%s" % (len(body), body)
    assert raw(service, whole + b"\0")[0] == [200]
    assert raw(service, whole + POST + b"transfer-encoding: chunked\r\n\r\nzz\r\n")[0] == [200]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/%72eadyz", 200),
        ("http://elsewhere.test/readyz", 200),
        ("/readyz%0a", 404),
        ("/readyz%00", 404),
        ("/model%0d%0aforged", 404),
        ("/%zz", 404),
        ("/%ff%fe", 404),
        ("/x/../readyz", 404),
        ("//readyz", 404),
        ("/readyz/", 404),
    ],
)
def test_only_a_path_that_is_spelled_out_is_one(service, path, status):
    request = f"GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
    assert raw(service, request.encode())[0] == [status]


def test_a_name_twice_in_an_object_is_refused_however_it_is_written(service, asked):
    good = json.dumps(asked[0])
    for again in ('"spread": 1', '"spread":"x"', '"\\u0073pread" : 1'):
        twice = f"{good[:-1]}, {again}}}"
        told = problem(*service.ask("POST", "/score", twice))
        assert (told["status"], told["field"]) == (422, "$.spread")
        told = problem(*service.ask("POST", "/score/batch", f"[{good}, {twice}]"))
        assert (told["status"], told["field"]) == (422, "$[1].spread")
    colons = json.dumps(asked[0] | {"id": '"spread": 1, "spread": 2'})
    assert service.ask("POST", "/score", colons)[0].status == 200


def test_a_name_twice_in_a_nested_object_is_found_too():
    body = b'{"a": [1, {"b": {"c": 1, "d": 2, "c": 3}}]}'
    with pytest.raises(ProblemError) as caught:
        decoded(body, msgspec.json.Decoder(dict))
    assert (caught.value.status, caught.value.field) == (422, "$.a[1].b.c")
    long = b'{"a": "%s", "a": 1}' % (b"x" * 100_000)
    with pytest.raises(ProblemError, match="more than once") as caught:
        decoded(long, msgspec.json.Decoder(dict))
    assert (caught.value.status, caught.value.field) == (422, None)


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({"content-encoding": "gzip"}, gzip.compress(b"{}", mtime=0)),
        ({"content-encoding": "br"}, b"{}"),
        ({"content-type": "application/json; charset=latin-1"}, b"{}"),
        ({"content-type": 'application/json; x=y; charset="UTF-16"'}, b"{}"),
        ({"content-type": "application/jsonx"}, b"{}"),
    ],
)
def test_only_plain_json_in_utf8_is_read(service, headers, body):
    assert problem(*service.ask("POST", "/score", body, headers))["status"] == 415
    for kind in ("Application/JSON", 'application/json; charset="UTF-8"', "application/json;x=y"):
        response, _ = service.ask("POST", "/score", b"{}", {"content-type": kind})
        assert response.status == 422


def test_neither_log_nor_metrics_hold_what_strangers_make_up(home):
    with Serving(home, "--access-log") as serving:
        for path in ("/model%0d%0a2026-01-01 00:00:00 forged", "/a%1b[2J", "/b", "/c"):
            request = f"GET {path.replace(' ', '%20')} HTTP/1.1\r\nx-request-id: forged 200\r\n"
            raw(serving, f"{request}{LAST.decode()}\r\n".encode())
        for method in ("PROPFIND", "TRACE", "M-SEARCH"):
            raw(serving, f"{method} /d HTTP/1.1\r\n{LAST.decode()}\r\n".encode())
        metrics = serving.get("/metrics")[1].decode()
        assert set(re.findall(r'headwater_http_seconds_count\{path="([^"]*)"', metrics)) == {
            "other"
        }
        serving.end()
        _, said = serving.ended()
    *lines, last = said.splitlines()
    assert last == "Stopped."
    assert len(lines) == 8
    line = re.compile(r"\S+ \S+ [A-Z-]+ (other|/metrics) \d+ \d+\.\d\d ms [0-9a-f]{8}-\d+")
    assert [one for one in lines if not line.fullmatch(one)] == []


def half(serving, body):
    """A connection with a request that is not whole yet, known to be waited for."""
    connection = socket.create_connection(("127.0.0.1", serving.port), timeout=20)
    head = f"POST /score HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {TOKEN}\r\n"
    head += f"content-type: application/json\r\ncontent-length: {len(body)}\r\n"
    connection.sendall(f"{head}expect: 100-continue\r\n\r\n".encode())
    assert connection.recv(1000).startswith(b"HTTP/1.1 100 ")
    connection.sendall(body[: len(body) // 2])
    return connection


def test_slow_bodies_are_not_waited_for_and_take_no_place_of_others(strict, asked):
    body = json.dumps(asked[0]).encode()
    with half(strict, body) as slow, half(strict, body):
        assert strict.ask("POST", "/score", body, BEARER)[0].status == 200
        assert slow.recv(1000).startswith(b"HTTP/1.1 408 ")
    assert strict.ask("POST", "/score", body, BEARER)[0].status == 200


def all_that_comes(connection):
    got = b""
    while part := connection.recv(65_536):
        got += part
    return got


@pytest.mark.parametrize("requests", [1, 2])
def test_one_who_says_no_more_gets_the_answers_to_what_was_asked(strict, asked, requests):
    body = json.dumps(asked[0]).encode()
    head = f"POST /score HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {TOKEN}\r\n"
    head += f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", strict.port), timeout=20) as connection:
            connection.sendall((head.encode() + body) * requests)
            connection.shutdown(socket.SHUT_WR)
            got = all_that_comes(connection)
        assert got.count(b"HTTP/1.1 200 ") == requests


def test_one_who_says_no_more_within_a_body_gets_no_answer_and_holds_nothing(strict, asked):
    with half(strict, json.dumps(asked[0]).encode()) as connection:
        connection.shutdown(socket.SHUT_WR)
        assert b"200" not in all_that_comes(connection)


def test_one_who_goes_away_is_not_counted_as_a_failure(strict, asked):
    half(strict, json.dumps(asked[0]).encode()).close()
    metrics = ""
    while 'path="/score",status="499"' not in metrics:
        metrics = strict.get("/metrics", BEARER)[1].decode()
    assert 'status="500"' not in metrics


@pytest.mark.parametrize("start", [b"", b"\r\n", b"POST /score HT", b"GET /model HTTP/1.1\r\nx: y"])
def test_a_head_that_does_not_end_is_not_waited_for(strict, start):
    with socket.create_connection(("127.0.0.1", strict.port), timeout=20) as slow:
        slow.sendall(start)
        with suppress(ConnectionResetError):
            assert slow.recv(1000) == b""


def test_one_that_is_too_far_behind_says_so(home, tmp_path, asked):
    root = tmp_path / "home"
    shutil.copytree(home, root)
    (root / "headwater.toml").write_text(
        f'stream = "quotes"\n{SETTINGS}[scoring]\nstaleness = "1s"\n[checkpoints]\nevery = "1s"\n'
    )
    log = Home(root).log()
    for partition in range(8):
        log.append(EVENTS, partition, [Entry(asked[-1]["time"], b"", b"{}")])
    log.close()
    with Serving(root) as stale:
        until(lambda: stale.get("/readyz")[0].status != 200)
        assert "must be at most 1s behind the log" in stale.get("/readyz")[1].decode()
        assert stale.get("/healthz")[0].status == 200
        response, content = stale.ask("POST", "/score", json.dumps(asked[0]))
        assert "behind the log" in problem(response, content)["detail"]
        assert (response.status, response.headers["retry-after"]) == (503, "1")


@pytest.fixture
def here(home, monkeypatch):
    monkeypatch.setenv("HEADWATER_HOME", str(home))
    monkeypatch.setenv("HEADWATER_CONFIG", str(home / "headwater.toml"))
    monkeypatch.delenv("HEADWATER_TOKEN", raising=False)


def test_a_port_in_use_is_one_line(here, capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["serve", "--port", str(port)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(
        f"headwater: address must be free and of this machine; got 127.0.0.1:{port}"
    )


@pytest.mark.parametrize("host", ["a" * 64 + ".de", "xn--\xe4", "..", "a" * 10_000])
def test_a_host_that_can_have_no_address_is_one_line(here, monkeypatch, capsys, host):
    monkeypatch.setenv("HEADWATER_TOKEN", "t" * 20)
    assert main(["serve", "--port", "0", "--host", host]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("headwater: address must be free and of this machine; got ")
    assert len(line) < 300


def test_where_others_can_ask_it_does_not_start_without_a_token(here, capsys):
    assert main(["serve", "--host", "0.0.0.0"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("headwater: HEADWATER_TOKEN must be set")


def test_a_home_without_a_log_is_one_line(here, capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("HEADWATER_HOME", str(tmp_path))
    assert main(["serve"]) == 2
    assert capsys.readouterr().err.startswith("headwater: home must hold a log")


@pytest.mark.parametrize(
    "token", ["a token with blanks in it", "a-token-of-some-length\n", "\t" * 20]
)
def test_a_token_that_no_header_can_hold_is_refused(token):
    with pytest.raises(ValueError, match="must have no spaces"):
        token_for("127.0.0.1", {"HEADWATER_TOKEN": token})


@pytest.mark.parametrize("token", ["", "short", "ü" * 20])
def test_a_token_that_can_be_guessed_is_refused(token):
    with pytest.raises(ValueError, match="16 ASCII characters or more"):
        token_for("127.0.0.1", {"HEADWATER_TOKEN": token})


def test_an_error_repeats_at_most_200_characters():
    assert len(ProblemError(400, "x" * 1000, "y" * 1000).told("").detail) == 200
    assert len(ProblemError(400, "x" * 1000, "y" * 1000).told("").field) == 200
