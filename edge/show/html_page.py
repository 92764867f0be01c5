"""An HTML page that needs nothing but itself: no request leaves it, and it works without JavaScript. Pure.

Everything that is not written here is escaped by ``text``. Should that ever fail, the page's own policy still lets no
other script run and nothing be fetched.
"""

from __future__ import annotations

import base64
import hashlib
import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sitefile.problems import printable

_STYLE = """\
:root{color-scheme:light dark;--page:#fff;--soft:#f6f8fa;--line:#d0d7de;--text:#1f2328;--dim:#59636e;--link:#0969da;
--good:#1a7f37;--warn:#8a5a00;--bad:#cf222e;--edge:#1a7f37;--cloud:#0969da}
@media (prefers-color-scheme:dark){:root{--page:#0d1117;--soft:#161b22;--line:#3d444d;--text:#e6edf3;--dim:#9198a1;
--link:#4493f8;--good:#3fb950;--warn:#d29922;--bad:#ff7b72;--edge:#3fb950;--cloud:#79c0ff}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:78rem;padding:1rem;background:var(--page);color:var(--text);
font:15px/1.45 system-ui,-apple-system,Segoe UI,Roboto,sans-serif}
h1{font-size:1.5rem;margin:.2rem 0}h2{font-size:1.15rem;margin:2rem 0 .5rem}
a{color:var(--link)}.dim{color:var(--dim)}.good{color:var(--good)}.warn{color:var(--warn)}.bad{color:var(--bad)}
.sums{display:flex;flex-wrap:wrap;gap:.5rem;padding:0;list-style:none}
.sums li{background:var(--soft);border:1px solid var(--line);border-radius:6px;padding:.4rem .8rem}
.sums b{display:block;font-size:1.25rem}
nav{display:flex;flex-wrap:wrap;gap:.4rem 1.2rem;padding:.4rem 0}
.wide{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:.92rem}
th,td{border-bottom:1px solid var(--line);padding:.3rem .6rem .3rem 0;text-align:left;vertical-align:top;
overflow-wrap:break-word}
th button{font:inherit;font-weight:600;color:inherit;background:none;border:0;padding:0;cursor:pointer;text-align:left}
th[aria-sort=ascending] button::after{content:" \\2191"}th[aria-sort=descending] button::after{content:" \\2193"}
td.n,th.n,th.n button{text-align:right}td.n{white-space:nowrap}
.map td,.map th{text-align:center;padding:.4rem}.map th:first-child{text-align:left}
.map td.some{background:var(--soft);border:1px solid var(--line)}.map b{font-size:1.15rem}
input[type=search]{font:inherit;width:100%;max-width:30rem;padding:.4rem .6rem;margin:.2rem 0;color:inherit;
background:var(--soft);border:1px solid var(--line);border-radius:6px}
pre{background:var(--soft);padding:.6rem;overflow-x:auto;font-size:.85rem}
svg{display:block;width:100%;max-width:28rem;height:auto}svg text{fill:var(--text);font-size:12.5px}
.axis{stroke:var(--line)}.edge-line,.cloud-line{fill:none;stroke-width:2.5}
.edge-line{stroke:var(--edge)}.cloud-line{stroke:var(--cloud);stroke-dasharray:6 4}
svg .edge-name{fill:var(--edge);font-weight:600}svg .cloud-name{fill:var(--cloud);font-weight:600}
.even{stroke:var(--dim);stroke-dasharray:2 3}
tr[hidden]{display:none!important}
@media (max-width:700px){table.list thead{display:none}table.list,table.list tbody,table.list tr,table.list td{
display:block}table.list tr{border:1px solid var(--line);border-radius:6px;margin:.5rem 0;padding:.4rem .6rem}
table.list td{display:flow-root;border:0;padding:.1rem 0 .1rem 8.5rem;text-align:left;white-space:normal;
overflow-wrap:anywhere}
table.list td:empty{display:none}table.list td::before{float:left;width:8rem;margin-left:-8.5rem;color:var(--dim)}}
"""

