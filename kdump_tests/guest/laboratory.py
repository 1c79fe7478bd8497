"""Opening the laboratory: left-overs swept, the image built, a run begun, libvirt at hand."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from kdump_tests.guest import hypervisor as hypervisors
from kdump_tests.guest.accelerator import Accelerator, Choice, choose
from kdump_tests.guest.build import ImageStore
from kdump_tests.guest.image import BuiltImage, Image
from kdump_tests.guest.lab import QEMU, Lab
from kdump_tests.guest.reaper import reap
from kdump_tests.guest.run import new_run
from kdump_tests.guest.saved_state import SavedStates, chosen_limit
from kdump_tests.subprocesses import program

_ANY_KERNEL = "debian-13-kernel"


Meet = Callable[[Lab, BuiltImage], BuiltImage]


def _as_it_is(_lab: Lab, image: BuiltImage) -> BuiltImage:
    return image


@dataclass(frozen=True)
class Places:
    """Where things are kept: built images and answers about the host, and the runs that are alive."""

    cache: Path
    runs: Path


def prepared(places: Places, image: str, accelerator: Choice) -> tuple[BuiltImage, Accelerator]:
    """What is found out or made once, whoever asks first: the tools, the image, what it runs on.

    Raises:
        LabError: what is missing or does not answer, with the way out.
    """
    Image.load(image).guest_stack()  # is it one to boot at all?
    for name in (QEMU, "qemu-img"):
        program(name)
    reap(places.runs, places.cache)
    built = ImageStore(places.cache).get(image)
    # Any kernel tells what this host can do.
    kernel = built.kernel or ImageStore(places.cache).get(_ANY_KERNEL).kernel
    assert kernel is not None
    return built, choose(accelerator, kernel, places.cache)


@contextmanager
def opened(
    places: Places, image: str, accelerator: Choice, connect: str, *, cold: bool = False,
    meet: Meet = _as_it_is,
) -> Iterator[tuple[Lab, BuiltImage]]:  # fmt: skip
    """A laboratory for guests of one image, and that image. ``cold``: no guest is forked from a saved state.

    ``meet`` finds out what is on an image that boots by itself, with a guest of this laboratory.

    Raises:
        LabError: what is missing or does not answer, with the way out.
    """
    states = None if cold else SavedStates(places.cache, chosen_limit())
    built, chosen = prepared(places, image, accelerator)
    with (
        new_run(places.runs, connect) as run,
        hypervisors.connected(connect, run.folder, places.cache) as hypervisor,
    ):
        lab = Lab(run, hypervisor, chosen, states)
        yield lab, meet(lab, built)
