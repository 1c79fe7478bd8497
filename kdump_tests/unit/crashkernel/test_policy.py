"""Every policy at its boundaries. The numbers stand in the sources that the files name."""

from pathlib import Path

import pytest

from kdump_tests.crashkernel.evaluation import expected_reservations
from kdump_tests.crashkernel.placement import X86_64
from kdump_tests.crashkernel.policy import load_policy, policy_names
from kdump_tests.crashkernel.setting import parse_setting
from kdump_tests.errors import BadInput
from kdump_tests.sizes import GIB, parse_size

# "memory:size" on x86_64. An edge is reached by less than 128 MiB too little, where the kernel rounds up.
TABLE = {
    # 161 MB at 2 GB and 64 MB more for each TB: documentation of RHEL 7.
    "rhel7": "1920M:0 1921M:161M 2G:161M 16G:161M 17G:162M 1T:224M 4T:416M",
    "rhel8-a": "1G:0 1920M:0 1921M:160M 2G:160M 1T:160M",
    "rhel8-b": "896M:0 897M:160M 1G:160M 65408M:160M 65409M:256M 1048448M:256M 1T:512M",
    "rhel8-c": "896M:0 1G:160M 3968M:160M 3969M:192M 65408M:192M 64G:256M 1048448M:256M 1048449M:512M",
    "rhel8-docs": "896M:0 1G:192M 3968M:192M 4G:256M 65408M:256M 64G:512M 16T:512M",
    "rhel8-rule-of-thumb":
        "512M:192M 1920M:192M 1921M:256M 2G:256M 6016M:256M 6G:512M "
        "8064M:512M 8G:1G 65408M:1G 64G:2G 16T:2G",
    "rhel9": "896M:0 1G:192M 3968M:192M 4G:256M 65408M:256M 64G:512M",
    "fedora": "1920M:0 1921M:256M 2G:256M 65408M:256M 64G:512M",
    "rhel10": "1920M:0 1921M:256M 2G:256M 65408M:256M 64G:512M",
    "debian-12": "256M:0 257M:128M 384M:128M 1T:128M",
    "debian-13": "384M:0 385M:192M 512M:192M 1T:192M",
    "ubuntu-22.04": "511M:0 512M:192M 1T:192M",
    "ubuntu-24.10":
        "1920M:0 2G:320M 3968M:320M 4G:512M 32640M:512M 32G:1G 65408M:1G 64G:2G 130944M:2G 128G:4G",
    "suse-fallback": "512M:192M 1T:192M",
    "anolis-2": "2047M:0 2G:192M 8191M:192M 8G:256M",
    "alibaba-3":
        "2047M:0 2G:192M 8191M:192M 8G:256M 131071M:256M 128G:384M 385023M:384M 376G:448M",
    "openeuler": "512M:0 1G:512M 1T:512M",
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "memory", "size"),
    [(name, *pair.split(":")) for name, pairs in TABLE.items() for pair in pairs.split()],
)
def test_policy_keeps_aside_what_its_source_says(name: str, memory: str, size: str) -> None:
    assert kept(name, "x86_64", memory) == parse_size(size)


def kept(name: str, architecture: str, memory: str) -> int:
    """What a kernel that goes with the policy keeps aside, in bytes."""
    policy, total = load_policy(name), parse_size(memory)
    setting = policy.rule(architecture).setting(total)
    (outcome,) = expected_reservations(setting, total, policy.generation("x86_64"), X86_64.probed)
    return outcome.main


def test_every_policy_is_in_the_table() -> None:
    assert set(TABLE) == set(policy_names())


