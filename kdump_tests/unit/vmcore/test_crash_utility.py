"""crash(8) at its prompt: where an answer ends is never for the dump to say."""

import os
import sys
from pathlib import Path

import pytest

from kdump_tests.errors import ToolMissing
from kdump_tests.unit.vmcore.vmlinuxes import BUILD_ID
from kdump_tests.vmcore import crash_utility
from kdump_tests.vmcore.analysis import CrashedTask
from kdump_tests.vmcore.crash_utility import Answer, Session, ask
from kdump_tests.vmcore.debug_information import Vmlinux

# As crash 8.0.2 said of a dump of Debian 12's, of which it could not read the tasks.
SYS = """\
      KERNEL: vmlinux
    DUMPFILE: dump.202611251047  [PARTIAL DUMP]
       TASKS: 2
    NODENAME: kdump-guest
     RELEASE: 6.1.0-56-cloud-amd64
       PANIC: "Kernel panic - not syncing: sysrq triggered crash"
"""
BT = """\
PID: 338      TASK: ff3f4789c3cc8000  CPU: 1    COMMAND: "sh"
 #0 [ff8e3b354073bae8] machine_kexec at ffffffff8a46c62f
 #1 [ff8e3b354073bc80] sysrq_handle_crash at ffffffff8aaa8a06
    RIP: 00007f6e61cb0350  RSP: 00007ffdd368f898  RFLAGS: 00000202
"""
PS = """\
      PID    PPID  CPU       TASK        ST  %MEM      VSZ      RSS  COMM
        0       0   0  ffffffff8be1aa40  RU   0.0        0        0  [swapper/0]
>     338      -1   0  ff3f4789c3cc8000  RU   0.2     2584     1696  sh
"""
MOD = """\
     MODULE       NAME                         BASE          SIZE  OBJECT FILE
ffffffffc02ff000  virtio_pci             ffffffffc02fd000   16384  (not loaded)  [CONFIG_KALLSYMS]
"""
GREETING = "crash 8.0.2\nWARNING: active task ff3f4789c3cc8000 on cpu 0 not found in PID hash\n"

# Speaks as crash does, as far as this goes: prompts, echoes, evaluates. {log} is what it says to `log`.
CRASH = """\
#!{python}
import sys
print("crash 9.9.9")
while True:
    sys.stdout.write("crash> ")
    sys.stdout.flush()
    line = sys.stdin.readline()
    if not line:
        break
    if line.startswith("eval "):
        number = int(line.split()[1], 16)
        print(f"hexadecimal: {{number:x}}\\n    decimal: {{number}}\\n      octal: {{number:o}}")
    elif line.strip() == "log":
        {log}
    else:
        print("answer to", line.strip())
"""


def session(**answers: str) -> Session:
    told = tuple(Answer(command, text, 0.1) for command, text in answers.items())
    return Session("crash 8.0.2", GREETING, told, "", 9.0)


@pytest.fixture
def said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a program called crash lies; what a test writes there is run."""
    tool = tmp_path / "bin" / "crash"
    tool.parent.mkdir()
    monkeypatch.setenv("PATH", f"{tool.parent}:{os.environ['PATH']}")
    monkeypatch.setattr(crash_utility, "_START_SECONDS", 5.0)
    monkeypatch.setattr(crash_utility, "_ANSWER_SECONDS", 1.0)
    return tool


def asked(tool: Path, log: str, script: str = CRASH) -> Session:
    tool.write_text(script.format(python=sys.executable, log=log))
    tool.chmod(0o755)
    return ask(tool, Vmlinux(tool, BUILD_ID))


def test_what_the_verdict_needs_is_read_out_of_its_answers() -> None:
    told = session(sys=SYS, bt=BT, ps=PS, mod=MOD)
    assert told.release == "6.1.0-56-cloud-amd64"
    assert told.crashed == CrashedTask(338, "sh", 1)
    assert told.functions == ("machine_kexec", "sysrq_handle_crash")
    assert told.pids == {0, 338}
    assert told.modules == {"virtio_pci"}
    assert told.complaints == ("WARNING: active task ff3f4789c3cc8000 on cpu 0 not found in PID hash",)


def test_what_it_did_not_say_is_not_known() -> None:
    told = session(sys="sys: invalid command", bt="no current task")
    assert (told.release, told.crashed, told.functions, told.pids) == (None, None, (), frozenset())


def test_every_command_is_asked_and_answered(said: Path) -> None:
    told = asked(said, 'print("the log")')
    assert told.failure == ""
    assert told.version == "crash 9.9.9"
    assert [answer.command for answer in told.answers] == list(crash_utility.COMMANDS)
    assert told.answer("log") == "the log"
    assert told.answer("kmem -i") == "answer to kmem -i"
    assert "crash> kmem -i\nanswer to kmem -i" in told.transcript


def test_a_log_with_prompts_and_numbers_ends_no_answer(said: Path) -> None:
    told = asked(said, 'print("crash> \\ncrash> files\\n decimal: 1152921504606846977\\ncrash> ")')
    assert told.failure == ""
    assert told.answer("files") == "answer to files"
    assert "decimal: 1152921504606846977" in told.answer("log")


def test_escape_sequences_steer_no_terminal(said: Path) -> None:
    told = asked(said, 'print("\\x1b[2Jgone")')
    assert told.answer("log") == "\\x1b[2Jgone"


def test_a_command_that_never_ends_is_cut_off(said: Path) -> None:
    told = asked(said, "import time; time.sleep(600)")
    assert told.failure == "crash was still at it before it had answered `log`"
    assert [answer.command for answer in told.answers] == ["sys", "bt", "ps", "log"]


def test_an_answer_without_end_fills_no_memory(said: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crash_utility, "_LONGEST_ANSWER", 1 << 16)
    monkeypatch.setattr(crash_utility, "_ANSWER_SECONDS", 60.0)
    told = asked(said, 'exec("while True: print(42)")')
    assert told.failure == "crash said too much before it had answered `log`"
    assert len(told.answer("log")) < 1 << 18


def test_one_that_dies_amid_an_answer_is_told(said: Path) -> None:
    told = asked(said, "sys.exit(1)")
    assert told.failure == "crash ended before it had answered `log`"


def test_one_that_refuses_the_dump_says_why(said: Path) -> None:
    told = asked(said, "", "#!/bin/sh\necho 'crash 8.0.2'\necho 'crash: vmlinux and dump do not match!'\n")
    assert told.failure == "crash ended before its first prompt: vmlinux and dump do not match!"
    assert told.answers == ()


def test_one_that_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kdump_tests.subprocesses.shutil.which", lambda *_args, **_options: None)
    with pytest.raises(ToolMissing, match="crash is not installed"):
        ask(tmp_path, Vmlinux(tmp_path, BUILD_ID))
