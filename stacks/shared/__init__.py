"""Secrets that many sites share: their one place is the stack ``shared``.

`Pulumi.shared.yaml` holds them, encrypted; the stack's secret outputs give them to the sites. A site's own value comes
first. The reasons are in docs/decisions/0015-shared-secrets.md.
"""
