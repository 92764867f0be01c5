"""Getting a Pulumi CLI: from PATH, by download, or built from pinned Go modules."""
