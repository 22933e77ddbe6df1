"""`kubectl crm` as a person uses it, against a real API server and a running operator."""

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from dev.cluster import Cluster
from tests.cluster.kube import collection
from tests.cluster.objects import a_guard
from tests.cluster.scene import Json, Scene, in_phase, is_paused, is_stable, replicas, rollout, size, version

pytestmark = pytest.mark.cluster

OPERATOR = Path(__file__).parents[2] / "operator"
SLOW: Json = {"steps": [{"weight": 50, "hold": "1h"}], "bake": "1s"}


@dataclass(frozen=True)
class Said:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str


Crm = Callable[..., Awaitable[Said]]


@pytest.fixture
def crm(api_cluster: Cluster, scene: Scene) -> Crm:
    """Runs `kubectl-crm` in the scene's namespace, with KUBECONFIG as a person has it."""

    async def run(*arguments: str, namespace: str | None = scene.namespace) -> Said:
        where = () if namespace is None else ("--namespace", namespace)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "crm_operator.cli.main", *arguments, *where),
            env={**os.environ, "KUBECONFIG": str(api_cluster.kubeconfig), "PYTHONPATH": str(OPERATOR)},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
        assert process.returncode is not None
        return Said(process.returncode, out.decode(), err.decode())

    return run


async def test_status_and_explain(scene: Scene, crm: Crm) -> None:
    assert (await crm("status")).out == "no CrmIntegration in this namespace\n"
    await scene.settled(guards=[a_guard("dead-letters", critical={"above": 2})])
    scene.dead_letter(3)
    await scene.until(lambda obj: obj["status"]["phase"] == "Degraded")
    table = await crm("status")
    assert table.out.splitlines()[1].split()[:3] == ["hubspot", "Degraded", "False"]
    explained = await crm("explain", "hubspot")
    assert explained.code == 0
    assert "  why        guard dead-letters is Critical: dead 3 > 2" in explained.out
    assert "guard dead-letters: 3 on 1 sample(s), limit 2, blame provider" in explained.out
    assert "  next       somebody looks at guard dead-letters; Healthy when it is clear" in explained.out
    plain = json.loads((await crm("status", "hubspot", "-o", "json")).out)
    assert plain["status"]["guards"][0]["value"] == "3"


async def test_a_canary_is_promoted_aborted_and_retried(scene: Scene, crm: Crm) -> None:
    first = rollout(await scene.settled(rollout=SLOW))["stableRevision"]
    await scene.change(workers=version(2))
    new = rollout(await scene.until(in_phase("Canary")))["canaryRevision"]
    aborted = await crm("abort", "hubspot")
    assert (aborted.code, aborted.out.split(":")[0]) == (0, "Done")
    await scene.until(in_phase("RolledBack"))
    explained = await crm("explain", "hubspot")
    assert f"{new} is not tried again" in explained.out
    assert (await crm("retry", "hubspot")).code == 0
    await scene.until(in_phase("Canary"))
    assert (await crm("promote", "hubspot", "--full")).code == 0
    done = await scene.until(lambda obj: is_stable(obj) and rollout(obj)["stableRevision"] != first)
    assert rollout(done)["stableRevision"] == new


async def test_a_verb_that_changes_nothing_says_so(scene: Scene, crm: Crm) -> None:
    await scene.settled()
    said = await crm("abort", "hubspot")
    assert (said.code, said.out) == (1, "")
    assert said.err.startswith("Ignored: ")


async def test_pause_and_resume(scene: Scene, crm: Crm) -> None:
    await scene.settled()
    paused = await crm("pause", "hubspot", "--reason", "INC-42")
    assert (paused.code, paused.out.split(":")[0]) == (0, "Paused")
    assert size(await scene.deployment()) == 0
    assert "INC-42" in (await crm("status", "hubspot")).out
    await scene.pause("audit", providers=["hubspot", "zoho"])
    lifted = await crm("resume", "hubspot")
    assert (lifted.code, lifted.out) == (0, "Lifted: hubspot; still paused: audit (hubspot, zoho)\n")
    assert (await crm("resume", "audit")).code == 0
    await scene.deployment_until(replicas(2))
    # The same pause again, which is there by now.
    assert (await crm("pause", "hubspot", "--reason", "INC-43")).code == 0
    assert is_paused(await scene.get())
    other = await crm("pause", "hubspot", "--reason", "INC-44", "--integration")
    assert other.code == 1
    assert "stops something else (hubspot)" in other.err


async def test_resume_lifts_what_a_guard_has_paused(scene: Scene, crm: Crm) -> None:
    await scene.settled(guards=[a_guard("dead-letters", critical={"above": 2})], onCritical={"pause": True})
    scene.dead_letter(3)
    await scene.until(is_paused)
    (own,) = await scene.list(collection("syncpauses", scene.namespace))
    assert (await crm("resume", "hubspot")).out == f"Lifted: {own['metadata']['name']}\n"
    await scene.deployment_until(replicas(2))


async def test_what_cannot_be_done_is_said_with_the_remedy(scene: Scene, crm: Crm) -> None:
    missing = await crm("explain", "hubspot")
    assert missing.code == 1
    assert missing.err == (
        f"error: CrmIntegration hubspot does not exist in namespace {scene.namespace}; see: kubectl crm status\n"
    )
    assert (await crm("promote", "hubspot")).code == 1
    nothing = await crm("resume", "hubspot")
    assert (nothing.code, nothing.err) == (1, "no SyncPause stops just hubspot\n")
    unknown = await crm("status", "--context", "elsewhere")
    assert (unknown.code, unknown.err.endswith("has no context elsewhere\n")) == (1, True)
    assert (await crm("pause", "hubspot")).code == 2
    refused = await crm("pause", "Not a label", "--reason", "x")
    assert refused.code == 1
    assert "Invalid" in refused.err


async def test_the_namespace_is_the_contexts_unless_given(crm: Crm) -> None:
    assert (await crm("status", namespace=None)).out == "no CrmIntegration in this namespace\n"
