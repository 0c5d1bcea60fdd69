"""A document keeps names from outside as text, in both of its forms."""

import re
from html.parser import HTMLParser

import pytest
from markdown_it import MarkdownIt  # rich brings it

from flows.pages.chart import reliability
from flows.pages.document import (
    Heading,
    Items,
    Key,
    Paragraph,
    Picture,
    Table,
    code,
    html,
    markdown,
)
from flows.pages.page import page

EVIL = "<script>alert(1)</script>|`x`*b*[a](javascript:b)_c_\n# h\x1b[31m\"'&lt;"


class Reader(HTMLParser):
    """The tags of a page, their attributes and the text; every tag that opens must close."""

    VOID = ("meta", "path", "circle", "i")

    def __init__(self, text):
        super().__init__()
        self.tags, self.text, self.open, self.attributes = [], "", [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def blocks():
    table = Table(["a", EVIL], [[code(EVIL), "1.5"], [EVIL, "-"]])
    picture = Picture(reliability(EVIL, [(0.1, 0.2, 0.1, 0.3)]), EVIL, [Key(EVIL, "c1")], table)
    return [Heading(EVIL), Paragraph(f"is {code(EVIL)}"), Items([EVIL]), table, picture]


def test_names_from_events_are_no_markup_in_html():
    read = Reader(html(blocks()))
    assert not {"script", "a", "em", "h1", "img"} & {*read.tags}
    assert "<script>alert(1)</script>" in read.text
    assert "\x1b" not in read.text


def test_names_from_events_are_no_markup_in_markdown():
    rendered = MarkdownIt("commonmark").enable("table").render(markdown(EVIL, blocks()))
    read = Reader(re.sub("<br>", "", rendered))
    assert {*read.tags} <= {"h1", "h2", "p", "ul", "li", "table", "thead", "tbody", "tr", "th",
                            "td", "code"}  # fmt: skip
    assert read.tags.count("h1") == 1
    assert read.tags.count("td") == 2 * 2 * 2, "a bar in a name made no cell"
    assert "\x1b" not in rendered


def test_columns_of_numbers_only_are_aligned_to_the_right():
    shown = markdown("x", [Table(["a", "b"], [["one", "1"], ["2", "- "]])])
    assert "|---|--:|" in markdown("x", [Table(["a", "b"], [["one", "1 %"], ["2", "-"]])])
    assert "|---|---|" in shown


@pytest.mark.parametrize("form", [html, lambda found: markdown("x", found)])
def test_the_same_blocks_give_the_same_text(form):
    assert form(blocks()) == form(blocks())


def test_a_page_has_no_script_and_refers_to_nothing_outside():
    text = page("The <title>", blocks())
    read = Reader(text.removeprefix("<!doctype html>"))
    assert "script" not in read.tags
    assert not {"src", "href", "onload", "srcset", "style"} & {name for name, _ in read.attributes}
    assert not re.search(r"url\(|@import|https?:", text)
    assert ("http-equiv", "Content-Security-Policy") in read.attributes
    assert "The <title>" in read.text


def test_each_picture_has_a_title_for_screen_readers_and_a_table_behind_it():
    read = Reader(html(blocks()))
    assert read.tags.count("svg") == read.tags.count("title") == read.tags.count("details") == 1
    assert dict(read.attributes)["role"] == "img"


def test_a_title_with_hidden_characters_is_a_page_that_can_be_written():
    text = page("a\ud800\x1b\u202eb", []).encode().decode()
    assert text.count("a\\ud800\\u001b\\u202eb") == 2


def test_an_empty_name_does_not_swallow_the_text_after_it():
    text = f"{code('')} and {code('x')}"
    found = MarkdownIt().render(markdown("t", [Paragraph(text)]))
    assert found.endswith("<p><code>&quot;&quot;</code> and <code>x</code></p>\n")
