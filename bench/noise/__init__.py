"""Healthy releases beside a limit that is close: how often chance alone rolls one back, in virtual time."""
