# SPDX-License-Identifier: GPL-3.0-or-later
"""Every link inside the documentation leads somewhere: `check_links.py SITE BASE [PAGE.md...]`.

SITE is the directory of the built site, BASE the path under which it is served, such as /slabby/: each file
and each anchor that its pages name must be there.
The pages in Markdown are those that GitHub shows from the source tree, such as README.md: each file that
they link to must be in the tree. Links to other sites are not followed.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

MARKDOWN_LINK = re.compile(r"\]\(([^)\s]+)\)")
CODE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


class Page(HTMLParser):
    """The anchors and the links of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.anchors: set[str] = {"", "top"}
        self.links: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if value is None:
                continue
            if name == "id" or (name == "name" and tag == "a"):
                self.anchors.add(value)
            elif name in ("href", "src") and not (tag == "link" and ("rel", "canonical") in attrs):
                self.links.append(value)


def broken_in_site(site: Path, base: str) -> Iterator[str]:
    pages = {
        path.resolve(): Page(path.read_text(encoding="utf-8")) for path in site.rglob("*.html")
    }
    if not pages:
        yield f"{site}: no pages"
    for path, page in sorted(pages.items()):
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            absolute = parts.path.startswith(base)
            start = site if absolute else path.parent
            below = unquote(parts.path.removeprefix(base) if absolute else parts.path)
            target = (start / below).resolve() if parts.path else path
            if target.is_dir():
                target /= "index.html"
            name = path.relative_to(site.resolve())
            if not target.is_file():
                yield f"{name}: {link}: no such file"
            elif target in pages and unquote(parts.fragment) not in pages[target].anchors:
                yield f"{name}: {link}: no such anchor"


def broken_in_markdown(page: Path) -> Iterator[str]:
    text = CODE.sub("", page.read_text(encoding="utf-8"))
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", each).strip().lower().replace(" ", "-") for each in headings}
    for link in MARKDOWN_LINK.findall(text):
        parts = urlsplit(link)
        if parts.scheme or parts.netloc:
            continue
        if parts.path and not (page.parent / unquote(parts.path)).exists():
            yield f"{page.name}: {link}: no such file"
        elif not parts.path and parts.fragment not in anchors:
            yield f"{page.name}: {link}: no such heading"


def main(site: Path, base: str, pages: list[Path]) -> int:
    found = [*broken_in_site(site, base)]
    for page in pages:
        found.extend(broken_in_markdown(page))
    print("\n".join(found), end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2], [Path(each) for each in sys.argv[3:]]))
