"""Mutants of what is promised of layers, of a company's profiles, and of its own rules."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

_LAYERS = "tests/promises/test_layers.py"
_COMPANY = "tests/stacks/test_company_layers.py"
_OWN = "tests/policies/test_own.py"
_EDGE = "tests/edge/test_own_policies.py"
_SITEFILE = "sitefile/layers.py"
_RULES = "policies/rules/catalogue.py"

LAYERS: tuple[Mutant, ...] = (
    Mutant(
        "a company's default is over the program's",
        _SITEFILE,
        "found = list(self.common)",
        "found = list(reversed(self.common))",
        (_LAYERS,),
    ),
    Mutant(
        "a later group is over an earlier one",
        _SITEFILE,
        "nodes = node.items if",
        "nodes = node.items[::-1] if",
        (_LAYERS,),
    ),
    Mutant(
        "a tier is over the groups",
        "stacks/loader.py",
        '{"groups": [groups_folder(root)], "tier": tiers}',
        '{"tier": tiers, "groups": [groups_folder(root)]}',
        (_LAYERS,),
    ),
    Mutant(
        "a higher layer wins whichever section it uses",
        _SITEFILE,
        "            for piece in (layer.always, *_conditional(layer, shape)):\n",
        "            merged = _merge_keys(merged, layer.always)\n"
        "        for layer in layers:\n"
        "            for piece in _conditional(layer, shape):\n",
        (_LAYERS,),
    ),
    Mutant(
        "what a layer may not hold is refused",
        _SITEFILE,
        "return replace(layer, problems=(*layer.problems, *problems)) if problems else layer",
        "return layer",
        (_COMPANY,),
    ),
    Mutant(
        "a site names only groups that are described",
        "stacks/rules/site.py",
        "elif name not in data.groups:",
        "elif False:",
        (_COMPANY,),
    ),
    Mutant(
        "a group that nobody uses is checked",
        "sitefile/layers.py",
        "*(one for names in self.selected.values() for layers in names.values() for one in layers)",
        "",
        (_COMPANY,),
    ),
    Mutant(
        "a company's hardware is in place of the program's of the same name",
        "stacks/catalogue.py",
        'hardware = read_folder(folder / "hardware", root, HardwareProfile).over(hardware)',
        'hardware = hardware.over(read_folder(folder / "hardware", root, HardwareProfile))',
        (_COMPANY,),
    ),
    Mutant(
        "a broken profile does not fall back to the program's",
        "sitefile/entries.py",
        "own = self.found.keys() | self.broken.keys()",
        "own = self.found.keys()",
        (_COMPANY,),
    ),
    Mutant(
        "explain shows what a value overrides",
        "edge/run/explain.py",
        "        node = node.replaces\n        yield node.value, node.position\n",
        "        node = node.replaces\n        yield from ()\n",
        (_COMPANY,),
    ),
    Mutant(
        "`-l group=` selects by group",
        "edge/run/selection.py",
        "facts[_GROUP] = (*facts.get(_GROUP, ()), *of)",
        "facts[_GROUP] = ()",
        ("tests/edge/test_selection.py",),
    ),
    Mutant(
        "own rules judge in `edge check`",
        "edge/run/check.py",
        "judging.settings, today(), judging.catalogue, judging.waivers)",
        "judging.settings, today(), company=judging.waivers)",
        (_EDGE,),
    ),
    Mutant(
        "own rules judge in the engine",
        "edge/run/operation.py",
        "str(pack_folder(self.root))",
        'str(PROJECT_ROOT / "policies")',
        (_EDGE,),
    ),
    Mutant(
        "own rules are counted in what judged a run",
        "edge/run/judged.py",
        "catalogue_of(pack) if pack else CATALOGUE",
        "CATALOGUE",
        (_EDGE,),
    ),
    Mutant(
        "half a policy pack is said",
        "edge/run/judging.py",
        "if (mine / name).exists():",
        "if False:",
        (_LAYERS,),
    ),
    Mutant(
        "no rule of a company has the id of another",
        "policies/own.py",
        "if rule.id in taken:",
        "if False:",
        (_OWN,),
    ),
    Mutant(
        "a file of rules without rules is refused",
        "policies/own.py",
        "if not rules and not stack_rules:",
        "if False:",
        (_LAYERS,),
    ),
    Mutant(
        "a rule that calls sys.exit is a finding",
        _RULES,
        "_RAISED = (Exception, SystemExit)",
        "_RAISED = (Exception,)",
        (_OWN,),
    ),
    Mutant(
        "a rule that cannot tell what it applies to is a finding",
        _RULES,
        "found.append(replace(rule, check=_failing(error)))",
        "pass",
        (_OWN,),
    ),
)
