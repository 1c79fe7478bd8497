"""What a machine with cloud-init is given at its first boot: who may enter, and how it proves itself.

A NoCloud seed (cloud-init's documentation, reference/datasources/nocloud): an ISO 9660 of the label cidata.
Everything else is left as the image has it.
"""

import io
import json
from pathlib import Path

import pycdlib

from kdump_tests.guest.keys import KeyPair


def write_seed(path: Path, instance: str, guest_key: KeyPair, host_key: KeyPair) -> None:
    """Write the seed that lets ``guest_key`` in as root. cloud-init acts once for every ``instance``."""
    user_data = {
        # Of both, as the default user of an image is not known, and the suite needs root.
        "disable_root": False,
        "users": [{"name": "root", "ssh_authorized_keys": [guest_key.public], "lock_passwd": True}],
        "ssh_deletekeys": True,
        "ssh_keys": {"ed25519_private": host_key.private, "ed25519_public": host_key.public},
    }
    files = {
        "meta-data": json.dumps({"instance-id": instance}),
        # JSON is YAML; the first line is what cloud-init knows it by.
        "user-data": f"#cloud-config\n{json.dumps(user_data)}\n",
    }
    path.touch(mode=0o600)
    disc = pycdlib.PyCdlib()
    disc.new(interchange_level=3, vol_ident="cidata", joliet=3, rock_ridge="1.09")
    for name, text in files.items():
        content = text.encode()
        plain = name.replace("-", "").upper()
        disc.add_fp(io.BytesIO(content), len(content), f"/{plain}.;1", rr_name=name, joliet_path=f"/{name}")
    disc.write(str(path))
    disc.close()
