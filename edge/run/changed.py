"""Which sites have changed since a Git revision: those whose plan differs, whichever file made it differ.

The program of then makes the plans of then, from a checkout of its own, and the present program those of the working
tree. No engine, no network, no secret. What cannot be compared counts as changed, with the reason.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from edge.run import fingerprint, pool, revision
from edge.run.failure import OperationError
from edge.run.fingerprint import NO_PLAN
from edge.run.program_at import Program, program_of
from stacks.project import sites_folder

# No plan is made from these. Policies judge a plan, and are no part of it.
_NO_PLAN = frozenset({"docs", "tests", "lab", "bench", "policies"})
_SHORT = 10


@dataclass(frozen=True)
class Changed:
    """The sites whose plan is not that of the revision."""

    ref: str
    commit: str
    files: Sequence[Path]
    """In the order in which they were asked for."""
    asked: int
    """How many sites were asked for."""
    uncompared: Mapping[Path, str] = field(default_factory=dict)
    """Those among ``files`` whose plans could not be compared, with the reason."""
    removed: Sequence[str] = ()
    """Sites that the revision has and that have no file any more."""

    def lines(self) -> list[str]:
        """For people: how many, and what is not known."""
        at = f"{self.ref} ({self.commit[:_SHORT]})"
        said = [f"{len(self.files)} of {self.asked} sites have another plan than at {at}"]
        reasons: dict[str, list[str]] = {}
        for file, reason in self.uncompared.items():
            reasons.setdefault(reason, []).append(file.stem)
        for reason, names in reasons.items():
            which = names[0] if len(names) == 1 else f"{len(names)} sites"
            said.append(f"{which} counted as changed: {reason}")
        said += [f"removed since then: {', '.join(self.removed)}"] if self.removed else []
        return said


Present = Callable[[Mapping[Path, str]], Mapping[Path, str]]
"""Makes the present plans of site files, of which it gets the plans of then."""


def changed_since(
    ref: str, files: Sequence[Path], root: Path, jobs: int | None = None, present: Present | None = None
) -> Changed:
    """Those of ``files`` that have changed since ``ref``. Raises ``OperationError``.

    ``present`` is for a caller who makes the present plans anyway; by default, processes of their own make them.
    """
    commit = revision.commit_of(ref, root)
    paths = [path for path in revision.changed_paths(commit, root) if _makes_plans(path)]
    folder_of_sites = PurePosixPath(sites_folder(root).relative_to(root))
    removed = sorted(path.stem for path in paths if _is_site(path, folder_of_sites) and not (root / path).exists())
    names = {file: _within(file, root) for file in files}
    uncompared = {file: "it is not in the project, so no revision has it" for file, name in names.items() if not name}
    touched = _touched(paths, folder_of_sites)
    todo = [name for name in names.values() if name and (touched is None or PurePosixPath(name).stem in touched)]
    if todo:
        with tempfile.TemporaryDirectory(prefix="edge-changed-") as folder:
            checkout = Path(folder).resolve() / "checkout"
            revision.check_out(commit, root, checkout)
            there = [name for name in todo if (checkout / name).is_file()]
            try:
                wanted = [(checkout, program_of(checkout, root), there)]
                wanted += [] if present else [(root, program_of(root, root), todo)]
            except OperationError as error:
                every = dict.fromkeys(files, error.what)
                return Changed(ref, commit, files, len(files), {**every, **uncompared}, removed)
            (then, was_stopped), *ours = _plans(wanted, jobs)
        if present:
            made = present({file: then.get(name, "") for file, name in names.items() if name in todo})
            now, stopped = {names[file] or "": plan for file, plan in made.items()}, ""
        else:
            now, stopped = ours[0]
        if stopped:
            raise OperationError(f"The program does not run: {stopped}", ("edge check     says more",))
    else:
        now, then, was_stopped = {}, {}, ""
    found = []
    for file, name in names.items():
        if name is None:
            found.append(file)
        elif name in now:
            no_plan = [one for one in (now[name], then.get(name, "")) if one.startswith(NO_PLAN)]
            if no_plan or now[name] != then.get(name):
                found.append(file)
            if was_stopped:
                uncompared[file] = f"the program of {ref} does not run here: {was_stopped}"
            elif no_plan:
                uncompared[file] = _why(now[name], then.get(name, ""), ref)
    return Changed(ref, commit, found, len(files), uncompared, removed)


def _why(now: str, then: str, ref: str) -> str:
    if now.startswith(NO_PLAN):
        return f"it has no plan now: {now.removeprefix(NO_PLAN)}"
    return f"it has no plan at {ref}: {then.removeprefix(NO_PLAN)}"


def _makes_plans(path: PurePosixPath) -> bool:
    # Hidden files are those of tools: workflows, editors.
    if path.parts[0] in _NO_PLAN or path.parts[0].startswith("."):
        return False
    return path.suffix not in (".md", ".pyc") and "__pycache__" not in path.parts


def _touched(paths: Iterable[PurePosixPath], folder_of_sites: PurePosixPath) -> set[str] | None:
    """The sites whose own files are all that differs; None where something else does, which may be in every plan."""
    sites = set()
    for path in paths:
        settings = path.name.removeprefix("Pulumi.").removesuffix(".yaml")
        if _is_site(path, folder_of_sites):
            sites.add(path.stem)
        elif len(path.parts) == 1 and path.name == f"Pulumi.{settings}.yaml":
            sites.add(settings)
        else:
            return None
    return sites


def _is_site(path: PurePosixPath, folder_of_sites: PurePosixPath) -> bool:
    return path.parent == folder_of_sites and path.suffix == ".yaml" and path.name[0] not in "_."


def _within(file: Path, root: Path) -> str | None:
    """The file's path in the project."""
    resolved = file.resolve()
    return resolved.relative_to(root.resolve()).as_posix() if resolved.is_relative_to(root.resolve()) else None


