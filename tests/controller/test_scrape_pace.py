"""How often workers are scraped."""

from datetime import timedelta

import pytest

from crm_operator.controller.scrape_pace import ScrapePace
from crm_operator.domain.key import Key
from crm_operator.sources.pods import PodTarget


def targets(old: int, new: int) -> list[PodTarget]:
    return [
        PodTarget(name=f"{side}-{n}", uid=f"{side}-{n}", ip="10.0.0.1", role="", revision=side, started_at=None)
        for side, count in (("old", old), ("new", new))
        for n in range(count)
    ]


HUBSPOT, ZOHO = Key("crm", "hubspot"), Key("crm", "zoho")


def seconds(
    old: int,
    new: int,
    *,
    asked: float = 5,
    on_trial: bool = True,
    closely: bool = False,
    pace: ScrapePace | None = None,
    key: Key = HUBSPOT,
) -> tuple[float, float]:
    """Between two scrapes of a pod of the new version, and of the old one; 0: there is no such pod."""
    interval, found = (pace or ScrapePace()).paced(
        key, targets(old, new), asked=timedelta(seconds=asked), on_trial=on_trial, candidate="new", closely=closely
    )
    of = {target.revision: target.every * interval.total_seconds() for target in found}
    return of.get("new", 0), of.get("old", 0)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        pytest.param(4, 1, (0.25, 1), id="one pod, four times a second"),
        pytest.param(5, 20, (0.25, 1), id="twenty, as often as it gets"),
        pytest.param(10, 40, (0.5, 1), id="forty, twice a second"),
        pytest.param(0, 40, (0.5, 0), id="after promotion there is nobody else"),
        pytest.param(80, 80, (1, 1), id="eighty, as all the others"),
        pytest.param(0, 500, (1, 0), id="many, no more seldom"),
        pytest.param(5, 0, (0, 1), id="none yet: all once a second"),
    ],
)
def test_a_version_on_trial_is_read_as_often_as_eighty_scrapes_a_second_allow(
    old: int, new: int, expected: tuple[float, float]
) -> None:
    assert seconds(old, new) == expected


def test_an_uneven_pace_of_the_new_version_keeps_the_others_near_a_second() -> None:
    new, old = seconds(7, 28)
    assert new == 0.35
    assert old == pytest.approx(1.05)


def test_without_a_trial_the_spec_says_how_often() -> None:
    assert seconds(4, 1, on_trial=False) == (5, 5)
    assert seconds(4, 1, asked=0.5, on_trial=False) == (0.5, 0.5)


def test_nobody_is_read_less_often_than_the_spec_says() -> None:
    assert seconds(80, 80, asked=0.5) == (0.5, 0.5)


@pytest.mark.parametrize("on_trial", [False, True])
def test_closely_is_four_times_a_second_for_all(on_trial: bool) -> None:
    assert seconds(80, 20, on_trial=on_trial, closely=True) == (0.25, 0.25)


def test_versions_on_trial_share_the_scrapes() -> None:
    pace = ScrapePace()
    assert seconds(4, 20, pace=pace, key=ZOHO) == (0.25, 1)
    assert seconds(4, 20, pace=pace) == (0.5, 1)
    assert seconds(4, 20, pace=pace, key=ZOHO) == (0.5, 1)
    pace.forget(ZOHO)
    assert seconds(4, 20, pace=pace) == (0.25, 1)
    assert seconds(4, 20, pace=pace, key=ZOHO, on_trial=False) == (5, 5)
    assert seconds(4, 20, pace=pace) == (0.25, 1), "what is not on trial takes no share"
