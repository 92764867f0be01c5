"""Private network between a site and its operators: Tailscale (or Headscale), or none."""
