"""Tools of M3ToolEval's web_browsing family, written anew from their described behaviour.

The suite appends its pages: texts by name.
"""

from __future__ import annotations

_LINES = 5
_PAGES: dict[str, str] = {}
_page = ["/"]
_line = [0]
_history: list[str] = []


def click_url(url: str) -> str:
    """Clicks on a URL. A clickable URL looks like [Clickable '<url_argument>'] in the webpage. Arguments: url (str).

    Returns the rendered content of the webpage after clicking the URL showing on the current rendered page.
    """
    name = url.replace("'", "")
    if name not in _PAGES:
        return "[URL not found.]"
    _history.append(_page[0])
    return _open(name)


def go_to_previous_page() -> str:
    """Goes back to the previous page and returns its rendered content. It has no arguments."""
    return _open(_history.pop()) if _history else "[No previous page.]"


def scroll_down() -> str:
    """Scrolls down the view and returns the rendered content of the webpage. It has no arguments."""
    if _line[0] + _LINES >= len(_lines()):
        return "[Reached the bottom of the page.]"
    _line[0] = _line[0] + _LINES
    return view()


def scroll_up() -> str:
    """Scrolls up the view and returns the rendered content of the webpage. It has no arguments."""
    if _line[0] <= 0:
        return "[Reached the top of the page.]"
    _line[0] = _line[0] - _LINES
    return view()


def view() -> str:
    """Returns the rendered content of the current webpage, a few lines at a time. It has no arguments."""
    lines, first = _lines(), _line[0]
    number, total = first // _LINES + 1, max(1, -(-len(lines) // _LINES))
    shown = "\n".join(lines[first : first + _LINES])
    rule = "-" * 10
    return f"{rule}\nPage: {_page[0]}\n{rule}\n{shown}\n{rule}\n[Viewing page {number} of {total}]\n{rule}"


def _lines() -> list[str]:
    return _PAGES[_page[0]].split("\n")


def _open(name: str) -> str:
    _page[0], _line[0] = name, 0
    return f"[Opened page: {name}]\n{view()}"
