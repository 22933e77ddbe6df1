"""Kopf as event source against a real API server, and what becomes of it when that fails."""

import asyncio
import base64
import json
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from crm_operator.api.names import LABEL_INTEGRATION, LABEL_MANAGED_BY, MANAGED_BY
from crm_operator.controller.cache import KINDS, Cache
from crm_operator.controller.kube import Kube
from crm_operator.controller.resources import CRMINTEGRATIONS, DEPLOYMENTS, SYNCPAUSES
from crm_operator.controller.resync import Resync
from crm_operator.controller.watch import WatchEnded, watch
from crm_operator.controller.watchdog import Freshness
from crm_operator.domain.key import Key
from dev.cluster import Cluster
from tests.cluster.objects import a_pause, an_integration

pytestmark = pytest.mark.cluster


@dataclass
class Watched:
    """A running watch and what came of it."""

    cache: Cache
    freshness: Freshness
    keys: list[Key] = field(default_factory=list)
    pauses: list[Key] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    codes: list[str] = field(default_factory=list)

    async def until(self, holds: Callable[[], object], within: float = 10.0) -> None:
        await until(holds, within, self)


async def until(holds: Callable[[], object], within: float = 10.0, about: object = None) -> None:
    """What another thread does has no event to wait for; look until it shows."""
    deadline = time.monotonic() + within
    while not holds():
        assert time.monotonic() < deadline, f"not within {within} s: {about}"
        await asyncio.sleep(0.02)


@asynccontextmanager
async def watching(api: Kube, namespace: str, *, ready: bool = True) -> AsyncIterator[Watched]:
    seen = Watched(Cache([namespace]), Freshness(KINDS))
    stop = asyncio.Event()
    task = asyncio.create_task(
        watch(
            stop,
            kube=api,
            cache=seen.cache,
            enqueue=seen.keys.append,
            enqueue_pause=seen.pauses.append,
            freshness=seen.freshness,
            fail=seen.failed.append,
            observe=lambda _, code: seen.codes.append(code),
        )
    )
    try:
        if ready:
            await seen.until(lambda: seen.freshness.ready() is None)
        yield seen
        assert not task.done(), "the watch ended on its own"
    finally:
        stop.set()
        await task


@pytest.fixture
async def api(api_cluster: Cluster) -> AsyncIterator[Kube]:
    async with await Kube.connect(api_cluster.kubeconfig) as kube:
        yield kube


def a_deployment(of: str | None = "hubspot", replicas: int = 0) -> dict[str, Any]:
    labels = {"app": "w"} if of is None else {"app": "w", LABEL_MANAGED_BY: MANAGED_BY, LABEL_INTEGRATION: of}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "worker", "image": "localhost/w:1"}]}}
    spec = {"replicas": replicas, "selector": {"matchLabels": {"app": "w"}}, "template": template}
    return {"metadata": {"labels": labels}, "spec": spec}


async def integrate(api: Kube, namespace: str, name: str = "hubspot", **labels: str) -> dict[str, Any]:
    body = {"metadata": {"labels": labels}, "spec": an_integration()["spec"]}
    return await api.apply(CRMINTEGRATIONS, namespace, name, body, manager="user")


async def test_changes_of_all_four_kinds_reach_the_cache_and_their_owners_queue(api: Kube, namespace: str) -> None:
    hubspot = Key(namespace, "hubspot")
    async with watching(api, namespace) as seen:
        cache = seen.cache
        await integrate(api, namespace)
        await seen.until(lambda: cache.get("CrmIntegration", *hubspot))
        await api.apply(SYNCPAUSES, namespace, "stop", {"spec": a_pause()["spec"]}, manager="user")
        await seen.until(lambda: seen.pauses == [Key(namespace, "stop")])
        assert set(seen.keys) == {hubspot}

        made = await api.apply(DEPLOYMENTS, namespace, "w", a_deployment(replicas=2), manager="m")
        await seen.until(lambda: len(cache.children("Pod", hubspot)) == 2)
        await seen.until(lambda: cache.children("Deployment", hubspot)[0]["status"].get("readyReplicas") == 2)
        assert set(seen.keys) == {hubspot}

        await api.delete(DEPLOYMENTS, namespace, "w", uid=made["metadata"]["uid"])
        await seen.until(lambda: not cache.children("Pod", hubspot) and not cache.children("Deployment", hubspot))
        await api.delete(CRMINTEGRATIONS, namespace, "hubspot")
        await seen.until(lambda: cache.get("CrmIntegration", *hubspot) is None)
        assert seen.failed == []


