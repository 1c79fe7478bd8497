"""Keys are new, usable and never shown."""

from kdump_tests.guest.keys import KeyPair


def test_no_two_keys_are_the_same() -> None:
    assert KeyPair.generate() != KeyPair.generate()


def test_paramiko_reads_the_key_that_the_public_half_names() -> None:
    pair = KeyPair.generate()
    loaded = pair.load()
    assert f"{loaded.get_name()} {loaded.get_base64()}" == pair.public


def test_private_half_is_never_shown() -> None:
    pair = KeyPair.generate()
    assert "PRIVATE" in pair.private
    assert "PRIVATE" not in f"{pair!r} {pair}"