_SCRIPT = """\
for (const table of document.querySelectorAll("table.list")) {
  const body = table.tBodies[0], rows = [...body.rows], search = document.getElementById("find-" + table.id);
  const count = document.getElementById("count-" + table.id), key = cell => cell.dataset.n ?? cell.textContent;
  const texts = rows.map(row => [...row.cells].map(cell => cell.textContent).join(" ").toLowerCase());
  const find = () => {
    const words = search.value.toLowerCase().split(/\\s+/).filter(Boolean);
    let shown = 0;
    rows.forEach((row, at) => { row.hidden = !words.every(word => texts[at].includes(word)); shown += !row.hidden; });
    count.textContent = shown + " of " + rows.length;
  };
  search.parentElement.hidden = false;
  search.addEventListener("input", find);
  [...table.tHead.rows[0].cells].forEach((head, at) => {
    const button = document.createElement("button"), order = new Intl.Collator("en", {numeric: true});
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const sign = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
      for (const other of head.parentElement.cells) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
      const number = rows.every(row => "n" in row.cells[at].dataset);
      const compare = number ? (a, b) => a - b : order.compare;
      rows.sort((a, b) => sign * compare(key(a.cells[at]), key(b.cells[at])));
      body.append(...rows);
    });
  });
  find();
}
for (const link of document.querySelectorAll("a[data-find]")) link.addEventListener("click", () => {
  const search = document.getElementById("find-sites");
  search.value = link.dataset.find;
  search.dispatchEvent(new Event("input"));
});
"""


def text(value: object) -> str:
    """Text within an element or a quoted attribute, on one line."""
    return html.escape(printable(str(value)))


def lines(value: str) -> str:
    """Text of several lines, for ``pre``."""
    return "\n".join(text(line) for line in value.split("\n"))


@dataclass(frozen=True)
class Cell:
    """A cell of a table: HTML, and the number by which it is sorted where its text is no good for that."""

    html: str
    number: float | None = None

    @classmethod
    def of(cls, value: object) -> Cell:
        return cls(text(value))

    @classmethod
    def amount(cls, value: float, shown: str | None = None) -> Cell:
        """A number, with thousands separated."""
        return cls(text(shown if shown is not None else f"{value:,.0f}"), value)

    @property
    def markup(self) -> str:
        return f"<td>{self.html}" if self.number is None else f'<td class="n" data-n="{self.number:g}">{self.html}'


@dataclass(frozen=True)
class Table:
    """A table that can be searched and sorted. ``id`` and ``headings`` are words of the program, not of a site."""

    id: str
    headings: Sequence[str]
    rows: Sequence[Sequence[Cell]]

    @property
    def markup(self) -> str:
        numbers = [bool(self.rows) and all(row[at].number is not None for row in self.rows) for at in self._columns]
        head = "".join(
            f"<th{' class=n' if number else ''}>{text(heading)}"
            for heading, number in zip(self.headings, numbers, strict=True)
        )
        body = "\n".join(f"<tr>{''.join(cell.markup for cell in row)}</tr>" for row in self.rows)
        return (
            f'<p hidden><input type="search" id="find-{self.id}" placeholder="Search" '
            f'aria-label="Search {self.id}"> <span class="dim" id="count-{self.id}"></span></p>\n'
            f'<div class="wide"><table class="list" id="{self.id}"><thead><tr>{head}</thead>\n<tbody>{body}</tbody>'
            "</table></div>"
        )

    @property
    def style(self) -> str:
        """On a phone a row is a card, and each cell says its heading."""
        return "".join(
            f'#{self.id} td:nth-child({at + 1})::before{{content:"{self.headings[at]}"}}' for at in self._columns
        )

    @property
    def _columns(self) -> range:
        return range(len(self.headings))


def page(title: str, body: Iterable[str], tables: Iterable[Table]) -> str:
    """The whole file."""
    hashed = base64.b64encode(hashlib.sha256(_SCRIPT.encode()).digest()).decode()
    labels = "".join(table.style for table in tables)
    return "\n".join(
        (
            "<!DOCTYPE html>",
            '<html lang="en">',
            '<head><meta charset="utf-8">',
            "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; base-uri 'none'; "
            f"form-action 'none'; style-src 'unsafe-inline'; script-src 'sha256-{hashed}'\">",
            '<meta name="viewport" content="width=device-width,initial-scale=1">',
            f"<title>{text(title)}</title>",
            f"<style>\n{_STYLE}@media (max-width:700px){{{labels}}}\n</style></head>",
            "<body>",
            *body,
            f"<script>{_SCRIPT}</script>",
            "</body></html>",
            "",
        )
    )
