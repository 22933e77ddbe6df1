"""Benchmarks: what the operator costs and how fast it reacts, on a real Kubernetes. `python -m bench --help`."""
