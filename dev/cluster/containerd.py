"""containerd with everything of its own: root, state, socket, network configuration and pause image.

Pods are connected by CNI's `ptp`: each has a cable to the node and everything is routed, so Service addresses work
between pods of the node without the bridge netfilter module.
"""

import json
import subprocess
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

from dev.cluster.components import Component
from dev.cluster.filesystems import is_overlay
from dev.cluster.network import run
from dev.cluster.oci import write_single_binary_image

PAUSE_IMAGE = "localhost/crm-dev/pause:dev"


def socket_path(work: Path) -> Path:
    """Where containerd listens."""
    return work / "containerd.sock"


def containerd(work: Path, pods: IPv4Network) -> Component:
    """containerd with its own root, state and socket, and our pause image."""
    home = work / "containerd"
    home.mkdir()
    cni = _cni_config(work, pods)
    cri = {
        "sandbox_image": PAUSE_IMAGE,
        # Lowering the OOM score needs CAP_SYS_RESOURCE, which containers often lack: every sandbox would die of it.
        "restrict_oom_score_adj": True,
        "disable_apparmor": True,
        "disable_tcp_service": True,
        "netns_mounts_under_state_dir": True,
        "cni": {"bin_dir": "/usr/lib/cni", "conf_dir": str(cni)},
        "containerd": {
            "snapshotter": snapshotter(work),
            "runtimes": {"runc": {"runtime_type": "io.containerd.runc.v2", "options": {"SystemdCgroup": False}}},
        },
    }
    config = {
        "version": 2,
        "root": str(home / "root"),
        "state": str(home / "state"),
        "grpc": {"address": str(socket_path(work))},
        "plugins": {"io.containerd.grpc.v1.cri": cri, "io.containerd.internal.v1.opt": {"path": str(home / "opt")}},
    }
    file = home / "config.toml"
    file.write_text("\n".join(_toml(config)) + "\n")
    return Component("containerd", ["/usr/bin/containerd", "--config", file])


def _toml(table: dict[str, Any], path: tuple[str, ...] = ()) -> list[str]:
    """Nested dicts of strings, numbers and booleans as TOML lines; JSON's notation of those is TOML's too."""
    lines = [f"[{'.'.join(json.dumps(part) for part in path)}]"] if path else []
    lines += [f"{key} = {json.dumps(value)}" for key, value in table.items() if not isinstance(value, dict)]
    for key, value in table.items():
        if isinstance(value, dict):
            lines += _toml(value, (*path, key))
    return lines


def _cni_config(work: Path, pods: IPv4Network) -> Path:
    ipam = {
        "type": "host-local",
        "ranges": [[{"subnet": str(pods)}]],
        "routes": [{"dst": "0.0.0.0/0"}],
        "dataDir": str(work / "cni" / "addresses"),
    }
    document = {
        "cniVersion": "1.0.0",
        "name": "crm-dev",
        "plugins": [
            {"type": "ptp", "ipMasq": False, "ipam": ipam},
            {"type": "portmap", "capabilities": {"portMappings": True}},
        ],
    }
    folder = work / "cni" / "net.d"
    folder.mkdir(parents=True)
    (folder / "10-crm-dev.conflist").write_text(json.dumps(document, indent=2))
    return folder


def load_pause_image(work: Path, pause: Path) -> None:
    """Give containerd the image that holds each pod's namespaces. Raises ClusterError."""
    archive = work / "pause.tar"
    write_single_binary_image(pause, name=PAUSE_IMAGE, archive=archive)
    import_image(work, archive)


def import_image(work: Path, archive: Path) -> None:
    """Load an OCI or Docker archive into the node. Raises ClusterError."""
    run("ctr", "--address", str(socket_path(work)), "--namespace", "k8s.io", "images", "import", str(archive))


def answers(work: Path) -> bool:
    """Whether containerd takes requests."""
    command = ["ctr", "--address", str(socket_path(work)), "--connect-timeout", "1s", "version"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def snapshotter(work: Path) -> str:
    """How image layers are stacked: by copies where the kernel cannot, on a folder that is on an overlay itself."""
    return "native" if is_overlay(work) else "overlayfs"
