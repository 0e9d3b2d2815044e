"""HTTP: what mini-programs call, and what operators watch."""
