"""Tailscale, or Headscale with a login server of its own."""
