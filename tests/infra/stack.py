"""CloudFormation templates as they are with given parameters: SAM expanded, conditions decided, intrinsics resolved.

What only AWS knows stays a name: an attribute is "${Bucket.Arn}", a reference to a resource "${Bucket}".
"""

import os
import pathlib
import re

os.environ.setdefault("AWS_DEFAULT_REGION", "eu-central-1")

from samcli.yamlhelper import yaml_parse  # noqa: E402  (the translator asks for a region when it is imported)
from samtranslator.translator.transform import transform  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]
INFRA = ROOT / "infra"
PSEUDO = {
    "AWS::AccountId": "123456789012",
    "AWS::Partition": "aws",
    "AWS::Region": os.environ["AWS_DEFAULT_REGION"],
    "AWS::StackName": "dunlin",
    "AWS::URLSuffix": "amazonaws.com",
}
# The property is left out.
ABSENT = object()


class NoManagedPolicies:
    """Stands for what the translator would ask IAM for; no role here uses it."""

    def load(self):
        return {}


def read(name):
    """A template of infra/ as it is written, short forms of intrinsics made long."""
    return yaml_parse((INFRA / name).read_text())


def expand(template, parameters):
    """A SAM template as CloudFormation sees it, its code in a bucket as `sam package` leaves it."""
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            resource["Properties"]["CodeUri"] = {"Bucket": "code", "Key": "bootstrap.zip"}
    template.get("Globals", {}).get("Function", {}).pop("CodeUri", None)
    return transform(template, parameters, NoManagedPolicies())


class Stack:
    """A stack with these parameters; the rest have their defaults."""

    def __init__(self, name, **parameters):
        template = read(name)
        self.declared = template["Parameters"]
        unknown = set(parameters) - set(self.declared)
        assert not unknown, f"{name} has no parameters {unknown}"
        self.parameters = {key: said.get("Default") for key, said in self.declared.items()} | parameters
        if "Transform" in template:
            template = expand(template, {k: v for k, v in self.parameters.items() if v is not None})
        self.template = template
        self.mappings = template.get("Mappings", {})
        self.conditions = {name: self.resolve(said) for name, said in template.get("Conditions", {}).items()}
        self.resources = {
            name: {**said, "Properties": self.resolve(said.get("Properties", {}))}
            for name, said in template["Resources"].items()
            if self.conditions.get(said.get("Condition"), True)
        }

    def of_type(self, kind):
        """The resources of a type: name -> properties."""
        return {name: said["Properties"] for name, said in self.resources.items() if said["Type"] == kind}

    def nested(self, logical):
        """The stack inside this one."""
        said = self.resources[logical]["Properties"]
        # What only AWS knows is passed on as its name.
        return Stack(said["TemplateURL"], **said["Parameters"])

    def resolve(self, value):
        if isinstance(value, list):
            return [item for item in map(self.resolve, value) if item is not ABSENT]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            ((key, argument),) = value.items()
            if key in ("Ref", "Condition") or key.startswith("Fn::"):
                return self._intrinsic(key.removeprefix("Fn::"), argument)
        resolved = {key: self.resolve(item) for key, item in value.items()}
        return {key: item for key, item in resolved.items() if item is not ABSENT}

    def _intrinsic(self, name, argument):
        if name == "Ref":
            return self._ref(argument)
        if name == "Condition":
            # In a policy statement it is a block of conditions, in Conditions the name of one.
            if not isinstance(argument, str):
                return {"Condition": self.resolve(argument)}
            return self.resolve(self.template["Conditions"][argument])
        if name == "If":
            condition, yes, no = argument
            return self.resolve(yes if self.conditions[condition] else no)
        if name == "GetAtt":
            return "${" + (argument if isinstance(argument, str) else ".".join(argument)) + "}"
        if name == "Sub":
            return self._sub(argument)
        resolved = self.resolve(argument)
        match name:
            case "Equals":
                return str(resolved[0]) == str(resolved[1])
            case "Not":
                return not resolved[0]
            case "And":
                return all(resolved)
            case "Or":
                return any(resolved)
            case "Join":
                separator, items = resolved
                return separator.join(items) if isinstance(items, list) else items
            case "Split":
                return resolved[1].split(resolved[0])
            case "FindInMap":
                return self.mappings[resolved[0]][str(resolved[1])][str(resolved[2])]
        raise NotImplementedError(f"Fn::{name}")

    def _ref(self, name):
        if name == "AWS::NoValue":
            return ABSENT
        return self.parameters[name] if name in self.parameters else PSEUDO.get(name, "${" + name + "}")

    def _sub(self, argument):
        text, values = (argument, {}) if isinstance(argument, str) else argument

        def replaced(match):
            name = match[1]
            if name in values:
                return str(self.resolve(values[name]))
            return str(self._ref(name)) if "." not in name else match[0]

        return re.sub(r"\$\{([^!}]+)\}", replaced, text)