async def test_what_is_not_ours_is_not_sent_to_us(api: Kube, namespace: str) -> None:
    async with watching(api, namespace) as seen:
        await api.apply(DEPLOYMENTS, namespace, "foreign", a_deployment(of=None, replicas=1), manager="m")
        await api.apply(DEPLOYMENTS, namespace, "ours", a_deployment(), manager="m")
        await seen.until(lambda: seen.cache.count("Deployment"))
        await asyncio.sleep(0.5)
        assert [key.name for key in seen.cache.keys("Deployment")] == ["ours"]
        assert seen.cache.count("Pod") == 0


async def test_our_own_writes_answer_is_news_once(api: Kube, namespace: str) -> None:
    async with watching(api, namespace) as seen:
        made = await integrate(api, namespace)
        first = seen.cache.upsert("CrmIntegration", made)  # as apply.py does, before or after the event comes
        await integrate(api, namespace, "zoho")
        await seen.until(lambda: Key(namespace, "zoho") in seen.keys)
        assert seen.keys.count(Key(namespace, "hubspot")) == (0 if first else 1)


async def test_an_api_server_that_crashes_and_comes_back_loses_nothing(
    api_cluster: Cluster, api: Kube, namespace: str
) -> None:
    async with watching(api, namespace) as seen:
        before = await integrate(api, namespace)
        await seen.until(lambda: seen.keys)
        await asyncio.to_thread(api_cluster.stop_component, "kube-apiserver", kill=True)
        await asyncio.sleep(3)
        await asyncio.to_thread(api_cluster.start_component, "kube-apiserver")
        after = await integrate(api, namespace, touched="yes")
        assert int(after["metadata"]["resourceVersion"]) > int(before["metadata"]["resourceVersion"])

        def touched() -> bool:
            held = seen.cache.get("CrmIntegration", namespace, "hubspot")
            return held is not None and "touched" in held["metadata"].get("labels", {})

        await seen.until(touched, within=20)
        await seen.until(lambda: seen.freshness.ready() is None)
        assert "<error>" in seen.codes
        assert seen.failed == []


async def test_the_resync_prunes_what_no_event_told_of(api: Kube, namespace: str) -> None:
    made = await integrate(api, namespace)
    ghost = json.loads(json.dumps(made).replace("hubspot", "ghost").replace(made["metadata"]["uid"], "another"))
    cache, keys, pauses = Cache([namespace]), list[Key](), list[Key]()
    cache.upsert("CrmIntegration", ghost)
    await Resync(api, cache, enqueue=keys.append, enqueue_pause=pauses.append).first()
    assert cache.keys("CrmIntegration") == [Key(namespace, "hubspot")]
    assert set(keys) == {Key(namespace, "hubspot"), Key(namespace, "ghost")}
    assert cache.synced()


async def test_a_watcher_that_dies_quietly_is_noticed(api: Kube, namespace: str) -> None:
    async with watching(api, namespace) as seen:
        (thread,) = [t for t in threading.enumerate() if t.name == "kopf"]
        loop = thread._loop  # type: ignore[attr-defined]

        def kill() -> None:
            (task,) = [t for t in asyncio.all_tasks(loop) if t.get_name().startswith("watcher for pods")]
            task.cancel()

        loop.call_soon_threadsafe(kill)
        await seen.until(lambda: seen.failed, within=5)
        assert seen.failed == ["1 of 5 watchers are gone"]


async def test_a_kopf_that_ends_ends_the_watch_with_an_error(api: Kube, namespace: str) -> None:
    freshness = Freshness(KINDS)
    watch_task = asyncio.create_task(
        watch(
            asyncio.Event(),
            kube=api,
            cache=Cache([namespace]),
            enqueue=lambda _: None,
            enqueue_pause=lambda _: None,
            freshness=freshness,
            fail=lambda _: None,
            observe=lambda *_: None,
        )
    )
    await until(lambda: freshness.ready() is None)
    (thread,) = [t for t in threading.enumerate() if t.name == "kopf"]
    loop = thread._loop  # type: ignore[attr-defined]

    def kill() -> None:
        (task,) = [t for t in asyncio.all_tasks(loop) if t.get_name() == "resource observer"]
        task.cancel()

    loop.call_soon_threadsafe(kill)
    with pytest.raises(WatchEnded):
        await asyncio.wait_for(watch_task, 15)


