"""A host that is somebody's: known by its key, asked before anything, and left as it was."""

import os
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import paramiko
import pytest

from kdump_tests.deadline import Deadline
from kdump_tests.errors import BadInput, LabError
from kdump_tests.guest.host import Address, Consent, console_by, kept
from kdump_tests.guest.keys import KeyFile, KeyPair
from kdump_tests.guest.shell import Login, Shell
from kdump_tests.unit.guest.ssh_server import Handler, execute, sshd


def soon() -> Deadline:
    return Deadline.after(10, "the host answers")


_SERVICES = {"postgresql": "inactive", "nginx": "active", "backup": "activating", "cron": "failed"}


def host(name: str = "db7", users: str = "") -> Handler:
    """A host that answers what is asked before a crash, and nothing else."""

    def answer(command: str, channel: paramiko.Channel) -> None:
        service = re.fullmatch(r"systemctl show --property=LoadState,ActiveState -- (\S+)", command)
        said = {"cat /proc/sys/kernel/hostname": f"{name}\n", "who": users}.get(command)
        if service:
            loaded = "loaded" if service[1] in _SERVICES else "not-found"
            said = f"LoadState={loaded}\nActiveState={_SERVICES.get(service[1], 'inactive')}\n"
        channel.sendall((said or "").encode())
        channel.send_exit_status(127 if said is None else 0)
        channel.close()

    return answer


@contextmanager
def entered(handler: Handler, folder: Path) -> Iterator[Shell]:
    with sshd(handler) as server:
        shell = Shell(server.login, folder / "commands.log")
        shell.connect(soon(), lambda: None)
        yield shell
        shell.close()


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("db7", Address("root", "db7", 22)),
        ("qa@192.0.2.7:2222", Address("qa", "192.0.2.7", 2222)),
        ("root@db7.example.org", Address("root", "db7.example.org", 22)),
    ],
)
def test_address_is_read_as_ssh_reads_it(text: str, address: Address) -> None:
    assert Address.parse(text) == address


@pytest.mark.parametrize(
    "text", ["", "a b", "root@", "@db7", "db7:0", "db7:99999", "db7;reboot", "-oProxyCommand=x y"]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="is not of the form"):
        Address.parse(text)


def test_host_is_only_entered_if_its_key_is_known(tmp_path: Path) -> None:
    known, key = tmp_path / "known_hosts", KeyPair.generate()
    known.write_text(f"[db7]:2222 {key.public}\n")
    login = Address("qa", "db7", 2222).login(None, known)
    assert (login.user, login.port, login.key) == ("qa", 2222, None)
    assert login.host_key.load().get_base64() == key.public.split()[1]
    for stranger in (Address("qa", "db7", 22), Address("qa", "db8", 2222)):
        with pytest.raises(BadInput, match="is not known") as refusal:
            stranger.login(None, known)
        assert "ssh -p" in refusal.value.facts["way out"]
    with pytest.raises(BadInput, match="is not known"):
        Address("qa", "db7", 2222).login(None, tmp_path / "nothing")


