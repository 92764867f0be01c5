"""Fleet management that a site is registered with."""
