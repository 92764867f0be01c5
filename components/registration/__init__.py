"""Fleet management that a site is registered with: Azure Arc, AWS Outposts, or none."""
