"""The settings of the rollback benchmark, and its figures from what a watch saw. No cluster."""

from typing import Any

import pytest

from bench.figures import Aim
from bench.recorder import Change, Json
from bench.records import Series
from bench.rollback.cells import LATE, MAIN, SHARES, STRATEGIES, VARIED, Cell, Phase, Start, Surge, cells, select, usual
from bench.rollback.report import section
from bench.rollback.story import VERSION, Story
from bench.rollback.workload import Addresses, demo_integration
from crm_operator.api.v1alpha1 import CrmIntegrationSpec


@pytest.mark.parametrize(
    ("share", "workers"),
    [
        pytest.param(10, 10, id="1 of 10"),
        pytest.param(20, 5, id="1 of 5"),
        pytest.param(25, 4, id="1 of 4"),
        pytest.param(50, 4, id="2 of 4, so that a canary may be more than one"),
        pytest.param(60, 5, id="3 of 5"),
    ],
)
def test_a_share_is_a_whole_number_of_workers(share: int, workers: int) -> None:
    assert a_cell(share).workers == workers


@pytest.mark.parametrize("share", [0, 1, 33, 100])
def test_a_share_that_no_few_workers_can_have_is_refused(share: int) -> None:
    with pytest.raises(ValueError, match="try 10, 20"):
        _ = a_cell(share).workers


def test_the_main_setting_comes_first_and_the_share_is_varied_before_promotion_only() -> None:
    names = [str(cell) for cell in cells()]
    assert names[0] == str(MAIN) == "20/default/quick/canary"
    assert len(set(names)) == len(names) == 4 * 2 * (3 + 1 + 1)
    assert [str(cell) for cell in cells() if cell.phase is not Phase.CANARY and cell.surge is Surge.DEFAULT] == [
        "20/default/quick/handover",
        "20/default/slow/handover",
        "20/default/quick/bake",
        "20/default/slow/bake",
    ]
    assert next(str(cell) for cell in cells([50]) if cell.phase is Phase.BAKE) == "50/default/quick/bake"


def test_settings_are_selected_as_files_are() -> None:
    assert [str(cell) for cell in select(cells(), ["10/*/slow/*", "20/none/quick/bake"])] == [
        "10/default/slow/canary",
        "10/full/slow/canary",
        "10/none/slow/canary",
        "10/at-once/slow/canary",
        "20/none/quick/bake",
    ]
    assert select(cells(), []) == cells()
    with pytest.raises(ValueError, match="cell '30/"):
        select(cells(), ["20/*", "30/*"])


def test_usually_every_share_start_and_phase_is_run_and_each_other_strategy_before_and_after_promotion() -> None:
    found = usual(cells())
    assert {str(cell) for cell in found} >= set(VARIED), "none of them is misspelt"
    assert len(found) == 2 * (3 + 1 + 1) + len(VARIED)
    for surge in Surge:
        assert {cell.phase for cell in found if cell.surge is surge} >= {Phase.CANARY, Phase.BAKE}
    assert {cell.weight for cell in found if cell.surge is not Surge.DEFAULT} == set(SHARES)
    assert [cell for cell in usual(cells([50])) if cell.surge is not Surge.DEFAULT] == select(
        cells([50]), ["50/none/slow/canary", "50/at-once/quick/canary"]
    )


@pytest.mark.parametrize("surge", Surge)
def test_the_workers_are_replaced_as_the_cell_says(surge: Surge) -> None:
    cell = Cell(weight=20, surge=surge, start=Start.QUICK, phase=Phase.BAKE)
    body = demo_integration("good", Addresses("redis://10.0.0.1:6379/0", "http://10.0.0.1:8080"), cell)
    strategy = CrmIntegrationSpec.model_validate(body["spec"]).workers.strategy
    assert strategy.to_wire() == STRATEGIES[surge]


def a_cell(share: int) -> Cell:
    return Cell(weight=share, surge=Surge.DEFAULT, start=Start.QUICK, phase=Phase.CANARY)


def pod(name: str, version: str, *, ready: bool = True, told: bool = False) -> Json:
    metadata: Json = {"name": name, "labels": {VERSION: version}}
    if told:
        metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    return {"metadata": metadata, "status": {"conditions": [{"type": "Ready", "status": str(ready)}]}}


def seen(at: float, obj: Json, *, kind: str = "Pod", type_: str = "MODIFIED") -> Change:
    return Change(at, kind, type_, obj)


def replica_set(wanted: int, version: str = "bad", name: str = "rs") -> Json:
    return {"metadata": {"name": name, "labels": {VERSION: version}}, "spec": {"replicas": wanted}}