# The other architectures look a range up alike; where the memory then lies is not asked here.
POWER = "1920M:0 2G:384M 3968M:384M 4G:512M 16256M:512M 16G:1G 65408M:1G 64G:2G 130944M:2G 128G:4G"
ELSEWHERE = {
    ("rhel8-a", "s390x"): "3968M:0 4G:160M 1T:160M",
    ("rhel8-a", "arm64"): "1920M:0 2G:512M 1T:512M",
    ("rhel8-a", "ppc64le"): POWER,
    ("rhel8-b", "s390x"): "3968M:0 4G:160M 65408M:160M 64G:256M 1048448M:256M 1T:512M",
    ("rhel8-b", "arm64"): "1920M:0 2G:512M 1T:512M",
    ("rhel8-b", "ppc64le"): POWER,
    ("rhel8-c", "s390x"):
        "896M:0 1G:160M 3968M:160M 4G:192M 65408M:192M 64G:256M 1048448M:256M 1T:512M",
    ("rhel8-c", "arm64"): "1920M:0 2G:448M 1T:448M",
    ("rhel8-c", "ppc64le"): POWER,
    ("rhel8-docs", "s390x"): "896M:0 1G:192M 3968M:192M 4G:256M 65408M:256M 64G:512M",
    ("rhel8-docs", "arm64"): "1920M:0 2G:480M 1T:480M",
    ("rhel8-docs", "ppc64le"): POWER,
    ("rhel9", "s390x"): "896M:0 1G:192M 3968M:192M 4G:256M 65408M:256M 64G:512M",
    ("rhel9", "arm64"): "1920M:0 2G:448M 1T:448M",
    ("rhel9", "ppc64le"): POWER,
    ("fedora", "s390x"): "1920M:0 2G:256M 65408M:256M 64G:512M",
    ("fedora", "arm64"): "1920M:0 2G:256M 3968M:256M 4G:320M 65408M:320M 64G:576M",
    ("fedora", "ppc64le"): POWER,
    ("rhel10", "s390x"): "1920M:0 2G:256M 65408M:256M 64G:512M",
    ("rhel10", "arm64"): "1920M:0 2G:256M 3968M:256M 4G:320M 65408M:320M 64G:576M",
    ("rhel10", "ppc64le"): POWER,
    ("debian-13", "s390x"): "256M:0 384M:128M 1T:128M",
    ("ubuntu-22.04", "arm64"):
        "2047M:0 2G:320M 4095M:320M 4G:512M 32767M:512M 32G:1G 65535M:1G 64G:2G 131071M:2G 128G:4G",
    ("suse-fallback", "ppc64le"): "1G:384M 1T:384M",
    ("openeuler", "arm64"): "8G:1G 1T:1G",
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "architecture", "memory", "size"),
    [(*key, *pair.split(":")) for key, pairs in ELSEWHERE.items() for pair in pairs.split()],
)
def test_policy_keeps_aside_what_its_source_says_elsewhere(
    name: str, architecture: str, memory: str, size: str
) -> None:
    assert kept(name, architecture, memory) == parse_size(size)


def test_every_rule_is_in_a_table() -> None:
    rules = {(name, architecture) for name in policy_names() for architecture in load_policy(name).rules}
    assert rules == {(name, "x86_64") for name in TABLE} | set(ELSEWHERE)


@pytest.mark.parametrize("name", policy_names())
def test_every_rule_reads_back_and_has_a_source(name: str) -> None:
    policy = load_policy(name)
    for architecture in policy.rules:
        setting = policy.rule(architecture).setting(8 * GIB)
        assert parse_setting(str(setting)) == setting
        assert policy.rule(architecture).source


def test_last_tier_of_the_rule_of_thumb_is_the_least_that_will_do() -> None:
    rule = load_policy("rhel8-rule-of-thumb").rule("x86_64")
    assert rule.at_least(64 * GIB)
    assert not rule.at_least(63 * GIB)
    assert not load_policy("rhel9").rule("x86_64").at_least(64 * GIB)


def test_unknown_policy_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(BadInput, match="no policy 'rhel99'") as refused:
        load_policy("rhel99")
    assert "rhel9" in refused.value.facts["known"]


def test_architecture_without_a_rule_is_refused() -> None:
    with pytest.raises(BadInput, match="debian-13 says nothing about arm64") as refused:
        load_policy("debian-13").rule("arm64")
    assert refused.value.facts["known"] == "x86_64, s390x"


GOOD = (
    'description = "ours"\nboundary = "below its end"\n[x86_64]\ncrashkernel = "1G-:200M"\nsource = "us"\n'
)


def test_file_of_ones_own_is_a_policy(tmp_path: Path) -> None:
    path = tmp_path / "ours.toml"
    path.write_text(GOOD)
    assert str(load_policy(str(path)).rule("x86_64").setting(GIB)) == "1G-:200M"


@pytest.mark.parametrize(
    ("was", "becomes", "wrong"),
    [
        ("source", "sauce", "x86_64.sauce"),
        ("x86_64", "x86", "x86"),
        ("1G-:200M", "1G-:64M:", "x86_64.crashkernel"),
        ("1G-:200M", "4G-2G:1M", "end <= start"),
        ("[x86_64]", 'kernel_release = "banana"\n[x86_64]', "no kernel release"),
        ('crashkernel = "1G-:200M"', "", "either crashkernel or formula"),
        ('source = "us"', 'source = "us"\nat_least_from = "much"', "x86_64.at_least_from"),
        ('source = "us"', 'source = "us"\nat_least_from = 64', "in quotes"),
    ],
)
def test_what_a_file_must_not_say_is_named(tmp_path: Path, was: str, becomes: str, wrong: str) -> None:
    path = tmp_path / "ours.toml"
    path.write_text(GOOD.replace(was, becomes))
    with pytest.raises(BadInput, match=r"ours\.toml is not a valid policy") as refused:
        load_policy(str(path))
    assert wrong in refused.value.facts["wrong"]


@pytest.mark.parametrize("content", [b"= nonsense", b"\xff\xd8\xff\xe0"])
def test_file_that_is_no_toml_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "ours.toml"
    path.write_bytes(content)
    with pytest.raises(BadInput, match="cannot be read"):
        load_policy(str(path))


def test_file_that_is_missing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot be read"):
        load_policy(str(tmp_path / "absent.toml"))
