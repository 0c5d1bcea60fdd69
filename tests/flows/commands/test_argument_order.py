"""Options stand before, between and after the other words of a verb."""

from itertools import permutations

import pytest

from flows.__main__ import _parser, main


@pytest.mark.parametrize(
    ("verb", "name", "parts"),
    [
        ("ingest", "files", (["--type", "trade"], ["a.csv"], ["--dry-run"], ["b.csv"])),
        ("stream", "words", (["quotes"], ["--requests", "3"], ["a.csv"], ["b.csv"])),
        ("export", "topic", (["events"], ["--out", "e.parquet"], ["--from", "2026-01-01"])),
        ("card", "model", (["gbm-1"], ["--html", "card.html"])),
        ("rollback", "model", (["gbm-1"],)),
    ],
)
def test_options_stand_among_other_words(verb, name, parts):
    words = [part[0] for part in parts if not part[0].startswith("-")]
    for order in permutations(parts):
        if [part[0] for part in order if part[0] in words] == words:
            arguments = _parser().parse_args([verb, *(word for part in order for word in part)])
            found = getattr(arguments, name)
            assert found == (words[0] if isinstance(found, str) else words)


@pytest.mark.parametrize("line", [["ingest", "a", "--nonsense", "b"], ["run", "a"], ["export"]])
def test_words_that_a_verb_does_not_know_are_refused(line, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(line)
    assert capsys.readouterr().err.count("\n") == 1