def story(*changes: Change, before: tuple[Json, ...] = (), workers: int = 2) -> Story:
    return Story(before=before, changes=changes, good="good", bad="bad", workers=workers)


def test_bad_pods_are_told_when_the_last_one_is_and_gone_when_none_is_left() -> None:
    found = story(
        seen(1, pod("a", "bad"), type_="ADDED"),
        seen(2, pod("b", "bad"), type_="ADDED"),
        seen(6, pod("a", "bad", told=True)),
        seen(7, pod("b", "bad", told=True)),
        seen(8, pod("a", "bad", told=True), type_="DELETED"),
        seen(9, pod("b", "bad", told=True), type_="DELETED"),
    )
    assert (found.told(5), found.gone(5)) == (7, 9)


def test_one_bad_pod_that_goes_on_is_not_told() -> None:
    found = story(seen(1, pod("a", "bad")), seen(2, pod("b", "bad")), seen(6, pod("a", "bad", told=True)))
    assert (found.told(5), found.gone(5)) == (None, None)


def test_a_bad_pod_that_went_without_a_word_is_told_when_it_goes() -> None:
    found = story(seen(1, pod("a", "bad")), seen(6, pod("a", "bad"), type_="DELETED"))
    assert found.told(5) == 6


def test_full_counts_good_pods_that_are_ready_and_stay_those_from_before_included() -> None:
    found = story(
        seen(6, pod("new", "good", ready=False), type_="ADDED"),
        seen(7, pod("leaving", "good", told=True)),
        seen(8, pod("new", "good")),
        before=(pod("old", "good"), pod("leaving", "good", ready=False)),
    )
    assert found.full(5) == 8


def test_who_never_lost_a_worker_is_full_at_once() -> None:
    assert story(seen(6, pod("c", "good")), before=(pod("a", "good"), pod("b", "good"))).full(5) == 5


def test_a_replica_set_wants_none_when_all_of_the_version_do() -> None:
    found = story(
        seen(1, replica_set(0), kind="ReplicaSet"),
        seen(2, replica_set(2), kind="ReplicaSet"),
        seen(3, replica_set(1, name="other"), kind="ReplicaSet"),
        seen(5.5, replica_set(0, version="good", name="third"), kind="ReplicaSet"),
        seen(6, replica_set(0), kind="ReplicaSet"),
        seen(7, replica_set(1, name="other"), kind="ReplicaSet", type_="DELETED"),
    )
    assert found.wanted_zero(5) == 7


def a_run(cell: str, zero: float, **values: Any) -> Json:
    times = {"last_job": 1.0, "told": 0.6, "full": 3.0, "gone": 4.0, "wanted_zero": 0.6, "suspected": None}
    return {"cell": cell, "zero": zero, **times, "bad_jobs": 7, "failed_jobs": 2, **values}


def test_the_tables_have_a_row_for_each_setting_and_say_where_an_aim_is_missed() -> None:
    runs = [a_run(str(MAIN), 0.5), a_run(str(MAIN), 0.6), a_run("50/none/slow/canary", 0.69, last_job=2.5)]
    text = section(Series({"settings": {"jobs_per_s": 50.0}}, tuple(runs)))
    assert "| wanted no bad worker (at 0) | 2 | 0.50 | 0.50 | 0.60 | 0.60 | p50 < 0.7 s, p95 < 1.2 s | met |" in text
    assert "critical guard in status" not in text, "nobody saw it"
    row = "| `20/default/quick/canary` | 2 | 0.50 | 0.60 | 1.00 | 1.00 | 0.60 | 3.00 | 3.00 | 7 | 7 | met |"
    assert row in text
    assert "**missed** in `50/none/slow/canary` of 2, at 50 jobs/s" in text, "equal is not below"
    assert Aim(p95=2.5).shown() in text


def test_all_strategies_after_promotion_are_judged_together_as_well() -> None:
    runs = [a_run("20/full/quick/bake", 0.4, last_job=2.6), *[a_run(str(LATE), 0.3, last_job=1.5) for _ in range(20)]]
    text = section(Series({"settings": {"jobs_per_s": 50.0}}, tuple(runs)))
    assert f"`{LATE}`: from the first failed job to" in text
    assert "**missed** in `20/full/quick/bake` of 2" in text
    assert "All 21 of `20/*/quick/bake` together: at 0 p50 0.30, p95 0.30 s; last bad job p50 1.50, p95 1.50" in text
    assert "most 2.60 s (met)." in text
