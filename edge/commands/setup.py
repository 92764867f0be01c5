"""`edge setup`."""

from __future__ import annotations

from edge.commands.options import Json
from edge.exit_codes import DONE, FAILED

EXAMPLES = "edge setup   |   EDGE_PULUMI=download edge setup"


def run(as_json: Json = False) -> int:
    """Get a working Pulumi CLI into this environment, and write the schemas that editors use. Quick the second time."""
    from edge.run.project import project_root
    from edge.show.document import print_json
    from edge.show.render import console
    from engine.obtain import setup
    from engine.obtain.cli import locate
    from stacks import schema

    root = project_root()
    if setup.main():
        return FAILED
    cli, written = locate(), schema.write(root)
    if as_json:
        files = {path.as_posix(): state for path, state in written.items()}
        print_json({"pulumi": {"version": cli.version, "path": str(cli.path)}, "files": files, "exit": DONE})
    else:
        console().print(f"Pulumi {cli.version}, {len(written)} schemas for editors", markup=False)
    return DONE
