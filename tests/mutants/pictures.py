"""Mutants of what the pictures of sites promise."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

_GRAPH = "tests/edge/test_site_graph.py"
_LAYOUT = "tests/edge/test_graph_layout.py"
_SVG = "tests/edge/test_graph_svg.py"
_TEXT = "tests/edge/test_graph_text.py"
_REPORT = "tests/edge/test_html_report.py"
_BROWSER = "tests/browser/test_pages.py"

PICTURES: tuple[Mutant, ...] = (
    Mutant(
        "text of a site file is text in a drawing",
        "edge/show/graph_svg.py",
        "return html.escape(printable(text))",
        "return text",
        (_SVG,),
    ),
    Mutant(
        "text of a site file is text in a report",
        "edge/show/html_page.py",
        "return html.escape(printable(str(value)))",
        "return str(value)",
        (_REPORT,),
    ),
    Mutant(
        "a report runs no script but its own",
        "edge/show/html_page.py",
        "script-src 'sha256-{hashed}'",
        "script-src 'unsafe-inline'",
        (_REPORT,),
    ),
    Mutant(
        "a site that cannot be read is not left out of the report",
        "edge/show/html_report.py",
        "for site in overview.report.sites]",
        "for site, _ in overview.known]",
        (_REPORT,),
    ),
    Mutant(
        "what waits for each other is drawn in one direction",
        "edge/run/site_graph.py",
        "return not circle or",
        "return True or",
        (_GRAPH,),
    ),
    Mutant(
        "what is deleted is drawn",
        "edge/run/site_graph.py",
        "    found += [Resource(one.urn",
        "    _ = [Resource(one.urn",
        (_GRAPH,),
    ),
    Mutant(
        "a line crosses no higher box beside its own",
        "edge/show/graph_layout.py",
        "if first.y + first.height < bottoms[level[upper]]:",
        "if False:",
        (_LAYOUT,),
    ),
    Mutant(
        "a terminal that knows ASCII only can show a tree",
        "edge/show/graph_text.py",
        "_ASCII if ascii_only else _UNICODE",
        "_UNICODE",
        (_TEXT,),
    ),
    Mutant(
        "a phone shows the page at the phone's width",
        "edge/show/html_page.py",
        'content="width=device-width,initial-scale=1"',
        'content="width=980"',
        (_BROWSER,),
    ),
    Mutant(
        "text of a drawing can be read on a phone",
        "edge/show/graph_svg.py",
        ".edge text{font-size:12.5px",
        ".edge text{font-size:11px",
        (_BROWSER,),
    ),
    Mutant(
        "text can be told from what is behind it in dark mode",
        "edge/show/html_page.py",
        "--dim:#9198a1;",
        "--dim:#393c40;",
        (_BROWSER,),
    ),
    Mutant(
        "the page's own script may run, and no other",
        "edge/show/html_page.py",
        "f\"form-action 'none'; style-src 'unsafe-inline'; script-src 'sha256-{hashed}'\\\">\",",
        "\"form-action 'none'; style-src 'unsafe-inline'; script-src 'none'\\\">\",",
        (_BROWSER,),
    ),
    Mutant(
        "what is short comes before hundreds of cards",
        "edge/show/html_report.py",
        '        *_section("Policies", policies, "The policies find nothing."),\n',
        "",
        (_BROWSER,),
    ),
)
