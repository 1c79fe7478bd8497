"""What to verify: the user's choices, validated before anything is started."""

from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal, Self

import pydantic

from kdump_tests.crash.trigger import Trigger
from kdump_tests.crashkernel.policy import Rule, load_policy
from kdump_tests.errors import BadInput
from kdump_tests.guest.crashkernel_parameter import AUTO, NONE, check_request, promises
from kdump_tests.guest.disk_file import DiskFile
from kdump_tests.guest.host import Address, Consent
from kdump_tests.guest.hypervisor import EMBEDDED
from kdump_tests.guest.image import Image, StackName
from kdump_tests.guest.spec import SMALLEST_MEMORY, Firmware, GuestSpec
from kdump_tests.sizes import GIB, format_size, parse_size
from kdump_tests.stacks import STACKS, dump_disk, dump_server
from kdump_tests.stacks.another_kernel import KernelFiles
from kdump_tests.stacks.dump_target import Raw
from kdump_tests.stacks.kdump_conf import KdumpConfig, parse_kdump_conf
from kdump_tests.stacks.stack import Stack, check_settings, unfit_for_a_host
from kdump_tests.stacks.topology import Remote, Topology
from kdump_tests.stacks.translation import Translation, Untranslated
from kdump_tests.stacks.visit import Host
from kdump_tests.validation import Strict, faults

# Choices that say nothing where the other kind of machine is verified, and options whose names differ.
_OF_HOSTS = ("allow_crash", "allow_busy", "spare", "identity", "console", "patience")
_OF_GUESTS = (
    "image", "firmware", "kernel", "initrd", "modules", "memory", "vcpus", "accelerator", "connect", "cold",
    "nfs_version",
)  # fmt: skip
_OPTIONS = {"accelerator": "accel"}


def _sizes(text: object) -> tuple[int, ...]:
    if not isinstance(text, str):
        raise BadInput(f"{text!r} is not a list of memory sizes")
    sizes = tuple(parse_size(word) for word in text.split(","))
    if len(set(sizes)) != len(sizes):
        raise BadInput(f"--memory {text} names a tier twice")
    return sizes


def _settings(words: object) -> dict[str, str]:
    assert isinstance(words, tuple | list)
    pairs = [str(word).partition("=") for word in words]
    for name, equals, _ in pairs:
        if not (name and equals):
            raise BadInput(f"--kdump-setting {name}: not of the form NAME=VALUE")
    return {name: value for name, _, value in pairs}


def _triggers(text: object) -> tuple[Trigger, ...]:
    named = {str(trigger): trigger for trigger in Trigger}
    names = list(named) if text == "all" else str(text).split(",")
    for name in names:
        if name not in named:
            raise BadInput(f"there is no trigger {name!r}", known=", ".join(named), way_out="or all")
    if len(set(names)) != len(names):
        raise BadInput(f"--trigger {text} names one twice")
    return tuple(named[name] for name in names)


