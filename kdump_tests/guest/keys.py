"""Throw-away SSH keys: made for one run, never written anywhere but into its folder."""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

import paramiko
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from kdump_tests.errors import BadInput


class Key(Protocol):
    """Whatever paramiko can be given as a key."""

    def load(self) -> paramiko.PKey:
        """The key as paramiko wants it."""


@dataclass(frozen=True)
class KeyFile:
    """A key of the user's own, in a file."""

    path: Path

    def load(self) -> paramiko.PKey:
        """The key as paramiko wants it.

        Raises:
            BadInput: the file holds none that opens without a passphrase.
        """
        try:
            return paramiko.PKey.from_path(self.path)
        except (OSError, ValueError, paramiko.SSHException, TypeError) as error:
            raise BadInput(
                f"{self.path} is no key that can be used",
                reason=error,
                way_out="one without a passphrase, or ssh-agent",
            ) from None


@dataclass(frozen=True)
class KnownKey:
    """A host key that this user's known_hosts has."""

    key: paramiko.PKey

    def load(self) -> paramiko.PKey:
        """The key as paramiko wants it."""
        return self.key


@dataclass(frozen=True)
class KeyPair:
    """An Ed25519 key in OpenSSH's own formats. The private half stays out of repr()."""

    public: str
    private: str

    def __repr__(self) -> str:
        return f"KeyPair({self.public!r})"

    @classmethod
    def generate(cls) -> Self:
        """A new key."""
        key = ed25519.Ed25519PrivateKey.generate()
        public = key.public_key().public_bytes(
            serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
        )
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
        )
        return cls(public.decode(), private.decode())

    def load(self) -> paramiko.PKey:
        """The key as paramiko wants it."""
        return paramiko.Ed25519Key.from_private_key(io.StringIO(self.private))
