"""Rules between the parts of a site, and between sites. Pure."""
