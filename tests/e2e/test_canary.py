"""A new version on trial beside the old one: promoted on real numbers, held without them, taken back for its errors."""

import re
from datetime import datetime

import pytest

from tests.e2e.recorder import Seen
from tests.e2e.scene import NAME, Scene, condition_of, decisions, is_ready, revision_of
from tests.e2e.together import scenario

pytestmark = pytest.mark.e2e

CANARY = f"{NAME}-canary"
NONE = {"spec": {"replicas": 0}}


@scenario()
async def test_a_good_version_is_promoted_step_by_step_after_its_holds_and_jobs(scene: Scene) -> None:
    v1 = await scene.deploy()
    async with scene.load(8) as load, scene.record_deployments() as sizes, scene.record_integration() as told:
        await scene.release("v2")
        canary = await sizes.when(
            lambda now: now.get(CANARY, {}).get("status", {}).get("readyReplicas") == 1, within=60
        )
        v2 = revision_of(canary.objects[CANARY])
        assert v2 != v1
        environment = {
            item["name"]: item.get("valueFrom", {}).get("fieldRef", {}).get("fieldPath")
            for item in (await scene.pods(role="canary"))[0]["spec"]["containers"][0]["env"]
        }
        assert environment["CRM_REVISION"] == "metadata.labels['crm.agoralia.app/revision']"
        seen = await scene.stats_when(lambda stats: v2 in stats.revisions and stats.revisions[v2].writes > 0)
        assert (seen.revisions[v1].role, seen.revisions[v2].role) == ("stable", "canary")
        await scene.status_when(
            lambda status: (
                status["rollout"]["phase"] == "Stable"
                and status["rollout"]["stableRevision"] == v2
                and (status["workers"]["ready"], status["workers"]["canary"]) == (3, 0)
            ),
            within=90,
        )
        await sizes.when(
            lambda now: revision_of(now[NAME]) == v2 and now.get(CANARY, NONE)["spec"]["replicas"] == 0, within=30
        )
        splits = _splits(sizes.history)
        states = [seen.objects[NAME]["status"] for seen in told.history]

    # Whole pods of 3: 34 % is 1 and 67 % is 2; the canary goes when stable has the new version.
    assert splits.index((2, 1)) < splits.index((1, 2))
    # The promoted canary hands over: no moment with fewer workers.
    handing_over = splits[splits.index((1, 2)) :]
    assert [split for split in handing_over if sum(count or 0 for count in split) < 3] == []
    assert splits[-1] in ((3, 0), (3, None))
    last = await scene.status()
    made = [decision["what"] for decision in last["decisions"]]
    assert made[made.index("RolloutStarted") :] == ["RolloutStarted", "Advanced", "Promoted", "Baking", "Completed"]
    # The first step was held from when the canary was Ready, and counted its jobs.
    started = next(s["rollout"]["stepStartTime"] for s in states if s["rollout"].get("stepStartTime"))
    advanced = decisions(last, "Advanced")[0]["time"]
    assert (datetime.fromisoformat(advanced) - datetime.fromisoformat(started)).total_seconds() >= 2.9
    await scene.assert_each_done_once(load)


@scenario()
async def test_a_version_whose_jobs_fail_is_taken_back_once_and_stable_works_on(scene: Scene) -> None:
    v1 = await scene.deploy()
    before = await scene.replica_sets()
    async with scene.load(8) as load, scene.record_pods() as pods:
        await scene.release("v3", FAIL_EVERY="2")
        status = await scene.phase_when("RolledBack", within=90)
        v3 = status["rollout"]["failedRevision"]
        await pods.when(lambda now: any(revision_of(pod) == v3 for pod in now.values()), within=1)
        assert not [pod for pod in await scene.pods() if revision_of(pod) == v3]

        damage = await scene.stats()
        assert damage.revisions[v3].bad_writes > 3
        mended = await scene.stats_when(lambda now: now.revisions[v1].writes >= damage.revisions[v1].writes + 30)
        assert mended.bad_writes == damage.bad_writes, "a bad write after the rollback"
        assert mended.revisions[v3].started == damage.revisions[v3].started
        assert mended.revisions[v1].bad_writes == 0

        status = await scene.status_when(lambda status: status["workers"]["ready"] == 3)
        crashed = [
            pod for pod in pods.history[-1].objects.values() if pod["status"]["containerStatuses"][0]["restartCount"]
        ]
        assert not crashed
    after = await scene.replica_sets()
    assert {name: rs["metadata"]["uid"] for name, rs in after.items()} == {
        name: rs["metadata"]["uid"] for name, rs in before.items()
    }, "the stable Deployment never got another template"
    assert status["rollout"]["stableRevision"] == v1
    assert status["phase"] == "RolledBack"
    for type_, wanted in (("Ready", "False"), ("Stalled", "True"), ("RolledBack", "True")):
        assert condition_of(status, type_)["status"] == wanted
    assert re.search(r"crm_sync_errors_total \+\d+ > 3 in 15s on the new version, \+0 on stable", status["message"])
    assert v3 in status["message"]

    assert len(decisions(status, "RolledBack")) == 1
    (event,) = await scene.told("RolledBack")
    assert (event["type"], event["regarding"]["name"]) == ("Warning", NAME)
    described = await scene.kubectl("describe", "crmintegration", NAME)
    assert re.search(r"Warning +RolledBack .*crm_sync_errors_total", described)
    await scene.assert_each_done_once(load)


