"""What a scan costs, and what a claim takes, as claims, campaigns and workers become more."""
