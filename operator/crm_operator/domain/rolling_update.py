"""How far a rolling update may go from the wanted size, by Kubernetes' own arithmetic. Asked on every pass."""

from dataclasses import dataclass

from crm_operator.api.v1alpha1 import Strategy


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """Of so many workers, in whole ones."""

    surge: int  # so many more than wanted may run, >= 0
    unavailable: int  # so many fewer than wanted may be Ready, >= 0; at least one of both is above 0


def room(strategy: Strategy, workers: int) -> Room:
    """What `strategy` allows with `workers` (>= 0) wanted.

    25 %/0 of 10: 3 more, none fewer. 25 %/25 % of 10: 3 more, 2 fewer. 0/10 % of 5: one fewer.
    Percent of the surge are rounded up, of the unavailable down; where both come to 0, one may be missing, as nothing
    could move otherwise. So does the Deployment controller (`ResolveFenceposts` in Kubernetes'
    pkg/controller/deployment/util); 0 workers have no percent.
    """
    surge = _count(strategy.max_surge, workers, up=True)
    unavailable = min(_count(strategy.max_unavailable, workers, up=False), workers)
    return Room(surge=surge, unavailable=unavailable if surge or unavailable else 1)


def _count(value: int | str, of: int, *, up: bool) -> int:
    if isinstance(value, int):
        return value
    hundredths = int(value.removesuffix("%")) * of
    return -(-hundredths // 100) if up else hundredths // 100
