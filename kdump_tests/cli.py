"""kdump-verify: what is not a test. The tests themselves run with pytest, or with scripts/verify."""

import argparse
import json
import os
import shutil
import signal
import sys
from collections import Counter
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from kdump_tests.crashkernel.emulation import EMULATIONS
from kdump_tests.crashkernel.generation import generation_of, newest
from kdump_tests.crashkernel.kernel_file import read_kernel_file
from kdump_tests.crashkernel.matrix import Case, Expectation, boundaries, expect, probe
from kdump_tests.crashkernel.placement import PLACEMENTS, Placement, placement_of
from kdump_tests.crashkernel.policy import Rule, load_policy, policy_names
from kdump_tests.crashkernel.probe import release_of
from kdump_tests.crashkernel.setting import enlarged
from kdump_tests.crashkernel.table import as_json, as_table
from kdump_tests.deadline import Deadline
from kdump_tests.debug_package import DebugPackages
from kdump_tests.dump_page import as_object, as_page, error_as_object, error_as_page
from kdump_tests.errors import BadDump, BadInput, KdumpVerifyError, LabError
from kdump_tests.guest.build import ImageStore
from kdump_tests.guest.cache import default_cache
from kdump_tests.guest.doctor import examine
from kdump_tests.guest.hypervisor import EMBEDDED
from kdump_tests.guest.image import Image
from kdump_tests.guest.laboratory import Places
from kdump_tests.guest.reaper import reap
from kdump_tests.guest.run import default_base
from kdump_tests.guest.saved_state import SavedStates, chosen_limit
from kdump_tests.session.progress import Progress
from kdump_tests.sizes import parse_size
from kdump_tests.steps import listening
from kdump_tests.vmcore.judgement import judge
from kdump_tests.vmcore.split import dumps_among, inspect_parts


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status: 0 when all is well, 1 when something is to be done, sysexits.h's for errors."""
    options = _parser().parse_args(arguments)
    places = Places(default_cache(), default_base())
    try:
        with listening(Progress()):
            status: int = options.command(options, places)
        sys.stdout.flush()
    except KdumpVerifyError as error:
        print(f"kdump-verify: {error}", file=sys.stderr)
        return error.exit_code if isinstance(error, LabError) else 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Who read it has seen enough. The interpreter would flush once more at its end, and complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="kdump-verify", description=__doc__)
    parser.add_argument("--version", action="version", version=metadata.version("kdump-verify"))
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    image = commands.add_parser("image", help="the guest images").add_subparsers(
        metavar="COMMAND", required=True
    )
    listing = image.add_parser("list", help="list the images and what is built of them")
    listing.set_defaults(command=_list_images)
    build = image.add_parser("build", help="build images, unless their recipe was built before")
    build.add_argument("name", nargs="+")
    build.set_defaults(command=_build_images)
    debuginfo = image.add_parser(
        "debuginfo",
        help="fetch the vmlinux of built images' kernels: half a GiB each, to look into dumps with",
    )
    debuginfo.add_argument("name", nargs="+")
    debuginfo.set_defaults(command=_fetch_debug_information)
    remove = image.add_parser("remove", help="remove all builds of images from the cache")
    remove.add_argument("name", nargs="+")
    remove.set_defaults(command=_remove_images)

    state = commands.add_parser("state", help="the saved states that guests are forked from").add_subparsers(
        metavar="COMMAND", required=True
    )
    states = state.add_parser("list", help="list them, the least recently used first, which leaves first")
    states.set_defaults(command=_list_states)
    forget = state.add_parser("remove", help="remove them all; the next guests boot cold once")
    forget.set_defaults(command=_remove_states)

    expectation = commands.add_parser(
        "expect", help="say what a kernel should keep aside, by the rules alone: no kernel is asked"
    )
    expectation.add_argument(
        "--release", metavar="RELEASE",
        help="of the kernel, as `uname -r` says it (default: the policy's own, else the newest known)",
    )  # fmt: skip
    expectation.add_argument(
        "--arch", choices=sorted(PLACEMENTS), default="x86_64", help="the kernel's (default: %(default)s)"
    )
    _add_question(expectation)
    expectation.set_defaults(command=_expect)

    probing = commands.add_parser(
        "probe", help="ask a real kernel what it keeps aside: booted just so far, half a second each"
    )
    which = probing.add_mutually_exclusive_group(required=True)
    which.add_argument("--kernel", metavar="PATH", type=Path, help="any vmlinuz; needs no image")
    which.add_argument("--image", metavar="NAME", help="the kernel of an image, built if need be")
    probing.add_argument(
        "--arch", choices=sorted(EMULATIONS), help="the kernel's architecture (default: what its file says)"
    )
    probing.add_argument(
        "--accel", choices=("tcg", "kvm"), default="tcg", help="default: %(default)s, fast enough here"
    )
    _add_question(probing)
    probing.set_defaults(command=_probe)

    looking = commands.add_parser(
        "inspect",
        help="look into dumps, from anywhere",
        description="Look into dumps, from anywhere. Exit status: 0 complete, 1 incomplete, 2 no dump; "
                    "of several files the worst. All parts of a split dump are one.",
    )  # fmt: skip
    looking.add_argument("file", metavar="FILE", type=Path, nargs="+")
    looking.add_argument("--dmesg", action="store_true", help="all of the kernel's log, not just its end")
    looking.add_argument(
        "--pages", action="store_true", help="read every page too; takes minutes for a large dump"
    )
    looking.add_argument(
        "--vmlinux", metavar="PATH", type=Path,
        help="the dump's kernel with debug information, or a folder that holds it, to be read by drgn "
             "(default: looked for by its build ID, among installed packages, in the cache, by debuginfod)",
    )  # fmt: skip
    looking.add_argument(
        "--crash", action="store_true", help="ask crash(8) too; takes half a minute, and needs a vmlinux"
    )
    looking.add_argument("--json", action="store_true", help="one object per file, instead of a page")
    looking.set_defaults(command=_inspect)

    doctor = commands.add_parser("doctor", help="say what this host can do, and the way out where it cannot")
    doctor.add_argument(
        "--connect", metavar="URI", default=EMBEDDED, help="libvirt to try (default: %(default)s)"
    )
    doctor.set_defaults(command=_doctor)

    reaper = commands.add_parser("reap", help="remove what killed runs left; living runs are not touched")
    reaper.set_defaults(command=_reap)
    return parser


