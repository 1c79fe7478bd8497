"""Policies: how much a distribution keeps aside by default, as data in policies/*.toml.

RHEL 7 is not among them: its kernel computes the size by a formula that ranges cannot say.
"""

from pathlib import Path
from typing import Annotated, Self

import pydantic

from kdump_tests.crashkernel.setting import Setting, parse_setting
from kdump_tests.errors import BadInput
from kdump_tests.sizes import parse_size
from kdump_tests.validation import Size, Strict, load_toml

FOLDER = Path(__file__).parent / "policies"


def _value(text: str) -> str:
    try:
        parse_setting(text)
    except BadInput as error:
        raise ValueError(str(error)) from None  # what pydantic takes for a fault of this key
    return text


class Rule(Strict):
    """What one architecture gets. From ``at_least_from`` on, more is as good."""

    crashkernel: Annotated[str, pydantic.AfterValidator(_value)]
    source: str
    at_least_from: Size | None = None


class Policy(Strict):
    """One file. ``boundary`` says in words to which tier an edge belongs."""

    name: str
    description: str
    boundary: str
    x86_64: Rule | None = None
    arm64: Rule | None = None
    ppc64le: Rule | None = None
    s390x: Rule | None = None

    @pydantic.model_validator(mode="after")
    def _says_something(self) -> Self:
        if not self.rules:
            raise ValueError("no architecture has a rule: x86_64, arm64, ppc64le or s390x")
        return self

    @property
    def rules(self) -> dict[str, Rule]:
        """By architecture."""
        known = {
            "x86_64": self.x86_64, "arm64": self.arm64, "ppc64le": self.ppc64le, "s390x": self.s390x
        }  # fmt: skip
        return {architecture: rule for architecture, rule in known.items() if rule}

    def rule(self, architecture: str) -> Rule:
        """What this architecture gets.

        Raises:
            BadInput: the policy does not know it.
        """
        if architecture not in self.rules:
            raise BadInput(
                f"the policy {self.name} says nothing about {architecture}", known=", ".join(self.rules)
            )
        return self.rules[architecture]

    def setting(self, architecture: str) -> Setting:
        """The rule of this architecture, as crashkernel= takes it.

        Raises:
            BadInput: the policy does not know it.
        """
        return parse_setting(self.rule(architecture).crashkernel)

    def at_least(self, architecture: str, memory: int) -> bool:
        """Whether on so many bytes the size is the smallest that will do, not the exact one."""
        start = self.rule(architecture).at_least_from
        return start is not None and memory >= parse_size(start)


def policy_names() -> tuple[str, ...]:
    """The policies that are known, sorted."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.toml")))


def load_policy(name: str) -> Policy:
    """The policy of that name, or of a file of the same form whose path ends in .toml.

    Raises:
        BadInput: there is none, or it says what it must not.
    """
    if name not in policy_names() and not name.endswith(".toml"):
        raise BadInput(
            f"there is no policy {name!r}", known=", ".join(policy_names()), way_out="or a path to a .toml"
        )
    path = FOLDER / f"{name}.toml" if name in policy_names() else Path(name)
    return load_toml(Policy, path, path.stem, what="policy", refusal=BadInput)
