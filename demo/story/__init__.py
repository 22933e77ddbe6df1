"""The story that `make demo` tells, and the checks that make it true. See demo/__main__.py."""
