"""The demonstration: a small real application under the operator's care, and its story."""
