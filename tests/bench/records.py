"""A replay's record made by hand."""

from bench.records import Json


def a_record(**values: object) -> Json:
    """10 seconds: 20 jobs come between the seconds 1 and 2 and are done at 6; two workers, of which one stays."""
    return {
        "trace": "step",
        "scaler": "operator",
        "seconds": 10,
        "unbegun": 0,
        "refused": 0,
        "samples": [[0, 0, 0], [1, 0, 0], [2, 12, 8], [4, 2, 8], [6, 0, 0], [10, 0, 0]],
        "sizes": [[0.0, 0, 0, 0], [2.5, 2, 0, 0], [2.6, 2, 2, 0], [3.0, 2, 2, 2], [8.0, 1, 2, 2], [8.1, 1, 1, 1]],
        "waits": [[0.0, 8], [0.4, 8], [2.5, 4]],
        **values,
    }