def _plans(wanted: Sequence[tuple[Path, Program, Sequence[str]]], jobs: int | None) -> list[tuple[dict[str, str], str]]:
    """For each project and what runs it, the fingerprints of its sites, and why its program does not run, if so."""
    workers = pool.size(max(1, sum(len(names) for *_, names in wanted)), jobs)
    shares = [
        (root, program, names[start::workers])
        for root, program, names in wanted
        for start in range(workers)
        if names[start:]
    ]
    with ThreadPoolExecutor(workers) as threads:
        answers = list(threads.map(lambda share: _ask(*share), shares))
    found = []
    for root, _, names in wanted:
        plans: dict[str, str] = {}
        stopped = ""
        for (whose, *_), (made, why) in zip(shares, answers, strict=True):
            if whose == root:
                plans |= made
                stopped = stopped or why
        found.append(({name: plans.get(name, NO_PLAN + stopped) for name in names}, stopped))
    return found


def _ask(root: Path, program: Program, names: Sequence[str]) -> tuple[dict[str, str], str]:
    """Fingerprints of site files, by a process of their own; the rest of them are missing where it dies."""
    done = subprocess.run(
        [str(program.python), "-P", fingerprint.__file__, str(root)],
        cwd=root,
        env=program.variables,
        input=json.dumps(list(names)),
        capture_output=True,
        text=True,
        check=False,
    )
    plans: dict[str, str] = {}
    for line in done.stdout.splitlines():
        told = json.loads(line)
        if "cannot" in told:
            return {}, told["cannot"]
        plans[told["file"]] = told.get("plan") or NO_PLAN + told["error"].replace(f"{root}/", "")
    if done.returncode:
        last = (done.stderr.strip() or f"exit code {done.returncode}").splitlines()[-1]
        for name in names:
            plans.setdefault(name, f"{NO_PLAN}its process ended: {last}")
    return plans, ""
