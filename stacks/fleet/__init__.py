"""What exists once for all sites: the tailnet's access rules, and zone groups of an AWS account."""