def _add_question(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--crashkernel", metavar="VALUE", action="append", default=[],
        help="a value as the kernel takes it, or several that stand on one command line, as in "
             "'512M,high crashkernel=72M,low'; may be repeated",
    )  # fmt: skip
    parser.add_argument(
        "--policy", metavar="NAME|PATH.toml", help=f"a distribution's default: {', '.join(policy_names())}"
    )
    parser.add_argument(
        "--memory", metavar="LIST|boundaries", default="boundaries",
        help="sizes, comma-separated; or (default) the edges of the ranges, and close to each side",
    )  # fmt: skip
    parser.add_argument(
        "--add", metavar="SIZE", default="0", help="so much more wherever something is kept aside"
    )
    parser.add_argument("--json", action="store_true", help="one object per case, instead of a table")


def _asked(options: argparse.Namespace, release: str | None, placement: Placement) -> list[Expectation]:
    """Every setting at every memory size, with what a kernel of that release should make of it."""
    architecture = placement.architecture
    generation = generation_of(release, architecture) if release else newest(architecture)
    rules = [(Rule.of(value), generation) for value in options.crashkernel]
    if options.policy:
        policy = load_policy(options.policy)
        read_by = generation if release else policy.generation(architecture)
        rules.append((policy.rule(architecture), read_by))
    if not rules:
        raise BadInput("nothing is asked", way_out="--crashkernel VALUE or --policy NAME")
    more = parse_size(options.add)
    return [
        expect(Case(enlarged(rule.setting(memory), more), memory), read_by, placement)
        for rule, read_by in rules
        for memory in _memory_sizes(options.memory, rule.edges, architecture)
    ]


def _memory_sizes(text: str, between: tuple[int, ...], architecture: str) -> tuple[int, ...]:
    if text != "boundaries":
        return tuple(map(parse_size, text.split(",")))
    emulation = EMULATIONS[architecture]
    return boundaries(between, emulation.memory_step, emulation.largest_memory)


def _expect(options: argparse.Namespace, _places: Places) -> int:
    asked = _asked(options, options.release, placement_of(options.arch))
    print(as_json(asked) if options.json else as_table(asked))
    return 0


def _probe(options: argparse.Namespace, places: Places) -> int:
    if options.kernel:
        architecture = read_kernel_file(options.kernel).architecture
    else:
        architecture = Image.load(options.image).architecture
    if options.arch not in (None, architecture):
        raise BadInput(
            f"{options.kernel or options.image} is a kernel of {architecture}, not of {options.arch}",
            way_out="leave --arch out",
        )
    placement = placement_of(architecture).probed
    _asked(options, None, placement)  # is it a question at all?
    kernel, release = options.kernel, ""
    if kernel is None:
        built = ImageStore(places.cache).get(options.image)
        kernel, release = built.kernel, built.kernel_release
    if kernel is None:
        raise BadInput(f"{options.image} has no kernel outside its disk", way_out="--kernel PATH")
    if not release:
        until = Deadline.after(60, f"{kernel.name} says its version")
        release = release_of(kernel, options.accel, until)
    expectations = _asked(options, release, placement)
    answers = list(probe(kernel, expectations, options.accel))
    print(as_json(answers) if options.json else as_table(answers))
    counted = Counter(answer.agrees for answer in answers)
    told = f"{len(answers)} cases: {counted[True]} agree, {counted[False]} disagree"
    if counted[None]:
        told += f", {counted[None]} could not be told beforehand"
    print(told, file=sys.stderr)
    return 1 if counted[False] else 0


