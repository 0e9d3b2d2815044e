"""Benches: what things cost, as CPU and as ratios of one run."""
