"""Which kernels read crashkernel= alike."""

import pytest

from kdump_tests.crashkernel.generation import generation_of, generations, newest
from kdump_tests.errors import BadInput


@pytest.mark.parametrize(
    ("release", "name"),
    [
        ("3.10.0-1160.el7.x86_64", "rhel-7"),
        ("4.18.0-80.el8.x86_64", "rhel-8"),
        ("4.18.0-553.el8_10.x86_64", "rhel-8"),
        ("5.14.0-70.13.1.el9_0.x86_64", "before-6.0"),
        ("5.14.0-133.el9.x86_64", "rhel-9.1"),
        ("5.14.0-503.11.1.el9_5.x86_64", "rhel-9.1"),
        ("5.10.0-60.18.0.50.oe2203.x86_64", "before-6.0"),
        ("5.15.0-100.96.32.el8uek.x86_64", "before-6.0"),
        ("5.4.119-19-0006", "before-6.0"),
        ("6.0.0", "6.0"),
        ("6.1.0-40-cloud-amd64", "6.0"),
        ("6.6.0", "6.0"),
        ("6.6-rc1", "6.0"),
        ("6.7.0", "6.7"),
        ("6.12.48+deb13-amd64", "6.7"),
        ("6.16.8", "6.7"),
        ("6.17.1", "6.17"),
        ("6.20.0", "6.17"),
        ("7.2.13-amd64", "6.17"),
        ("10.1.0", "6.17"),
    ],
)
def test_release_tells_the_generation(release: str, name: str) -> None:
    assert generation_of(release, "x86_64").name == name


@pytest.mark.parametrize("release", ["", "banana", "v6.1", "2.6.32"])
def test_what_is_no_known_release_is_refused(release: str) -> None:
    with pytest.raises(BadInput, match="no kernel release"):
        generation_of(release, "x86_64")


def test_every_generation_has_a_source_and_the_newest_is_last() -> None:
    assert all(generation.source for generation in generations())
    assert newest("x86_64").name == "6.17"


@pytest.mark.parametrize(
    ("release", "architecture", "name"),
    [
        ("4.18.0-240.el8.aarch64", "arm64", "arm64-before-5.19, rhel"),
        ("5.10.0-60.18.0.50.oe2203.aarch64", "arm64", "arm64-before-5.19"),
        ("5.19.0", "arm64", "arm64-6.0"),
        ("6.1.0-56-arm64", "arm64", "arm64-6.0"),
        ("6.6.0", "arm64", "arm64-6.2"),
        ("6.12.118+deb13-arm64", "arm64", "6.7"),
        ("6.1.0-50-powerpc64le", "ppc64le", "powerpc"),
        ("7.2.0", "ppc64le", "powerpc"),
        ("6.1.0", "s390x", "6.0"),
    ],
)
def test_architectures_have_exceptions(release: str, architecture: str, name: str) -> None:
    assert generation_of(release, architecture).name == name


def test_newest_of_an_architecture_is_its_own() -> None:
    assert newest("arm64").name == "6.17"
    assert newest("ppc64le").name == "powerpc"
