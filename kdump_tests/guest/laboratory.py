"""Opening the laboratory: left-overs swept, a run begun, libvirt at hand, the image built."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from kdump_tests.errors import ToolMissing
from kdump_tests.guest import hypervisor as hypervisors
from kdump_tests.guest.accelerator import Choice, choose
from kdump_tests.guest.build import ImageStore
from kdump_tests.guest.image import BuiltImage
from kdump_tests.guest.lab import Lab
from kdump_tests.guest.reaper import reap
from kdump_tests.guest.run import new_run
from kdump_tests.guest.saved_state import SavedStates, chosen_limit
from kdump_tests.subprocesses import program

QEMU = "qemu-system-x86_64"


@dataclass(frozen=True)
class Places:
    """Where things are kept: built images and answers about the host, and the runs that are alive."""

    cache: Path
    runs: Path


@contextmanager
def opened(
    places: Places, image: str, accelerator: Choice, connect: str, *, cold: bool = False
) -> Iterator[tuple[Lab, BuiltImage]]:
    """A laboratory for guests of one image, and that image. ``cold``: no guest is forked from a saved state.

    Raises:
        LabError: what is missing or does not answer, with the way out.
    """
    for name in (QEMU, "qemu-img"):
        program(name)
    states = None if cold else SavedStates(places.cache, chosen_limit())
    reap(places.runs, places.cache)
    with new_run(places.runs, connect) as run:
        built = ImageStore(places.cache).get(image)
        if built.kernel is None:
            raise ToolMissing(
                f"{image} has no kernel of its own outside its disk to try the accelerator with"
            )
        with hypervisors.connected(connect, run.folder, places.cache) as hypervisor:
            chosen = choose(accelerator, built.kernel, places.cache)
            yield Lab(run, hypervisor, chosen, states), built
