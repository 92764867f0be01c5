"""The tailnet's policy file beside people who edit it too: nothing of theirs is lost without being asked for."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stacks.fleet.plan import MeshSite, acl
from stacks.fleet.policy_file import BEGIN, END, OthersPolicy, written
from stacks.fleet.spec import TailnetSpec
from tests.stacks.test_fleet import BERLIN, LYON, OSLO

SITES = [BERLIN, LYON, OSLO]
OURS = TailnetSpec(id="example.com", operators=("bo@example.com",))
BESIDE = OURS.model_copy(update={"keep_others": True})
ADOPT = OURS.model_copy(update={"adopt": True})
DEFAULT = """// Example/default ACLs for unrestricted connections.
{
  "grants": [{"src": ["*"], "dst": ["*"], "ip": ["*"]},],
  "ssh": [
    {"action": "check", "src": ["autogroup:member"], "dst": ["autogroup:self"], "users": ["autogroup:nonroot", "root"]},
  ],
}
"""
THEIRS = """// Company policy; ask it@example.com
{
  "groups": {"group:dev": ["dee@example.com"]}, /* two people */
  "ACLs": [{"action": "accept", "src": ["group:dev"], "dst": ["tag:ci:443"]}],
  "tagOwners": {
    "tag:ci": ["group:dev"], // not "tag:edge" // really
  },
  "autoApprovers": {"exitNode": ["tag:ci"]},
}
"""


def _read(text: str) -> dict[str, Any]:
    """A reader of HuJSON of another make, for what is in these tests: no string in them holds a mark of a comment."""
    import re

    plain = re.sub(r"/\*.*?\*/", "", "\n".join(line.split("//")[0] for line in text.splitlines()))
    return json.loads(re.sub(r",(\s*[\]}])", r"\1", plain))  # type: ignore[no-any-return]


def _names(sections: dict[str, Any]) -> str:
    return json.dumps(sections, sort_keys=True)


def test_where_nobody_else_writes_the_file_is_ours_as_a_whole() -> None:
    whole = written(OURS, SITES, "{}")
    assert json.loads(whole) == acl(OURS, SITES)
    assert written(OURS, SITES, whole) == whole
    assert json.loads(written(OURS, SITES[:1], whole)) == acl(OURS, SITES[:1]), "what we wrote before is ours"


def test_the_open_policy_of_a_new_tailnet_is_nobodys_and_goes() -> None:
    for tailnet in (OURS, BESIDE):
        text = written(tailnet, SITES, DEFAULT)
        assert _names(_read(text)["grants"]) == _names(acl(tailnet, SITES)["grants"])
        assert "autogroup" not in text


@pytest.mark.parametrize(
    ("edit", "named"),
    [
        ({"groups": {"group:dev": ["dee@example.com"]}}, "`groups` group:dev"),
        ({"grants": [{"src": ["group:dev"], "dst": ["*"], "ip": ["*"]}]}, "1 of `grants`"),
        ({"grants": [{"src": ["tag:ops"], "dst": ["tag:db"], "ip": ["tcp:5432"]}]}, "1 of `grants`"),
        ({"acls": [{"action": "accept", "src": ["group:dev"], "dst": ["*:*"]}]}, "`acls`"),
        ({"tagOwners": {"tag:edge-oslo": ["dee@example.com"]}}, "`tagOwners` tag:edge-oslo"),
        (
            {"ssh": [{"action": "check", "src": ["dee@example.com"], "dst": ["tag:ci"], "users": ["root"]}]},
            "1 of `ssh`",
        ),
        ({"tests": [{"src": "dee@example.com", "accept": ["tag:ci:22"]}]}, "1 of `tests`"),
        ({"autoApprovers": {"routes": {"10.9.0.0/16": ["tag:ci"]}}}, "`autoApprovers.routes` 10.9.0.0/16"),
        ({"autoApprovers": {"exitNode": ["tag:ci"]}}, "`autoApprovers.exitNode`"),
        ({"nodeAttrs": [{"target": ["*"], "attr": ["nextdns:abc"]}]}, "`nodeAttrs`"),
        ({"hosts": {"db": "100.100.100.1"}}, "`hosts`"),
    ],
)
def test_what_somebody_else_wrote_stops_the_run_and_is_named(edit: dict[str, Any], named: str) -> None:
    ours = acl(OURS, SITES)
    for key, value in edit.items():
        more: Any = {**ours.get(key, {}), **value} if isinstance(value, dict) else [*ours.get(key, []), *value]
        ours[key] = more
    with pytest.raises(OthersPolicy) as refused:
        written(OURS, SITES, json.dumps(ours))
    assert named in str(refused.value)
    assert "keep_others" in str(refused.value)
    assert json.loads(written(ADOPT, SITES, json.dumps(ours))) == acl(ADOPT, SITES), "overwritten where it is asked for"


def test_a_comment_is_somebodys_too() -> None:
    commented = written(OURS, SITES, "{}").replace("{", "{ // keep until June", 1)
    with pytest.raises(OthersPolicy, match="comments"):
        written(OURS, SITES, commented)


def test_what_others_wrote_stays_to_the_letter() -> None:
    text = written(BESIDE, SITES, THEIRS)
    for piece in ("// Company policy; ask it@example.com\n", "}, /* two people */\n", '// not "tag:edge" // really\n'):
        assert piece in text
    policy, ours = _read(text), acl(BESIDE, SITES)
    assert policy["ACLs"] == [{"action": "accept", "src": ["group:dev"], "dst": ["tag:ci:443"]}]
    assert policy["groups"] == {"group:dev": ["dee@example.com"], **ours["groups"]}
    assert policy["tagOwners"] == {"tag:ci": ["group:dev"], **ours["tagOwners"]}
    assert policy["autoApprovers"] == {"exitNode": ["tag:ci"], **ours["autoApprovers"]}
    assert [policy[key] for key in ("grants", "ssh", "tests")] == [ours[key] for key in ("grants", "ssh", "tests")]


def test_ours_follows_the_sites_and_theirs_their_edits() -> None:
    text = written(BESIDE, SITES, THEIRS)
    assert written(BESIDE, SITES, text) == text, "writing again changes nothing"
    edited = text.replace('"tag:ci": ["group:dev"]', '"tag:ci": ["group:dev"],\n    "tag:db": ["group:dev"]')
    fewer = written(BESIDE, [BERLIN], edited)
    assert _read(fewer)["tagOwners"].keys() == {"tag:ci", "tag:db", *acl(BESIDE, [BERLIN])["tagOwners"]}
    assert "oslo" not in fewer


def test_a_key_that_both_would_define_is_refused() -> None:
    with pytest.raises(OthersPolicy, match="tag:edge outside of the marks"):
        written(BESIDE, SITES, '{"TagOwners": {"tag:edge": ["group:dev"]}, "groups": {"group:dev": ["d@example.com"]}}')


@pytest.mark.parametrize(
    "broken",
    [
        f"{{\n  {BEGIN}\n}}",
        f"{{\n  {END}\n}}",
        '{"groups": {',
        "{'groups': 1}",
        '{"a": "unended',
        "[]",
    ],
)
def test_what_cannot_be_read_is_refused(broken: str) -> None:
    for tailnet in (OURS, BESIDE):
        with pytest.raises(OthersPolicy, match="Nothing was changed"):
            written(tailnet, SITES, broken)


def test_a_lost_end_takes_nothing_of_others_with_it() -> None:
    text = written(BESIDE, SITES, THEIRS)
    cut = text.replace(f"    {END}\n", "", 1)
    with pytest.raises(OthersPolicy, match="other half"):
        written(BESIDE, SITES, cut)


_word = st.text(max_size=12)


@given(others=st.dictionaries(_word.map(lambda text: f"x{text}"), st.lists(_word), min_size=1, max_size=4))
def test_any_text_of_others_is_kept(others: dict[str, list[str]]) -> None:
    live = json.dumps(others, indent=1)
    text = written(BESIDE, [MeshSite("berlin", ("tag:edge-berlin",))], live)
    assert written(BESIDE, [MeshSite("berlin", ("tag:edge-berlin",))], text) == text
    begin, *_ = text.partition(f"\n  {BEGIN}")
    assert live.startswith(begin)
    assert text.endswith(live[len(begin) :])


def test_adopting_and_keeping_at_once_is_refused() -> None:
    with pytest.raises(ValueError, match="keep_others"):
        TailnetSpec(id="example.com", operators=("bo@example.com",), adopt=True, keep_others=True)
