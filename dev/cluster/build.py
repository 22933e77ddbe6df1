"""Builds the programs of a cluster from their Go modules, once per machine.

A binary's place in the cache is named by a hash of everything that goes into it (the module's files and the build
flags), so a change of version builds anew and an old checkout finds its old binaries. Each binary is built aside and
renamed into place: what is in the cache is whole, and an interrupted build goes on where it was.
"""

import hashlib
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from dev.cluster.config import Tier, cache_root
from dev.cluster.errors import ClusterError, ComponentFailed
from dev.cluster.golang import find_go
from dev.cluster.locks import exclusive
from dev.cluster.progress import Progress

MODULES = Path(__file__).with_name("modules")
KUBERNETES_VERSION = "1.36.3"
# Helm and client libraries parse the version that a server reports, so it must be stamped in.
_STAMP = {
    "gitVersion": f"v{KUBERNETES_VERSION}",
    "gitMajor": "1",
    "gitMinor": "36",
    "gitTreeState": "clean",
    "buildDate": "2026-01-01T00:00:00Z",  # fixed: the same input gives the same binary
}
_STAMP_FLAGS = " ".join(
    f"-X {package}.{key}={value}"
    for package in ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
    for key, value in _STAMP.items()
)


@dataclass(frozen=True, slots=True)
class Module:
    """A folder below modules/ with its own go.mod, and what is built from it."""

    name: str
    packages: dict[str, str]  # name of the binary: Go package
    ldflags: str = "-s -w"
    tags: str = ""
    data: tuple[str, tuple[str, ...]] | None = None  # (module, its folders) to be kept beside the binaries

    @property
    def flags(self) -> list[str]:
        """Arguments of `go build` that shape the result."""
        return ["-trimpath", "-ldflags", self.ldflags, *(["-tags", self.tags] if self.tags else [])]

    def fingerprint(self) -> str:
        """Hash of the module's files and the build flags: 16 hex digits."""
        digest = hashlib.sha256(repr((self.flags, sorted(self.packages.items()), self.data)).encode())
        for file in sorted((MODULES / self.name).iterdir()):
            content = file.read_bytes()
            digest.update(f"{file.name} {len(content)}\n".encode() + content)
        return digest.hexdigest()[:16]

    def folder(self) -> Path:
        """Where the cache keeps this module's binaries."""
        return cache_root() / "bin" / f"{self.name}-{self.fingerprint()}"


# Said before the silence begins: times on two cores with an empty build cache.
LONG_BUILDS = {"etcd": ", with downloads: takes 1 to 2 minutes", "kube-apiserver": ": takes about 3 minutes"}

_CMD = "k8s.io/kubernetes/cmd/"
_CONTROL_PLANE = ("kube-apiserver", "kubectl", "kube-controller-manager", "kube-scheduler")
_NODE = ("kubelet", "kube-proxy")
KUBE = Module(
    "kube",
    {"etcd": "go.etcd.io/etcd/server/v3", **{name: _CMD + name for name in (*_CONTROL_PLANE, *_NODE)}},
    ldflags=f"-s -w {_STAMP_FLAGS}",
    tags="selinux,notest,grpcnotrace",
)
COREDNS = Module("coredns", {"coredns": "github.com/coredns/coredns"})
KWOK = Module(
    "kwok",
    {"kwok": "sigs.k8s.io/kwok/cmd/kwok"},
    data=(
        "sigs.k8s.io/kwok",
        ("kustomize/stage/node/fast", "kustomize/stage/node/heartbeat-with-lease", "kustomize/stage/pod/fast"),
    ),
)
PAUSE = Module("pause", {"pause": "."})
HELM = Module(
    "helm", {"helm": "helm.sh/helm/v4/cmd/helm"}, ldflags="-s -w -X helm.sh/helm/v4/internal/version.version=v4.2.4"
)

NEEDED_BY_TIER: dict[Tier, list[tuple[Module, tuple[str, ...]]]] = {
    Tier.API: [(KUBE, ("etcd", *_CONTROL_PLANE)), (KWOK, ("kwok",))],
    Tier.NODE: [(KUBE, ("etcd", *_CONTROL_PLANE, *_NODE)), (COREDNS, ("coredns",)), (PAUSE, ("pause",))],
}


