"""Where a site's machines stand."""