@dataclass
class Account:
    """A service account with a token in a file, and a kubeconfig that names the file."""

    kube: httpx.AsyncClient
    namespace: str
    kubeconfig: Path

    @property
    def token(self) -> Path:
        return self.kubeconfig.with_name("token")

    async def new_token(self) -> None:
        path = f"/api/v1/namespaces/{self.namespace}/serviceaccounts/op/token"
        answer = await self.kube.post(path, json={"spec": {"expirationSeconds": 600}})
        self.token.write_text(answer.raise_for_status().json()["status"]["token"])

    async def may_watch(self) -> None:
        base = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{self.namespace}"
        rules = [
            {"apiGroups": [r.group], "resources": [r.plural], "verbs": ["get", "list", "watch"]} for r in KINDS.values()
        ]
        role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "op"}
        subject = {"kind": "ServiceAccount", "name": "op", "namespace": self.namespace}
        for kind, body in (("roles", {"rules": rules}), ("rolebindings", {"roleRef": role, "subjects": [subject]})):
            answer = await self.kube.post(f"{base}/{kind}", json={"metadata": {"name": "op"}, **body})
            answer.raise_for_status()


@pytest.fixture
async def account(
    api_cluster: Cluster,
    kube: httpx.AsyncClient,
    namespace: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Account:
    monkeypatch.setattr("crm_operator.controller.kube.CREDENTIALS_FOR", timedelta(seconds=0.3))
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts"
    (await kube.post(path, json={"metadata": {"name": "op"}})).raise_for_status()
    config = yaml.safe_load(api_cluster.kubeconfig.read_text())
    config["users"] = [{"name": user["name"], "user": {"tokenFile": "token"}} for user in config["users"]]
    for cluster in config["clusters"]:
        if authority := cluster["cluster"].get("certificate-authority"):
            cluster["cluster"]["certificate-authority"] = str(api_cluster.kubeconfig.parent / authority)
    account = Account(kube, namespace, tmp_path / "kubeconfig")
    account.kubeconfig.write_text(yaml.safe_dump(config))
    await account.new_token()
    return account


async def test_a_forbidden_watch_is_not_ready_and_goes_on_when_it_is_allowed(api: Kube, account: Account) -> None:
    namespace = account.namespace
    async with (
        await Kube.connect(account.kubeconfig) as limited,
        watching(limited, namespace, ready=False) as seen,
    ):
        await seen.until(lambda: seen.codes.count("403") >= 8)
        assert "not watched yet" in str(seen.freshness.ready())
        await account.may_watch()
        await seen.until(lambda: seen.freshness.ready() is None)
        await integrate(api, namespace)
        await seen.until(lambda: seen.keys == [Key(namespace, "hubspot")])
        assert seen.failed == []


async def test_a_token_that_is_refused_is_outlived_and_the_next_one_works(api: Kube, account: Account) -> None:
    namespace = account.namespace
    await account.may_watch()
    good = account.token.read_text()
    account.token.write_text("not.a.token")
    async with (
        await Kube.connect(account.kubeconfig) as limited,
        watching(limited, namespace, ready=False) as seen,
    ):
        await seen.until(lambda: seen.codes.count("401") >= 4)
        assert len(seen.codes) < 20, "refused logins must not be a flood"
        account.token.write_text(good)
        await seen.until(lambda: seen.freshness.ready() is None, within=15)
        await integrate(api, namespace)
        await seen.until(lambda: seen.keys == [Key(namespace, "hubspot")])
        assert seen.failed == []


async def test_a_pods_service_account_is_enough(
    api: Kube, account: Account, api_cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    await account.may_watch()
    (cluster,) = yaml.safe_load(account.kubeconfig.read_text())["clusters"]
    authority = account.kubeconfig.with_name("ca.crt")
    access = cluster["cluster"]
    inline = access.get("certificate-authority-data")
    named = access.get("certificate-authority")
    authority.write_bytes(base64.b64decode(inline) if inline else await asyncio.to_thread(Path(named).read_bytes))
    server = httpx.URL(access["server"])
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", server.host)
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(server.port))
    monkeypatch.setattr("kubernetes.aio.config.incluster_config.SERVICE_TOKEN_FILENAME", str(account.token))
    monkeypatch.setattr("kubernetes.aio.config.incluster_config.SERVICE_CERT_FILENAME", str(authority))
    async with await Kube.connect(None) as pod, watching(pod, account.namespace) as seen:
        await integrate(api, account.namespace)
        await seen.until(lambda: seen.keys == [Key(account.namespace, "hubspot")])
        assert await pod.get(CRMINTEGRATIONS, account.namespace, "hubspot") is not None