@dataclass(frozen=True, slots=True)
class Binaries:
    """Where the built programs are."""

    paths: dict[str, Path]
    stages: Path | None  # folder of KWOK's stage documents; None for a tier without fake nodes

    def __getitem__(self, name: str) -> Path:
        return self.paths[name]


def ensure_binaries(tier: Tier, progress: Progress) -> Binaries:
    """Build what the tier needs and is not in the cache yet.

    Raises MissingRequirement without a Go toolchain, ComponentFailed with the compiler's words if a build fails.
    """
    paths: dict[str, Path] = {}
    stages = None
    for module, names in NEEDED_BY_TIER[tier]:
        folder = _ensure(module, names, progress)
        paths |= {name: folder / name for name in names}
        if module.data:
            stages = folder / "data"
    return Binaries(paths, stages)


def ensure_helm(progress: Progress) -> Path:
    """Path of a Helm, which is built first if it is not in the cache. Raises as ensure_binaries does."""
    return _ensure(HELM, ["helm"], progress) / "helm"


def _ensure(module: Module, names: Collection[str], progress: Progress) -> Path:
    """Folder of the module's products, all there."""
    folder = module.folder()
    if not all((folder / name).exists() for name in _products(module, names)):
        with exclusive(cache_root() / "locks" / f"{module.name}.lock", progress, f"building {module.name}"):
            _build(module, names, progress)
    return folder


def _products(module: Module, names: Iterable[str]) -> list[str]:
    return [*names, *(["data"] if module.data else [])]


def _build(module: Module, names: Iterable[str], progress: Progress) -> None:
    go = find_go(progress)
    folder = module.folder()
    folder.mkdir(parents=True, exist_ok=True)
    missing = [name for name in names if not (folder / name).exists()]
    for position, name in enumerate(missing, start=1):
        _build_one(go, module, name, f"{name} ({position} of {len(missing)})", progress)
    if module.data and not (folder / "data").exists():
        _keep_data(go, module, *module.data)


def _build_one(go: Path, module: Module, name: str, label: str, progress: Progress) -> None:
    draft = module.folder() / f".{name}.{os.getpid()}"
    log = cache_root() / "logs" / f"build-{name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    progress.step(f"building {label}{LONG_BUILDS.get(name, '')}")
    try:
        with log.open("wb") as output:
            build = subprocess.Popen(
                [go, "build", *module.flags, "-o", draft, module.packages[name]],
                cwd=MODULES / module.name,
                env=_go_environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
            _watch(build, lambda: progress.busy(f"building {label}: {time.monotonic() - began:.0f} s"))
        if build.returncode:
            raise ComponentFailed(name, f"`go build` ended with code {build.returncode}", log)
        draft.replace(module.folder() / name)
    finally:
        draft.unlink(missing_ok=True)
    progress.step(f"built {name} in {time.monotonic() - began:.0f} s")


def _watch(build: subprocess.Popen[bytes], busy: Callable[[], None]) -> None:
    """Wait for the end of a build and call `busy` each second; an interrupt ends the build too."""
    try:
        while True:
            try:
                build.wait(timeout=1.0)
                return
            except subprocess.TimeoutExpired:
                busy()
    finally:
        build.kill()
        build.wait()


def _keep_data(go: Path, module: Module, source: str, folders: tuple[str, ...]) -> None:
    """Copy documents out of a downloaded module, so that a warm start needs no Go."""
    found = subprocess.run(
        [go, "list", "-m", "-f", "{{.Dir}}", source],
        cwd=MODULES / module.name,
        env=_go_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    if found.returncode:
        raise ClusterError(f"cannot find the module {source}: {found.stderr.strip()}")
    draft = module.folder() / f".data.{os.getpid()}"
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir()
    for folder in folders:
        for document in sorted(Path(found.stdout.strip(), folder).glob("*.yaml")):
            if document.name != "kustomization.yaml":
                shutil.copyfile(document, draft / document.name)
    draft.replace(module.folder() / "data")


def _go_environment() -> dict[str, str]:
    # The caller's GOFLAGS or workspace must not change what is built.
    own = {"CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOWORK": "off", "GOFLAGS": "-mod=readonly"}
    return {**os.environ, **own}
