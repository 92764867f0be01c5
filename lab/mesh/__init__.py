"""A tailnet of the lab's own: Tailscale for the hosts, and Headscale that they join."""
