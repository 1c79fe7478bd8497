"""The guest's kernel is given what was asked for, or its distribution's default, or it is told why not."""

from dataclasses import replace
from pathlib import Path

import pytest

from kdump_tests.crashkernel.reservation import Reservation
from kdump_tests.errors import BadInput
from kdump_tests.guest import crashkernel_parameter
from kdump_tests.guest.accelerator import Accelerator
from kdump_tests.guest.crashkernel_parameter import check_request, choose
from kdump_tests.guest.image import Boot, BuiltImage
from kdump_tests.sizes import GIB, MIB
from kdump_tests.unit.guest.described import built_image

TCG = Accelerator("tcg", "asked for", 1.0)


@pytest.fixture
def image(tmp_path: Path) -> BuiltImage:
    """An image whose kernel is a file that can be told from others."""
    (tmp_path / "vmlinuz").write_bytes(b"a kernel")
    return replace(built_image(), folder=tmp_path)


@pytest.fixture
def auto_is_known(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    known = bool(getattr(request, "param", False))
    monkeypatch.setattr(crashkernel_parameter, "knows_auto", lambda *_: known)
    return known


def test_size_is_passed_on_as_it_is(image: BuiltImage) -> None:
    parameter = choose("256M,high", image, TCG, image.folder).on(8 * GIB)
    assert (parameter.requested, parameter.passed, parameter.because) == ("256M,high", "256M,high", "")


def test_none_leaves_the_parameter_out(image: BuiltImage) -> None:
    parameter = choose("none", image, TCG, image.folder).on(GIB)
    assert parameter.passed is None
    assert not parameter.promises_nothing  # nothing is asked, which a test of kdump must not take for well


@pytest.mark.usefixtures("auto_is_known")
def test_auto_becomes_the_distributions_default_and_says_so(image: BuiltImage) -> None:
    chosen = choose("auto", image, TCG, image.folder).on(GIB)
    assert (chosen.requested, chosen.passed) == ("auto", "384M-:128M")
    assert "the kdump package of debian-12" in chosen.because


@pytest.mark.usefixtures("auto_is_known")
def test_auto_becomes_the_policy_that_is_asked_for(image: BuiltImage) -> None:
    chosen = choose("auto", image, TCG, image.folder, "rhel9").on(GIB)
    assert chosen.passed == "1G-4G:192M,4G-64G:256M,64G-:512M"
    assert chosen.because.endswith("this is the policy rhel9")


@pytest.mark.parametrize("auto_is_known", [True], indirect=True)
@pytest.mark.parametrize("release", ["6.1.0-50-amd64", "4.18.0-553.el8.x86_64"])
def test_kernel_that_knows_auto_is_given_it(auto_is_known: bool, image: BuiltImage, release: str) -> None:
    assert auto_is_known
    parameter = choose("auto", replace(image, kernel_release=release), TCG, image.folder).on(4 * GIB)
    assert parameter.passed == "auto"
    assert not parameter.promises_nothing
    assert parameter.expected == ()  # a release that is not known for it proves nothing against its word
    assert parameter.unforeseen


def test_kernel_whose_release_is_illegible_is_given_what_was_asked(image: BuiltImage) -> None:
    parameter = choose("256M", replace(image, kernel_release=""), TCG, image.folder).on(GIB)
    assert (parameter.passed, parameter.expected) == ("256M", ())
    assert "is no kernel release" in parameter.unforeseen


@pytest.mark.parametrize("auto_is_known", [True], indirect=True)
def test_policy_foretells_what_auto_comes_to_where_it_is_known(
    auto_is_known: bool, image: BuiltImage
) -> None:
    assert auto_is_known
    chosen = choose("auto", image, TCG, image.folder, "rhel8-c")
    assert [chosen.on(memory).passed for memory in (GIB, 4 * GIB)] == ["auto", "auto"]
    kept = [chosen.on(memory).expected for memory in (512 * MIB, GIB, 4 * GIB)]
    assert kept == [(Reservation(0),), (Reservation(160 * MIB),), (Reservation(192 * MIB),)]


@pytest.mark.usefixtures("auto_is_known")
def test_formula_is_passed_as_the_size_that_it_comes_to(image: BuiltImage) -> None:
    chosen = choose("auto", image, TCG, image.folder, "rhel7")
    assert [chosen.on(memory).passed for memory in (GIB, 2 * GIB)] == ["0", "161M"]
    assert chosen.on(GIB).promises_nothing


@pytest.mark.usefixtures("auto_is_known")
def test_last_tier_of_the_rule_of_thumb_may_be_more(image: BuiltImage) -> None:
    chosen = choose("auto", image, TCG, image.folder, "rhel8-rule-of-thumb")
    assert [chosen.on(memory).at_least for memory in (63 * GIB, 64 * GIB)] == [False, True]


def test_a_kernel_is_asked_once(image: BuiltImage, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Path] = []

    def answer(kernel: Path, *_: object) -> bool:
        asked.append(kernel)
        return True

    monkeypatch.setattr(crashkernel_parameter, "knows_auto", answer)
    for _ in range(2):
        choose("auto", image, TCG, image.folder)
    assert asked == [image.kernel]


@pytest.mark.usefixtures("auto_is_known")
def test_auto_without_any_default_is_refused_with_the_way_out(image: BuiltImage) -> None:
    with pytest.raises(BadInput, match="means nothing to debian-12") as refusal:
        choose("auto", replace(image, crashkernel=None), TCG, image.folder)
    assert "--crashkernel" in refusal.value.facts["way out"]


@pytest.fixture
def firmware_booted() -> BuiltImage:
    """An image whose own boot loader has the kernel command line."""
    image = built_image()
    return replace(image, image=image.image.model_copy(update={"boot": Boot()}))


@pytest.mark.parametrize(("requested", "passed"), [("256M", "256M"), ("none", None)])
def test_image_with_its_own_boot_loader_is_given_what_is_asked_for(
    firmware_booted: BuiltImage, requested: str, passed: str | None
) -> None:
    assert choose(requested, firmware_booted, TCG, firmware_booted.folder).on(GIB).passed == passed


@pytest.mark.parametrize(
    ("requested", "memory", "expected"),
    [
        ("none", GIB, [0]),
        ("384M-:128M", GIB, [128]),
        ("2G-:128M", GIB, [0]),
        ("690M", 1073 * MIB, [690, 0]),
    ],
)
def test_reservation_to_expect_is_told_where_it_can_be(
    image: BuiltImage, requested: str, memory: int, expected: list[int]
) -> None:
    parameter = choose(requested, image, TCG, image.folder).on(memory)
    assert parameter.expected == tuple(Reservation(size * MIB) for size in expected)
    assert parameter.probed == parameter.expected[:1]


@pytest.mark.parametrize("requested", ["none", "auto", "256M", "384M-:128M", "256M@16M"])
def test_request_that_can_be_met_is_let_pass(requested: str) -> None:
    check_request(requested, [GIB])


@pytest.mark.parametrize("requested", ["2G", "1G", "2G-:128M"])
def test_request_that_keeps_nothing_aside_is_refused(requested: str) -> None:
    with pytest.raises(BadInput, match="keeps nothing aside on a machine of 512M, 1G"):
        check_request(requested, [512 * MIB, GIB])


def test_request_may_keep_nothing_aside_on_some_machines() -> None:
    check_request("2G-:128M", [GIB, 4 * GIB])


@pytest.mark.parametrize("requested", ["banana", "", "256M,banana"])
def test_request_that_no_kernel_understands_is_refused(requested: str) -> None:
    with pytest.raises(BadInput):
        check_request(requested, [GIB])
