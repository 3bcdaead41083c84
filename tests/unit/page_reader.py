"""Reads a page as tests want it: what it would load, its headings, its words."""

from __future__ import annotations

from html.parser import HTMLParser

__all__ = ["Page"]


class Page(HTMLParser):
    """What a page would load, its headings, its scripts, and whether every element is closed.

    A picture inside it has empty elements that end in `/>`, as XML has them.
    """

    VOID = frozenset({"meta", "link", "br", "hr", "img", "input"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.headings: list[str] = []
        self.words: list[str] = []
        self.scripts = 0
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.scripts += tag == "script"
        self.loads += [value for name, value in attrs if name in ("src", "href", "srcset", "data", "action") and value]
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """An element without content."""

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] in ("h1", "h2"):
            self.headings.append(data)
        if "script" not in self._open and "style" not in self._open:
            self.words.append(data)
        if "style" in self._open:
            assert "url(" not in data
            assert "@import" not in data

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())
