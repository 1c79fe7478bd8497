"""Policies: how much a distribution keeps aside by default, as data in policies/*.toml."""

from pathlib import Path
from typing import Annotated, Self

import pydantic

from kdump_tests.crashkernel.generation import Generation, generation_of, newest
from kdump_tests.crashkernel.setting import Setting, Simple, edges, parse_setting
from kdump_tests.errors import BadInput
from kdump_tests.sizes import round_up
from kdump_tests.validation import Bytes, Strict, load_toml

FOLDER = Path(__file__).parent / "policies"


def _value(text: str) -> str:
    try:
        parse_setting(text)
    except BadInput as error:
        raise ValueError(str(error)) from None  # what pydantic takes for a fault of this key
    return text


class Formula(Strict):
    """RHEL 7's auto: ``base``, and a byte for each ``ram_per_byte`` of the rest, rounded up to ``step``.

    Nothing below ``threshold``, to which the RAM is compared after rounding up to ``threshold_rounding``.
    """

    threshold: Bytes
    threshold_rounding: Bytes
    base: Bytes
    ram_per_byte: Bytes
    step: Bytes

    def size(self, memory: int) -> int:
        """What is kept aside of so many bytes of RAM."""
        if round_up(memory, self.threshold_rounding) < self.threshold:
            return 0
        return self.base + round_up((memory - self.base) // self.ram_per_byte, self.step)


class Rule(Strict):
    """What one architecture gets. From ``at_least_from`` on, more is as good."""

    crashkernel: Annotated[str, pydantic.AfterValidator(_value)] | None = None
    formula: Formula | None = None
    source: str
    at_least_from: Bytes | None = None

    @classmethod
    def of(cls, value: str) -> Self:
        """What a person asks for, as a rule.

        Raises:
            BadInput: it is no value.
        """
        parse_setting(value)
        return cls(crashkernel=value, source="asked for")

    @pydantic.model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if (self.crashkernel is None) == (self.formula is None):
            raise ValueError("either crashkernel or formula must say how much")
        return self

    def __str__(self) -> str:
        return self.crashkernel or "auto"

    def setting(self, memory: int) -> Setting:
        """As crashkernel= takes it, for a machine of so many bytes of RAM."""
        if self.formula:
            return Simple(self.formula.size(memory))
        assert self.crashkernel is not None
        return parse_setting(self.crashkernel)

    def at_least(self, memory: int) -> bool:
        """Whether on so many bytes the size is the smallest that will do, not the exact one."""
        return self.at_least_from is not None and memory >= self.at_least_from

    @property
    def edges(self) -> tuple[int, ...]:
        """Where the amount may jump, in bytes of RAM, ascending."""
        return (self.formula.threshold,) if self.formula else edges(self.setting(0))


class Policy(Strict):
    """One file. ``boundary`` says in words to which tier an edge belongs.

    ``kernel_release`` is one that the policy is used with, for what is expected where no kernel is at hand.
    """

    name: str
    description: str
    boundary: str
    kernel_release: str | None = None
    x86_64: Rule | None = None
    arm64: Rule | None = None
    ppc64le: Rule | None = None
    s390x: Rule | None = None

    @pydantic.field_validator("kernel_release")
    @classmethod
    def _of_a_known_generation(cls, release: str | None) -> str | None:
        try:
            if release is not None:
                generation_of(release, "x86_64")
        except BadInput as error:
            raise ValueError(error.message) from None
        return release

    @pydantic.model_validator(mode="after")
    def _says_something(self) -> Self:
        if not self.rules:
            raise ValueError("no architecture has a rule: x86_64, arm64, ppc64le or s390x")
        return self

    def generation(self, architecture: str) -> Generation:
        """How the kernels that it is used with read crashkernel=."""
        release = self.kernel_release
        return generation_of(release, architecture) if release else newest(architecture)

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
