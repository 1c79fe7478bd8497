"""Any configuration that kdump takes, for Hypothesis."""

from hypothesis import strategies as st

from kdump_tests.stacks.core_collector import Collector, Command, Compression, Makedumpfile
from kdump_tests.stacks.dump_target import (
    By,
    DracutMount,
    FileSystem,
    Nfs,
    Partition,
    Raw,
    RootDisk,
    Ssh,
    Target,
    Virtiofs,
)
from kdump_tests.stacks.kdump_conf import FailureAction, FinalAction, KdumpConfig

WORDS = st.text(
    st.characters(codec="utf-8", exclude_categories=["C", "Z"], exclude_characters="\"'\\#"), min_size=1
)
# A program of another name, and arguments that are no mount of dracut's.
PLAIN = WORDS.filter(lambda word: word != "makedumpfile" and "--mount" not in word)
VALUES = st.lists(PLAIN, min_size=1, max_size=3).map(" ".join)
PATHS = st.lists(PLAIN, max_size=3).map(lambda parts: f"/{'/'.join(parts)}")
BARE_PATHS = PATHS.filter(lambda path: " " not in path)
HOSTS = st.from_regex(r"[0-9a-z._:%-]+", fullmatch=True)
USERS = PLAIN.filter(lambda user: "@" not in user)

PIPED: st.SearchStrategy[Target] = st.builds(Ssh, USERS, HOSTS) | st.builds(Raw, PATHS)
MOUNTED: st.SearchStrategy[Target] = st.one_of(
    st.builds(RootDisk),
    st.builds(Partition, st.sampled_from(FileSystem), PATHS),
    st.builds(Partition, st.sampled_from(FileSystem), VALUES, st.sampled_from([By.UUID, By.LABEL])),
    st.builds(Nfs, st.sampled_from(["nfs.example", "192.0.2.1", "[2001:db8::1]"]), BARE_PATHS),
    st.builds(Virtiofs, VALUES),
    st.builds(DracutMount, PLAIN, PLAIN, PLAIN, st.just("") | PLAIN),
)
LEVELS = st.integers(0, 31)


@st.composite
def collectors(draw: st.DrawFn, *, piped: bool) -> Collector:
    elf = draw(st.booleans())
    return Makedumpfile(
        levels=draw(st.lists(LEVELS, max_size=4).map(tuple)),
        compression=None if elf else draw(st.none() | st.sampled_from(Compression)),
        elf=elf,
        flatten=piped,
        num_threads=draw(st.none() | st.just(0) if elf else st.none() | st.integers(0, 999)),
        message_level=draw(st.none() | LEVELS),
        others=draw(
            st.lists(st.sampled_from(["-D", "-X", "-f", "--cyclic-buffer 512", "-x /vmlinux"])).map(tuple)
        ),
    )


@st.composite
def configs(draw: st.DrawFn) -> KdumpConfig:
    piped = draw(st.booleans())
    forced = draw(st.sampled_from([(None, None), (True, None), (True, False), (False, True), (None, False)]))
    return KdumpConfig(
        target=draw(PIPED if piped else MOUNTED),
        path=draw(PATHS),
        sshkey=draw(st.none() | PATHS),
        core_collector=draw(
            st.none()
            | collectors(piped=piped)
            | st.builds(Command, PLAIN, st.lists(PLAIN, max_size=2).map(tuple))
        ),
        failure_action=draw(st.none() | st.sampled_from(FailureAction)),
        final_action=draw(st.none() | st.sampled_from(FinalAction)),
        kdump_pre=draw(st.none() | BARE_PATHS),
        kdump_post=draw(st.none() | BARE_PATHS),
        kdump_emergency=draw(st.none() | BARE_PATHS),
        extra_bins=draw(st.lists(PLAIN, max_size=3).map(tuple)),
        extra_modules=draw(st.lists(PLAIN, max_size=3).map(tuple)),
        dracut_args=draw(st.none() | VALUES | st.just('"--omit x" --add "b c"')),
        force_rebuild=forced[0],
        force_no_rebuild=forced[1],
        fence_kdump_args=draw(st.none() | VALUES),
        fence_kdump_nodes=draw(st.lists(PLAIN, max_size=3).map(tuple)),
        auto_reset_crashkernel=draw(st.none() | st.booleans()),
    )
