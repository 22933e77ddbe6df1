"""Traces of load, replayed against whoever scales the workers, and what each of them costs and gives."""
