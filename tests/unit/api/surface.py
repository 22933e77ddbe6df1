"""The public surface of the CRDs, one line a field.

`PYTHONPATH=operator python -m tests.unit.api.surface` writes surface.txt anew.

A line that goes or changes breaks somebody's manifest, dashboard or script; a new line is harmless.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from crm_operator.api.crdgen import KINDS, crd

GOLDEN = Path(__file__).with_name("surface.txt")


def surface() -> str:
    """Names, columns and fields of all kinds, with types, bounds and the number of rules."""
    return "".join(f"{line}\n" for kind in KINDS for line in _lines(crd(kind)))


def _lines(document: dict[str, Any]) -> Iterator[str]:
    spec = document["spec"]
    names, version = spec["names"], spec["versions"][0]
    kind = names["kind"]
    yield f"{spec['group']}/{version['name']} {kind} {names['plural']} {' '.join(names['shortNames'])}"
    for column in version["additionalPrinterColumns"]:
        yield f"{kind} column {column['name']}{' (wide)' if column.get('priority') else ''} = {column['jsonPath']}"
    yield from _fields(version["schema"]["openAPIV3Schema"], kind, required=True)


def _fields(schema: dict[str, Any], path: str, *, required: bool) -> Iterator[str]:
    limits = [
        f"{key}={schema[key]}"
        for key in ("minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems")
        if key in schema
    ]
    type_ = "int-or-string" if schema.get("x-kubernetes-int-or-string") else schema["type"]
    words = [path, type_, *limits]
    words += ["|".join(schema["enum"])] if "enum" in schema else []
    words += [schema["x-kubernetes-list-type"]] if "x-kubernetes-list-type" in schema else []
    words += [f"rules={len(schema['x-kubernetes-validations'])}"] if "x-kubernetes-validations" in schema else []
    words += ["required"] if required else []
    yield " ".join(words)
    for name, member in schema.get("properties", {}).items():
        yield from _fields(member, f"{path}.{name}", required=name in schema.get("required", []))
    if "items" in schema:
        yield from _fields(schema["items"], f"{path}[]", required=False)


if __name__ == "__main__":
    GOLDEN.write_text(surface())
