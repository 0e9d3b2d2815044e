"""What a service does with more than it can serve: goodput, latency, refusals, at multiples of its peak."""
