"""Writes the smallest kind of container image: one static binary. Saves the node tier from needing an image builder."""

import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any


def write_single_binary_image(binary: Path, *, name: str, archive: Path) -> None:
    """Write an OCI archive whose only file is `binary`, run as the entry point by an unprivileged user."""
    layer = _tar([(binary.name, binary.read_bytes(), 0o755)])
    config = _json(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Entrypoint": [f"/{binary.name}"], "User": "65535:65535"},
            "rootfs": {"type": "layers", "diff_ids": [_digest(layer)]},
        }
    )
    manifest = _json(
        {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": _descriptor("application/vnd.oci.image.config.v1+json", config),
            "layers": [_descriptor("application/vnd.oci.image.layer.v1.tar", layer)],
        }
    )
    entry = _descriptor("application/vnd.oci.image.manifest.v1+json", manifest)
    entry["annotations"] = {"io.containerd.image.name": name, "org.opencontainers.image.ref.name": name}
    index = _json({"schemaVersion": 2, "manifests": [entry]})
    blobs = [
        (f"blobs/sha256/{_digest(blob).removeprefix('sha256:')}", blob, 0o644) for blob in (layer, config, manifest)
    ]
    archive.write_bytes(
        _tar([("oci-layout", _json({"imageLayoutVersion": "1.0.0"}), 0o644), *blobs, ("index.json", index, 0o644)])
    )


def _descriptor(media_type: str, blob: bytes) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": _digest(blob), "size": len(blob)}


def _digest(blob: bytes) -> str:
    return f"sha256:{hashlib.sha256(blob).hexdigest()}"


def _json(document: dict[str, Any]) -> bytes:
    return json.dumps(document).encode()


def _tar(files: list[tuple[str, bytes, int]]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for path, content, mode in files:
            info = tarfile.TarInfo(path)
            info.size, info.mode = len(content), mode
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()
