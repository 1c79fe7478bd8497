"""A shell of this host, in which the tools of a kdump only note how they were called."""

import os
import subprocess
from contextlib import suppress
from pathlib import Path

from kdump_tests.deadline import Deadline
from kdump_tests.guest.shell import Output

_TOOL = """#!/bin/sh
echo {name} "$@" >> {calls}
{script}
"""


class Here:
    """The scripts that it is given are real. Its own tools lie in a folder, first on PATH."""

    def __init__(self, folder: Path) -> None:
        self._tools = folder / "tools"
        self._tools.mkdir()
        self._calls = folder / "calls"

    def has(self, *names: str, script: str = "") -> None:
        """Tools of those names, which do what the script says."""
        for name in names:
            tool = self._tools / name
            tool.write_text(_TOOL.format(name=name, calls=self._calls, script=script))
            tool.chmod(0o755)

    @property
    def calls(self) -> list[str]:
        """How its tools were called, one line each."""
        return self._calls.read_text().splitlines() if self._calls.exists() else []

    def attempt(self, *argv: str, until: Deadline) -> Output:
        """Run it, as a guest's shell would."""
        env = {**os.environ, "PATH": f"{self._tools}:{os.environ['PATH']}"}
        with suppress(subprocess.TimeoutExpired):
            return self._ran(argv, env, until)
        raise until.error()

    def _ran(self, argv: tuple[str, ...], env: dict[str, str], until: Deadline) -> Output:
        done = subprocess.run(argv, capture_output=True, text=True, check=False, env=env, timeout=until.left)
        return Output(" ".join(argv), done.returncode, done.stdout, done.stderr)

    def run(self, *argv: str, until: Deadline) -> str:
        """Run it; it must succeed."""
        output = self.attempt(*argv, until=until)
        assert output.status == 0, output
        return output.stdout