class Plan(Strict):
    """One run. ``memory`` holds the memory tiers in bytes.

    Those that the host holds are booted whole, the others probed alone. The first one that is booted and is
    promised memory for a capture kernel, as far as that can be told, is crashed.
    """

    image: str = "debian-12"
    stack_name: StackName | None = None  # the image's own
    firmware: Firmware | None = None
    kernel: Path | None = None
    initrd: Path | None = None
    modules: Path | None = None
    memory: Annotated[tuple[int, ...], pydantic.BeforeValidator(_sizes)] = (GIB, 2 * GIB, 4 * GIB, 8 * GIB)
    crashkernel: str = "auto"
    policy: str | None = None
    kernel_arguments: tuple[str, ...] = ()
    vcpus: Annotated[int, pydantic.Field(ge=1, le=64)] = 1
    accelerator: Literal["auto", "kvm", "tcg"] = "auto"
    connect: str = EMBEDDED
    host: str | None = None
    allow_crash: str | None = None
    allow_busy: bool = False
    spare: tuple[str, ...] = ()
    identity: Path | None = None
    console: str | None = None
    patience: Annotated[float, pydantic.Field(gt=0, le=100)] = 1.0
    cold: bool = False
    vmlinux: Path | None = None
    triggers: Annotated[tuple[Trigger, ...], pydantic.BeforeValidator(_triggers)] = (Trigger.SYSRQ_C,)
    nfs_version: Annotated[int, pydantic.Field(ge=3, le=4)] = 4
    kdump_conf: Path | None = None
    kdump_settings: Annotated[dict[str, str], pydantic.BeforeValidator(_settings)] = pydantic.Field(
        default_factory=dict
    )

    @classmethod
    def of(cls, **choices: object) -> Self:
        """A plan of the given choices; those that are None take their default.

        Raises:
            BadInput: a choice cannot be; names it and the reason.
        """
        try:
            plan = cls.model_validate(
                {name: choice for name, choice in choices.items() if choice is not None}
            )
        except pydantic.ValidationError as error:
            raise BadInput("the plan cannot be carried out", wrong=faults(error, "plan")) from None
        if plan.policy is not None:
            load_policy(plan.policy)
            if plan.crashkernel != "auto":
                raise BadInput(
                    f"--policy {plan.policy} would not be used",
                    reason=f"crashkernel={plan.crashkernel} is asked for, and a policy stands in for auto",
                    way_out="leave one of them out",
                )
        if plan.vmlinux is not None and not plan.vmlinux.exists():
            raise BadInput(f"there is no vmlinux at {plan.vmlinux}", way_out="leave it out, or name one")
        if plan.host is not None:
            plan._check_host()
            return plan
        if alone := plan._chosen(_OF_HOSTS):
            raise BadInput(f"{alone[0]} is about an existing host", way_out="--host USER@NAME")
        plan._check_image()
        plan._check_stack()
        for memory in plan.memory:
            plan.spec(memory, None)  # is it a machine at all?
        check_request(plan.crashkernel, plan.memory)
        if remote := plan.remote:
            dump_server.require_known(remote)
        if plan._chosen(("nfs_version",)) and plan.topology is not Topology.NFS_DUMP:
            raise BadInput(
                f"--nfs-version {plan.nfs_version} would not be used: no dump is saved over NFS",
                way_out="nfs dump-server:/srv/dumps in --kdump-conf",
            )
        if mount := plan.mount:
            dump_disk.require_known(mount.partition)
        if raw := plan.raw:
            dump_disk.require_raw(raw)
        return plan

    def _chosen(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """Those of the choices that are not what they are anyway, as options."""
        fields = type(self).model_fields
        chosen = [name for name in names if getattr(self, name) != fields[name].default]
        return tuple(f"--{_OPTIONS.get(name, name.replace('_', '-'))}" for name in chosen)

    def _check_stack(self) -> None:
        if self.stack:
            check_settings(self.stack, self.settings)
        elif self.kdump_conf or self.kdump_settings:
            raise BadInput(
                "it is not known in whose words kdump is to be configured",
                reason="with --stack auto, what kdump it is turns out in the guest",
                way_out=f"name it: --stack {' or '.join(STACKS)}",
            )

    @cached_property
    def stack(self) -> Stack | None:
        """The kdump implementation that guests must have, as it comes; None for whichever they have.

        Raises:
            BadInput: no guest boots the image.
        """
        told = "auto" if self.host else Image.load(self.image).guest_stack()
        named = self.stack_name or told
        return None if named == "auto" else STACKS[named]

    def _check_host(self) -> None:
        """What is asked of a machine that exists, and cannot be."""
        if self.crashkernel != AUTO or self.policy or self.kernel_arguments:
            raise BadInput(
                "the boot loader of an existing host is left as it is",
                reason="--crashkernel, --policy and --kernel-argument change its kernel command line",
                way_out="set it there; what is set is what is verified",
            )
        if guests := self._chosen(_OF_GUESTS):
            raise BadInput(f"{guests[0]} is about guests, and --host is none", way_out="leave it out")
        if len(self.triggers) > 1:
            raise BadInput("an existing host is crashed once", way_out="one --trigger at a time")
        self._check_stack()
        if self.remote or self.mount:
            raise BadInput(
                "dumps of an existing host are looked for on its own disk, where it keeps them now",
                way_out="leave ssh, nfs, ftp and partitions out of --kdump-conf and --kdump-setting",
            )
        if self.settings and self.looks_only:
            raise BadInput(
                f"{self.host} is only looked at without --allow-crash, and its kdump left as it is",
                reason="--kdump-conf and --kdump-setting would have it armed anew",
                way_out="--allow-crash with its own hostname, or neither of them",
            )
        if self.stack and (unfit := self.stack.unfit_for_a_host(self.settings, self.settings)):
            raise unfit_for_a_host(self.host or "", unfit)
        Address.parse(self.host or "")

    @property
    def kernel_files(self) -> KernelFiles | None:
        """The kernel of the user's, where guests shall run that one.

        Raises:
            BadInput: it comes without its modules.
        """
        if self.kernel is None:
            return None
        if self.modules is None:
            raise BadInput(f"--kernel {self.kernel} comes without --modules: no disk would be found")
        return KernelFiles(self.kernel, self.initrd, self.modules)

    @property
    def visit(self) -> Host | None:
        """The host that exists, where one is verified rather than guests."""
        if self.host is None:
            return None
        consent = Consent(self.allow_crash, self.spare, self.allow_busy)
        return Host(Address.parse(self.host), consent, self.identity, self.console, self.patience)

    @property
    def looks_only(self) -> bool:
        """Whether nothing is crashed and nothing changed, as on a host whose name nobody spelled out."""
        return self.host is not None and self.allow_crash is None

    def _check_image(self) -> None:
        image = Image.load(self.image)
        image.guest_stack()  # is there one?
        if image.build is None:
            DiskFile.examine(image.brought_disk())
        if self.firmware and not image.boots_by_firmware:
            raise BadInput(
                f"--firmware {self.firmware}: {image.name} starts with its kernel, without firmware"
            )
        if self.kernel_files:
            if image.boots_by_firmware:
                raise BadInput(
                    f"--kernel {self.kernel}: {image.name} has a boot loader and a kernel of its own",
                    way_out="an image that starts with its kernel, as debian-12",
                )
            self.kernel_files.check()
        elif self.initrd or self.modules:
            raise BadInput("--initrd and --modules need a --kernel to go with")
        if reserving := [word for word in self.kernel_arguments if word.startswith("crashkernel=")]:
            raise BadInput(
                f"--kernel-argument {reserving[0]} would not be what is verified",
                way_out="--crashkernel VALUE",
            )
        if self.kernel_arguments and image.boots_by_firmware:
            raise BadInput(
                f"--kernel-argument {self.kernel_arguments[0]} cannot be set on {image.name}",
                reason="it boots by its own boot loader, which has its own kernel command line",
                way_out="set it there, or take an image that starts with its kernel",
            )

    @cached_property
    def configured_stack(self) -> Stack | None:
        """The same with the settings of this plan.

        Raises:
            BadInput: with them, nobody could look for dumps.
        """
        return self.stack.configured(self.settings) if self.stack else None

    @property
    def remote(self) -> Remote | None:
        """The machine that dumps are sent to."""
        return self.configured_stack.remote if self.configured_stack else None

    @property
    def topology(self) -> Topology:
        """Which guests a crash takes."""
        if remote := self.remote:
            return remote.topology
        return Topology.DISK_DUMP if self.mount else Topology.LOCAL_DUMP

    @property
    def mount(self) -> dump_disk.Mount | None:
        """The disk that ``--kdump-conf`` names for dumps."""
        return self._translation.mount

    @property
    def raw(self) -> Raw | None:
        """The disk that ``--kdump-conf`` has dumps written to without a file system."""
        target = self.configuration.target if self.configuration else None
        known = "raw" not in {left.option for left in self.untranslated}
        return target if isinstance(target, Raw) and known else None

    @cached_property
    def configuration(self) -> KdumpConfig | None:
        """What ``--kdump-conf`` asks for.

        Raises:
            BadInput: the file cannot be read, or kdump would refuse it.
        """
        if self.kdump_conf is None:
            return None
        try:
            return parse_kdump_conf(self.kdump_conf.read_text())
        except (OSError, UnicodeDecodeError) as error:
            raise BadInput(f"{self.kdump_conf} cannot be read", reason=error) from None

    @property
    def settings(self) -> dict[str, str]:
        """What is set in the guests' kdump, in the words of its own configuration file."""
        return {**self._translation.settings, **self.kdump_settings}

    @property
    def untranslated(self) -> tuple[Untranslated, ...]:
        """What ``--kdump-conf`` asks for and the stack has no word for."""
        return self._translation.untranslated

    @cached_property
    def _translation(self) -> Translation:
        if self.stack and self.configuration:
            return self.stack.translate(self.configuration)
        return Translation({}, ())

    @property
    def key(self) -> str:
        """Short, and the same for plans whose guests do the same things."""
        kdump = (self.crashkernel, self.policy, self.stack_name)
        machine = (self.host or self.image, self.firmware, self.kernel, self.vcpus, self.cold)
        return " ".join(map(str, (*machine, *kdump, *self.kernel_arguments, self.topology)))

    def booted(self, host: int) -> tuple[int, ...]:
        """The tiers that a host of so many bytes boots whole; of a host that exists, one that says nothing.

        Raises:
            BadInput: not a single one.
        """
        if self.host is not None:
            return (SMALLEST_MEMORY,)
        if held := tuple(memory for memory in self.memory if memory <= host):
            return held
        raise BadInput(
            "no tier of --memory can be booted here, so nothing can be crashed",
            smallest=format_size(min(self.memory)),
            host=f"{host / GIB:.1f} GiB",
            way_out="a smaller tier besides",
        )

    def crashed(self, host: int) -> int:
        """The tier that is crashed."""
        booted = self.booted(host)
        if self.host is not None:
            return booted[0]
        if self.crashkernel not in {NONE, AUTO}:
            rule = Rule.of(self.crashkernel)
        elif self.policy is not None:
            rule = load_policy(self.policy).rule(Image.load(self.image).architecture)
        else:
            return booted[0]
        return next((memory for memory in booted if promises(rule, memory)), booted[0])

    def crashes(self, host: int) -> tuple[GuestSpec, ...]:
        """A guest for each trigger, in their order.

        The first one's is the tier's own, which other tests look at too, if it needs no other machine.
        """
        tier = self.spec(self.crashed(host), None)
        if self.host is not None:
            return (tier,)
        guests = [
            replace(tier, purpose=str(trigger), vcpus=max(tier.vcpus, trigger.value.vcpus))
            for trigger in self.triggers
        ]
        if guests[0].vcpus == tier.vcpus:
            guests[0] = tier
        return tuple(guests)

    def trigger(self, spec: GuestSpec) -> Trigger:
        """How that guest is crashed."""
        named = {str(trigger): trigger for trigger in self.triggers}
        return named.get(spec.purpose, self.triggers[0])

    def spec(self, memory: int, crashkernel: str | None) -> GuestSpec:
        """The guest of one tier."""
        if self.host is not None:
            name = Address.parse(self.host).name
            return GuestSpec(image=name, memory=memory, crashkernel=None, exists=True)
        return GuestSpec(
            image=self.image,
            memory=memory,
            crashkernel=crashkernel,
            vcpus=self.vcpus,
            kernel_arguments=self.kernel_arguments,
            disks=(dump_disk.DISK,) if self.mount or self.raw else (),
            links=(dump_server.LINK,) if self.remote else (),
            firmware=self.firmware or Image.load(self.image).boot.firmware,
        )

    def shown(self) -> dict[str, str]:
        """The plan in words, for the report."""
        if self.host is not None:
            return {
                "existing host": self.host,
                "may be crashed as": self.allow_crash or "not at all",
                "console by": self.console or "none: phases come from what a crash leaves",
                "kdump.conf": str(self.configuration or "").strip(),
                "kdump settings": ", ".join(
                    f"{name}={value}" for name, value in self.settings.items() if value
                ),
                "triggers": ", ".join(map(str, self.triggers)),
            }
        return {
            "image": self.image,
            "stack": self.stack.name if self.stack else "whichever it has",
            "firmware": self.firmware or "",
            "kernel": str(self.kernel or ""),
            "modules": str(self.modules or ""),
            "initrd": str(self.initrd or ""),
            "memory tiers": ", ".join(map(format_size, self.memory)),
            "crashkernel": self.crashkernel,
            "policy": self.policy or "",
            "kernel arguments": " ".join(self.kernel_arguments),
            "kdump.conf": str(self.configuration or "").strip(),
            "kdump settings": ", ".join(f"{name}={value}" for name, value in self.settings.items() if value),
            "vcpus": str(self.vcpus),
            "accelerator": self.accelerator,
            "libvirt": self.connect,
            "guests": "booted cold" if self.cold else "forked from saved states",
            "vmlinux": str(self.vmlinux or ""),
            "triggers": ", ".join(map(str, self.triggers)),
            "dumps": str(self.topology),
        }
