"""Sources: each page once, without tracking."""

from __future__ import annotations

import pytest

from openrouter_pipe.domain.streaming.citations import CitationBook, clean_url, same_page_key
from openrouter_pipe.ports.items import Citation


@pytest.mark.parametrize(
    ("url", "clean"),
    [
        ("https://a.org/p?utm_source=x&q=1&gclid=2", "https://a.org/p?q=1"),
        ("https://a.org/p?fbclid=2", "https://a.org/p"),
        ("https://a.org/p?q=a%20b&UTM_Medium=x#part", "https://a.org/p?q=a%20b#part"),
        ("https://a.org/p#:~:text=words", "https://a.org/p"),
        ("https://www.wwf.org/", "https://www.wwf.org/"),
    ],
)
def test_tracking_goes_and_the_rest_stays(url: str, clean: str) -> None:
    assert clean_url(url) == clean


@pytest.mark.parametrize("host", ["www.wwf.org", "www.wikipedia.org", "w.org", "wwf.org"])
def test_www_stripping_eats_no_letters(host: str) -> None:
    (found,) = CitationBook().add([Citation(f"https://{host}/x")])
    assert found.url == f"https://{host}/x"
    assert same_page_key(found.url).startswith(host.removeprefix("www."))


def test_one_page_under_several_addresses_is_shown_once() -> None:
    book = CitationBook()
    first = book.add([Citation("https://www.a.org/p/?utm_campaign=1", "A"), Citation("http://A.org/p")])
    assert [one.title for one in first] == ["A"]
    assert book.add([Citation("https://a.org/p")]) == ()
    assert len(book.add([Citation("https://a.org/p?page=2")])) == 1


@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", "data:text/html,x", "", "http://[::1", "https://", "file:///etc"]
)
def test_addresses_that_are_not_web_pages_are_dropped(url: str) -> None:
    assert CitationBook().add([Citation(url)]) == ()
