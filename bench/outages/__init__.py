"""Outages beside a healthy release: of the metrics, and of the provider. What the operator makes of them."""
