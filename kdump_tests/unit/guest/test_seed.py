"""What cloud-init is given: read as it reads it."""

import io
import json
from pathlib import Path
from typing import Any

import pycdlib

from kdump_tests.guest.keys import KeyPair
from kdump_tests.guest.seed import write_seed


def seed(path: Path) -> dict[str, str]:
    disc: Any = pycdlib.PyCdlib()
    disc.open(str(path))
    texts = {}
    for name in ("meta-data", "user-data"):
        content = io.BytesIO()
        disc.get_file_from_iso_fp(content, rr_path=f"/{name}")
        texts[name] = content.getvalue().decode()
    assert disc.pvd.volume_identifier.decode().rstrip() == "cidata"
    disc.close()
    return texts


def test_seed_names_who_may_enter_and_how_the_machine_proves_itself(tmp_path: Path) -> None:
    ours, its = KeyPair.generate(), KeyPair.generate()
    write_seed(tmp_path / "seed.iso", "kdump-verify-1", ours, its)
    told = seed(tmp_path / "seed.iso")
    assert json.loads(told["meta-data"]) == {"instance-id": "kdump-verify-1"}
    first, _, rest = told["user-data"].partition("\n")
    assert first == "#cloud-config"
    user_data = json.loads(rest)
    assert user_data["users"] == [
        {"name": "root", "ssh_authorized_keys": [ours.public], "lock_passwd": True}
    ]
    assert user_data["ssh_keys"] == {"ed25519_private": its.private, "ed25519_public": its.public}
    assert set(user_data) == {"disable_root", "users", "ssh_deletekeys", "ssh_keys"}


def test_seed_is_for_its_owner_alone_as_a_private_key_is_in_it(tmp_path: Path) -> None:
    write_seed(tmp_path / "seed.iso", "kdump-verify-1", KeyPair.generate(), KeyPair.generate())
    assert (tmp_path / "seed.iso").stat().st_mode & 0o777 == 0o600