@scenario()
async def test_a_canary_whose_metrics_hang_is_neither_promoted_nor_taken_back(scene: Scene) -> None:
    scene.spec["rollout"]["steps"] = [{"weight": 67, "hold": "15s"}]  # 2 of 3
    await scene.deploy()
    async with scene.load(8):
        await scene.release("v2")
        await scene.deployment_when(CANARY, lambda d: d.get("status", {}).get("readyReplicas") == 2, within=90)
        # One of the two: what the other says is no proof of this one.
        name = (await scene.pods(role="canary"))[0]["metadata"]["name"]
        in_pod = ("exec", name, "-c", "worker", "--", "python3", "-m", "demo.app.metrics_outage")
        await scene.kubectl(*in_pod, "freeze")
        status = await scene.status_when(
            lambda status: "no answer" in condition_of(status, "MetricsAvailable")["message"], within=15
        )
        v2 = status["rollout"]["canaryRevision"]
        async with scene.record_integration() as told:
            began = await scene.stats()
            later = await scene.observe(17)  # more than the hold
            assert later.revisions[v2].writes > began.revisions[v2].writes + 5, "it worked on, unread"
            states = [seen.objects[NAME]["status"]["rollout"] for seen in told.history]
        assert {(state["phase"], state["step"]) for state in states} == {("Canary", 0)}
        assert [is_ready(pod) for pod in await scene.pods(role="canary")] == [True, True]

        await scene.kubectl(*in_pod, "thaw")
        status = await scene.status_when(lambda status: status["rollout"].get("stableRevision") == v2, within=90)
    assert condition_of(status, "MetricsAvailable")["status"] == "True"
    assert decisions(status, "RolledBack") == []


@scenario()
async def test_a_provider_that_fails_both_versions_holds_the_release_and_is_blamed(scene: Scene) -> None:
    scene.spec["guards"][0] |= {"critical": {"above": 8}, "window": "8s"}
    scene.spec["rollout"]["steps"] = [{"weight": 34, "hold": "10s"}]  # over before the trouble is
    v1 = await scene.deploy()
    # So few that the stable workers hardly have any, beside a canary that fails fast and takes the retries.
    async with scene.load(8) as load:
        await scene.release("v2")
        canary = await scene.deployment_when(CANARY, lambda d: d.get("status", {}).get("readyReplicas") == 1, within=90)
        v2 = revision_of(canary)
        await scene.stats_when(lambda stats: v2 in stats.revisions and stats.revisions[v2].writes > 0)
        async with scene.record_integration() as told:
            scene.hubspot.fail_with(500, seconds=15)
            status = await scene.status_when(lambda status: status["guards"][0].get("blame") == "provider")
            assert status["guards"][0]["state"] == "Critical"
            assert status["phase"] == "Degraded"
            assert condition_of(status, "RolledBack")["status"] == "False"
            await scene.status_when(lambda status: status["rollout"].get("stableRevision") == v2, within=90)
            states = [seen.objects[NAME]["status"] for seen in told.history]
    # Two watches: the recorder's may not have told of the last version yet.
    assert {state["rollout"]["phase"] for state in states} - {"Stable"} == {"Canary", "Promoting", "Baking"}
    troubled = [state["rollout"]["phase"] for state in states if state["guards"][0]["state"] == "Critical"]
    assert {*troubled} == {"Canary"}, "it went on in trouble"
    await scene.assert_each_done_once(load)
    assert v1 in (await scene.stats()).revisions


@scenario(own_operator=True)
async def test_an_operator_killed_beside_a_bad_canary_comes_back_and_takes_it_back(scene: Scene) -> None:
    v1 = await scene.deploy()
    async with scene.load(8):
        await scene.release("v3", FAIL_EVERY="2")
        canary = await scene.deployment_when(CANARY, lambda deployment: deployment["spec"]["replicas"] == 1)
        scene.operator.kill()
        v3 = revision_of(canary)
        await scene.stats_when(lambda stats: v3 in stats.revisions and stats.revisions[v3].bad_writes > 0)
        assert (await scene.status())["rollout"]["phase"] == "Canary"

        scene.operator.start(wait=False)
        status = await scene.phase_when("RolledBack", within=90)
        assert (status["rollout"]["stableRevision"], status["rollout"]["failedRevision"]) == (v1, v3)
        assert len(decisions(status, "RolledBack")) == 1
        assert not [pod for pod in await scene.pods() if revision_of(pod) == v3]
        damage = await scene.stats()
        later = await scene.stats_when(lambda now: now.revisions[v1].writes >= damage.revisions[v1].writes + 15)
        assert later.bad_writes == damage.bad_writes


def _splits(history: list[Seen]) -> list[tuple[int, int | None]]:
    """(stable, canary) sizes in the order they were asked for, without repetitions."""
    found: list[tuple[int, int | None]] = []
    for seen in history:
        canary = seen.objects.get(CANARY)
        split = (seen.objects[NAME]["spec"]["replicas"], None if canary is None else canary["spec"]["replicas"])
        if not found or found[-1] != split:
            found.append(split)
    return found