def _inspect(options: argparse.Namespace, places: Places) -> int:
    worst = 0
    objects = []
    for paths in dumps_among(options.file):
        try:
            dump = inspect_parts(paths, pages=options.pages)
            judgement = judge(dump, places.cache, options.vmlinux, second=options.crash)
        except (BadDump, LabError) as error:
            status = error.exit_code if isinstance(error, LabError) else 2
            objects.append(error_as_object(paths[0], error))
            if not options.json:
                print(f"kdump-verify: {error_as_page(error)}", file=sys.stderr)
        else:
            status = 0 if dump.complete else 1
            objects.append(as_object(dump, judgement, whole_log=options.dmesg))
            if not options.json:
                print(as_page(dump, judgement, whole_log=options.dmesg))
        worst = max(worst, status)
    if options.json:
        print(json.dumps(objects, indent=1))
    return worst


def _list_images(_options: argparse.Namespace, places: Places) -> int:
    store = ImageStore(places.cache)
    width = max(map(len, store.names()))
    for name in store.names():
        image = Image.load(name)
        built = store.find(image)
        old = len(store.builds(name)) - bool(built)
        state = "not built" if image.build else "to be brought"
        if built:
            state = f"built, kernel {built.kernel_release or 'its own'}, {_size(built.folder)}"
        print(f"{name:<{width}} {state}{f', {old} of older recipes' if old else ''}")
        print(f"{'':<{width}} {image.description}")
    return 0


def _build_images(options: argparse.Namespace, places: Places) -> int:
    for name in options.name:
        built = ImageStore(places.cache).get(name)
        print(f"{name}: {built.folder}")
    return 0


def _fetch_debug_information(options: argparse.Namespace, places: Places) -> int:
    for name in options.name:
        vmlinux = DebugPackages(places.cache).install(ImageStore(places.cache).get(name))
        print(f"{name}: {vmlinux.path}")
    return 0


def _remove_images(options: argparse.Namespace, places: Places) -> int:
    for name in options.name:
        Image.load(name)
        gone = ImageStore(places.cache).remove(name)
        debug_information = DebugPackages(places.cache).remove(name)
        also = f", {len(debug_information)} of debug information" if debug_information else ""
        print(f"{name}: {len(gone)} builds removed{also}")
    return 0


def _list_states(_options: argparse.Namespace, places: Places) -> int:
    states = SavedStates(places.cache, chosen_limit())
    for key, size in states.sizes().items():
        state = states.find(key)
        what = f"{state.name}, armed after a boot of {state.boot_seconds:.1f} s" if state else "damaged"
        print(f"{key}  {size >> 20:5} MiB  {what}")
    print(states)
    return 0


def _remove_states(_options: argparse.Namespace, places: Places) -> int:
    states = SavedStates(places.cache, chosen_limit())
    until = Deadline.after(60, "nobody starts from a state that shall be removed")
    keys = list(states.sizes())
    for key in keys:
        states.discard(key, until)
    print(f"{len(keys)} saved states removed")
    return 0


def _doctor(options: argparse.Namespace, places: Places) -> int:
    good = True
    for finding in examine(places, options.connect):
        print(f"{'ok ' if finding.good else 'BAD'}  {finding.subject:<20} {finding.state}")
        if not finding.good:
            print(f"     {'':<20} way out: {finding.way_out}")
        good &= finding.good
    return 0 if good else 1


def _reap(_options: argparse.Namespace, places: Places) -> int:
    reaped = reap(places.runs, places.cache)
    for kind, things in (
        ("run", reaped.runs), ("process", reaped.processes),
        ("domain", reaped.domains), ("half-made", reaped.stagings),
    ):  # fmt: skip
        for thing in things:
            print(f"removed {kind} {thing}")
    if reaped.nothing:
        print("nothing to remove")
    return 0


def _size(folder: Path) -> str:
    used = sum(file.stat().st_blocks * 512 for file in folder.iterdir())
    free = shutil.disk_usage(folder).free
    return f"{used / 2**20:.0f} MiB ({free / 2**30:.0f} GiB free)"
