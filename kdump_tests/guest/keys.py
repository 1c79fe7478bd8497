"""Throw-away SSH keys: made for one run, never written anywhere but into its folder."""

import io
from dataclasses import dataclass
from typing import Self

import paramiko
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519


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
