"""Splits N workers between stable and canary. Knows nothing of pods; asked on every pass, also while a step holds."""


def canary_pods(total: int, weight: int) -> int:
    """How many of `total` pods (>= 0) run the canary at `weight` percent (0..100).

    Nearest whole number, a tie goes to the canary; 1..99 % of two or more pods leaves one on each side.
    10 pods, 41 % -> 4.  3 pods, 50 % -> 2.  4 pods, 1 % -> 1.  Vectors: tests/unit/domain/test_split.py.

    Raises ValueError if `weight` is outside 0..100 or `total` is negative.
    """
    if not 0 <= weight <= 100:
        raise ValueError(f"weight {weight} is outside 0..100")
    if total < 0:
        raise ValueError(f"total {total} is negative")
    nearest = (total * weight * 2 + 100) // 200
    if total >= 2 and 0 < weight < 100:
        return min(max(nearest, 1), total - 1)
    return nearest


def split(total: int, weight: int) -> tuple[int, int]:
    """(stable, canary) while a canary runs at `weight` percent (1..100) of `total` workers.

    Both sides keep at least one pod while there is work, so that each can be judged and neither version's loss stops
    the sync: one worker becomes 1 + 1 for that time, and 100 % of four is 1 + 3. With no work the canary keeps one
    pod, which must prove that it starts.
    """
    if total == 0:
        return 0, 1
    if total == 1:
        return 1, 1
    canary = min(max(canary_pods(total, weight), 1), total - 1)
    return total - canary, canary