def test_key_that_is_none_is_refused_before_anything(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("no key")
    for name in ("key", "nothing"):
        with pytest.raises(BadInput, match="is no key that can be used"):
            KeyFile(tmp_path / name).load()


def test_commands_of_another_user_run_as_root() -> None:
    pair = KeyPair.generate()
    assert Login("db7", 22, pair, pair).as_root("cat -- '/a b'") == "cat -- '/a b'"
    assert Login("db7", 22, pair, pair, "qa").as_root("cat -- '/a b'") == (
        "sudo -n -- sh -c 'cat -- '\"'\"'/a b'\"'\"''"
    )


def test_host_is_crashed_under_its_own_name(tmp_path: Path) -> None:
    with entered(host("db7"), tmp_path) as shell:
        Consent("db7", ("postgresql",), may_be_busy=False).check(shell, soon())


@pytest.mark.parametrize("spelled", ["db", "db70", "DB7", "db7.example.org", "", "db7 "])
def test_any_other_name_is_refused(tmp_path: Path, spelled: str) -> None:
    with (
        entered(host("db7"), tmp_path) as shell,
        pytest.raises(BadInput, match="is not this host") as refusal,
    ):
        Consent(spelled, (), may_be_busy=True).check(shell, soon())
    assert refusal.value.facts["its hostname"] == "db7"


def test_host_with_users_on_it_is_refused_unless_told(tmp_path: Path) -> None:
    with entered(
        host(users="anna pts/0 2026-11-25 09:00\nanna pts/1\n\x1b[31mbob tty1\n"), tmp_path
    ) as shell:
        with pytest.raises(BadInput, match="users are logged in on db7") as refusal:
            Consent("db7", (), may_be_busy=False).check(shell, soon())
        Consent("db7", (), may_be_busy=True).check(shell, soon())
        Consent(None, (), may_be_busy=False).check(shell, soon())  # it is only looked at
    assert refusal.value.facts["users"] == r"\x1b[31mbob, anna"


@pytest.mark.parametrize("service", ["nginx", "backup"])
def test_host_whose_service_is_about_anything_is_refused_unless_told(tmp_path: Path, service: str) -> None:
    with entered(host(), tmp_path) as shell:
        Consent("db7", ("postgresql", "cron"), may_be_busy=False).check(shell, soon())
        with pytest.raises(BadInput, match=f"{service} of --spare runs on db7"):
            Consent("db7", ("postgresql", service), may_be_busy=False).check(shell, soon())
        Consent("db7", (service,), may_be_busy=True).check(shell, soon())


def test_service_that_is_none_spares_nobody(tmp_path: Path) -> None:
    with entered(host(), tmp_path) as shell, pytest.raises(BadInput, match="no service postgres to --spare"):
        Consent("db7", ("postgres",), may_be_busy=False).check(shell, soon())


def test_configuration_is_put_back_as_it_was_also_after_a_failure(tmp_path: Path) -> None:
    file = tmp_path / "kdump-tools"
    file.write_text("USE_KDUMP=1\n")
    file.chmod(0o640)
    os.utime(file, (0, 0))
    name = tmp_path.name
    before = time.time() - 2

    def fail(shell: Shell) -> None:
        with kept(shell, "db7", [str(file), str(tmp_path / "not there")], name, soon(), soon):
            file.write_text("changed\n")
            (tmp_path / "not there").write_text("made\n")
            shell.close()  # as after a crash
            raise ZeroDivisionError

    with entered(execute, tmp_path) as shell, pytest.raises(ZeroDivisionError):
        fail(shell)
    assert (file.read_text(), file.stat().st_mode & 0o777) == ("USE_KDUMP=1\n", 0o640)
    assert file.stat().st_mtime >= before  # or no initramfs would be built anew for it
    assert not (tmp_path / "not there").exists()
    assert not Path(f"/var/tmp/kdump-verify-{name}.tar").exists()  # noqa: S108


def test_configuration_that_cannot_be_put_back_is_told_with_its_place(tmp_path: Path) -> None:
    file, archive = tmp_path / "kdump-tools", Path(f"/var/tmp/kdump-verify-{tmp_path.name}.tar")  # noqa: S108
    file.write_text("USE_KDUMP=1\n")

    def spoil(shell: Shell) -> None:
        with kept(shell, "db7", [str(file)], tmp_path.name, soon(), soon):
            archive.write_bytes(b"no archive")

    with entered(execute, tmp_path) as shell, pytest.raises(LabError, match="not be put back") as failure:
        spoil(shell)
    assert failure.value.facts["it lies in"] == str(archive)
    archive.unlink()


def test_console_is_what_the_command_shows(tmp_path: Path) -> None:
    script = "print('Linux version 6.1'); print('login: ', end='')"
    with console_by(f'{sys.executable} -c "{script}"', tmp_path / "console.log") as console:
        line = console.expect(re.compile("login: "), 0, soon())
        assert line is not None
        assert console.expect(re.compile("never"), 0, soon()) is None  # it has ended, and that is known
    assert b"Linux version 6.1" in (tmp_path / "console.log").read_bytes()


@pytest.mark.parametrize("command", ["/no/such/program", "", "'unclosed"])
def test_console_command_that_is_none_is_refused(tmp_path: Path, command: str) -> None:
    with pytest.raises(BadInput, match="--console"), console_by(command, tmp_path / "console.log"):
        pass
