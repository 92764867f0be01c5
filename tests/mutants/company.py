"""Faults in what a company's own repository relies on."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

INIT = "tests/company/test_init.py"

COMPANY: tuple[Mutant, ...] = (
    Mutant(
        "a release that the repository does not pin plans nothing in it",
        "edge/run/project.py",
        "if not wanted or wanted == (this := version(DISTRIBUTION)):",
        'if (this := "") == "":',
        (f"{INIT}::test_a_release_other_than_the_pinned_one_is_refused_before_anything_is_done",),
    ),
    Mutant(
        "`edge init` overwrites nothing",
        "edge/run/new_repository.py",
        "if taken := [path for path in files if (folder / path).exists()]:",
        "if taken := [path for path in files if not path]:",
        (f"{INIT}::test_no_file_is_overwritten_and_none_is_written_beside_one_that_is_there",),
    ),
    Mutant(
        "a revision with other pins runs with its own releases",
        "edge/run/program_at.py",
        "if pins(checkout) == pins(root):",
        "if pins(checkout) or not pins(root):",
        (f"{INIT}::test_the_releases_of_a_revision_are_installed_once",),
    ),
    Mutant(
        "a company's own code counts for what a site was built from",
        "stacks/provenance.py",
        "if project is not None and project.resolve() != root.resolve():",
        "if project is not None and project.resolve() == root.resolve():",
        (f"{INIT}::test_what_a_company_adds_counts_for_what_a_site_was_built_from",),
    ),
    Mutant(
        "a company's workflows set up the release that it pins",
        "edge/run/new_repository.py",
        "return found | workflows(repository.ci, FROM_WHEEL)",
        "return found | workflows(repository.ci, FROM_CHECKOUT)",
        (f"{INIT}::test_a_company_s_repository_has_workflows_that_need_no_makefile",),
    ),
)
