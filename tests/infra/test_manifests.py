"""infra/docker/kserve.yaml against the types of KServe's own SDK, and of the Kubernetes client under it."""

import importlib.util
import pathlib
import re
import sys
import types

import pytest
import yaml

# The types without the package's own __init__, which loads its model server (overrides.txt leaves out what that needs).
package = types.ModuleType("kserve")
package.__path__ = list(importlib.util.find_spec("kserve").submodule_search_locations)
sys.modules["kserve"] = package
import kserve.models  # noqa: E402
import kubernetes.client.models  # noqa: E402

MANIFEST = pathlib.Path(__file__).resolve().parents[2] / "infra" / "docker" / "kserve.yaml"
PLAIN = {"str": str, "int": int, "bool": bool, "float": (int, float), "object": object}


def faults(value, kind, at=""):
    """What of a value its type does not have. Both clients tell the names and types of their fields."""
    if of := re.fullmatch(r"list\[(.*)\]", kind, re.IGNORECASE):
        return [fault for item in value for fault in faults(item, of[1], f"{at}[]")]
    if of := re.fullmatch(r"dict[(\[]str, (.*)[)\]]", kind, re.IGNORECASE):
        return [fault for key, item in value.items() for fault in faults(item, of[1], f"{at}.{key}")]
    if kind in PLAIN:
        return [] if isinstance(value, PLAIN[kind]) else [f"{at}: {value!r} is no {kind}"]
    model = getattr(kserve.models, kind, None) or getattr(kubernetes.client.models, kind)
    fields = {written: model.openapi_types[name] for name, written in model.attribute_map.items()}
    unknown = [f"{at}: {kind} has no {key}" for key in value if key not in fields]
    known = [
        fault for key, item in value.items() if key in fields for fault in faults(item, fields[key], f"{at}.{key}")
    ]
    return unknown + known


def test_kserve_knows_every_field():
    assert faults(yaml.safe_load(MANIFEST.read_text()), "V1beta1InferenceService") == []


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("minReplicas: 0", "minReplicas: none"),
        ("serviceAccountName", "serviceAccount_name"),
        ("containerPort: 8080", "containerPort: http"),
        ("runAsNonRoot", "runAsNonroot"),
    ],
)
def test_a_slip_is_found(right, wrong):
    text = MANIFEST.read_text()
    assert right in text
    assert len(faults(yaml.safe_load(text.replace(right, wrong)), "V1beta1InferenceService")) == 1
