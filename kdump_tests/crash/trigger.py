"""Ways to make a kernel panic, and the words by which its panic is known to be the one asked for."""

import random
from dataclasses import dataclass
from enum import Enum, StrEnum

from kdump_tests.crash.pull import Fault, MachineCheck, Nmi, Pull, Script, SerialBreak
from kdump_tests.crash.words import Words, oops, panic
from kdump_tests.guest.machine import Guest


class Cpu(StrEnum):
    """Which CPU a trigger is pulled on."""

    FIRST = "first"
    LAST = "last"
    RANDOM = "random"

    def among(self, vcpus: int) -> int:
        """Its number on a machine with so many."""
        match self:
            case Cpu.FIRST:
                return 0
            case Cpu.LAST:
                return vcpus - 1
            case Cpu.RANDOM:
                return random.randrange(vcpus)  # noqa: S311 - no secret


@dataclass(frozen=True)
class Need:
    """A question to the guest, a shell script; unless its answer is yes, the trigger is none ``because``."""

    question: str
    because: str


@dataclass(frozen=True)
class Recipe:
    """How a trigger is pulled, and what the kernel then prints.

    ``prepare`` is a shell script that must succeed. With ``traffic`` this host and the machine send to each
    other all the while. ``task`` is the name (comm) of the task that panics and
    ``cpu`` where, None where chance decides; ``names_task`` is whether the kernel says so. ``in_nmi``: the
    panic is in NMI context, where printk() only takes notes for later, and the capture kernel may start
    before that. ``not_dumped_because`` is the fault of the crash that there must be; empty where a dump must
    be left. ``crashes_in`` is the function that the backtrace of the task that panics must hold; empty where
    no dump is. After an oops it begins where the fault was, in a function of fault_module/fault.c or one
    that this called: oops_end() hands the registers of the fault to crash_kexec().

    Words: kernel sources of 6.1, 6.12 and 7.2. Functions: backtraces of 6.1 and 6.12; the hard lockup's by
    their sources alone.
    """

    words: Words
    pull: Pull
    prepare: str = ""
    traffic: bool = False
    task: str | None = None
    cpu: Cpu | None = None
    names_task: bool = True
    vcpus: int = 1
    needs: tuple[Need, ...] = ()
    in_nmi: bool = False
    not_dumped_because: str = ""
    crashes_in: str = ""


# drivers/tty/sysrq.c. The file takes a command whatever kernel.sysrq allows; the first write is for those
# who expect it done as people do it.
_SYSRQ = panic("sysrq triggered crash", after=r"sysrq: Trigger a crash")
_HANDLER = "sysrq_handle_crash"
_SYSRQ_C = Script("echo 1 > /proc/sys/kernel/sysrq; echo c > /proc/sysrq-trigger")

_UNSIGNED_MODULES = Need(
    'test "$(uname -m)" = x86_64 && ! grep --quiet Y /sys/module/module/parameters/sig_enforce'
    ' && ! grep --quiet "[[]\\(integrity\\|confidentiality\\)[]]" /sys/kernel/security/lockdown',
    "its kernel takes no module that nobody signed, or is not of x86_64",
)

# Most of the memory in files of a tmpfs, the page cache dirty faster than the disk takes it, every CPU busy
# and far more processes than CPUs. head ends where the memory does.
_LOAD = """
mkdir -p /run/load
mount -t tmpfs -o size=100% load /run/load
available() { sed --quiet 's/^MemAvailable: *\\([0-9]*\\) kB/\\1/p' /proc/meminfo; }
head --bytes="$(($(available) - 140 * 1024))K" /dev/zero > /run/load/full
for n in 1 2; do
    setsid sh -c 'while :; do dd if=/dev/zero of=/var/tmp/load.$0 bs=256k count=128; done' $n &
    setsid sh -c 'while :; do :; done' &
done < /dev/null > /dev/null 2>&1
for n in $(seq 150); do setsid sleep 3600 & done < /dev/null > /dev/null 2>&1
test "$(available)" -lt $((200 * 1024))
"""

# A grace period never begins when its thread wakes up on the CPU that spins, or nobody asks for one: every
# process that ends does.
_GRACE_PERIODS_ON_FIRST_CPU = """
echo 5 > /sys/module/rcupdate/parameters/rcu_cpu_stall_timeout
echo 1 > /proc/sys/kernel/panic_on_rcu_stall
for task in /proc/[0-9]*; do
    case "$(cat "$task/comm" 2> /dev/null)" in
        rcu_preempt | rcu_sched) taskset --pid --cpu-list 0 "${task#/proc/}" ;;
    esac
done
setsid taskset --cpu-list 0 sh -c 'while :; do /bin/true; done' < /dev/null > /dev/null 2>&1 &
"""

# Of kexec's options the later one counts, so --unload comes last.
_UNLOAD = "kexec --load-panic --unload"

# No initrd and no root: the capture kernel panics as it looks for one.
_CAPTURE_KERNEL_WITHOUT_A_ROOT = f"""
{_UNLOAD}
console=$(tr ' ' '\\n' < /proc/cmdline | grep ^console=)
kexec --load-panic "/boot/vmlinuz-$(uname -r)" --append="$console panic=1 nr_cpus=1 reset_devices"
"""


class Trigger(Enum):
    """The triggers by name."""

    SYSRQ_C = Recipe(words=_SYSRQ, pull=_SYSRQ_C, crashes_in=_HANDLER, task="sh")
    SYSRQ_C_ON_FIRST_CPU = Recipe(
        words=_SYSRQ, pull=_SYSRQ_C, crashes_in=_HANDLER, task="sh", cpu=Cpu.FIRST, vcpus=2
    )
    SYSRQ_C_ON_LAST_CPU = Recipe(
        words=_SYSRQ, pull=_SYSRQ_C, crashes_in=_HANDLER, task="sh", cpu=Cpu.LAST, vcpus=2
    )
    SYSRQ_C_ON_RANDOM_CPU = Recipe(
        words=_SYSRQ, pull=_SYSRQ_C, crashes_in=_HANDLER, task="sh", cpu=Cpu.RANDOM, vcpus=2
    )
    SYSRQ_C_UNDER_LOAD = Recipe(
        words=_SYSRQ, pull=_SYSRQ_C, crashes_in=_HANDLER, prepare=_LOAD, traffic=True, task="sh", vcpus=2
    )
    # Here kernel.sysrq counts, and Debian's allows no crash (438, without 8).
    SERIAL_BREAK = Recipe(
        words=_SYSRQ,
        pull=SerialBreak("c"),
        crashes_in=_HANDLER,
        prepare="echo 1 > /proc/sys/kernel/sysrq",
        needs=(
            Need(
                "grep --quiet CONFIG_MAGIC_SYSRQ_SERIAL=y /boot/config-$(uname -r)",
                "its kernel takes no SysRq from a serial line (CONFIG_MAGIC_SYSRQ_SERIAL)",
            ),
        ),
    )
    # arch/x86/kernel/nmi.c
    NMI = Recipe(
        words=panic(
            "NMI: Not continuing", after=r"Uhhuh\. NMI received for unknown reason [0-9a-f]{2} on CPU \d+"
        ),
        pull=Nmi(),
        crashes_in="unknown_nmi_error",
        prepare="echo 1 > /proc/sys/kernel/unknown_nmi_panic",
        in_nmi=True,
    )
    # mm/oom_kill.c: 2 also counts where a cgroup's limit was met. tail keeps the last line, and zeros have
    # no end of one.
    OUT_OF_MEMORY = Recipe(
        words=panic("Out of memory: compulsory panic_on_oom is enabled", after=r"invoked oom-killer: "),
        prepare="echo 2 > /proc/sys/vm/panic_on_oom; swapoff -a",
        pull=Script("exec tail /dev/zero"),
        crashes_in="out_of_memory",
    )
    # kernel/hung_task.c: whoever writes to a frozen file system waits where no signal reaches.
    HUNG_TASK = Recipe(
        words=panic(
            "hung_task: blocked tasks",
            after=r"INFO: task \S+:\d+ (?:blocked|is blocked) .*for more than \d+ seconds",
        ),
        prepare="cd /proc/sys/kernel; echo 5 > hung_task_timeout_secs; echo 1 > hung_task_panic",
        pull=Script("fsfreeze --freeze /; exec touch /frozen"),
        task="khungtaskd",
        crashes_in="watchdog",
    )
    # kernel/exit.c. systemd that is told to start anew finds something in its place that ends at once.
    KILLED_INIT = Recipe(
        words=panic("Attempted to kill init! exitcode=0x00000000", after=None),
        prepare="mount --bind /bin/true /lib/systemd/systemd",
        pull=Script("exec systemctl daemon-reexec"),
        crashes_in="do_exit",
        task="systemd",
        needs=(Need('test "$(cat /proc/1/comm)" = systemd', "its init is not systemd"),),
    )
    # arch/x86/mm/fault.c
    NULL_DEREFERENCE = Recipe(
        words=oops("Oops", after=r"BUG: kernel NULL pointer dereference, address: 0000000000000000"),
        prepare="echo 1 > /proc/sys/kernel/panic_on_oops",
        pull=Fault("null_dereference"),
        crashes_in="null_dereference",
        task="insmod",
        needs=(_UNSIGNED_MODULES,),
    )
    # lib/bug.c
    BUG = Recipe(
        words=oops("invalid opcode", after=r"kernel BUG at .*usercopy\.c:\d+!"),
        prepare="echo 1 > /proc/sys/kernel/panic_on_oops",
        pull=Fault("bug"),
        crashes_in="usercopy_abort",
        task="insmod",
        needs=(_UNSIGNED_MODULES,),
    )
    # kernel/panic.c; the line above it, in 7.2: "WARNING: lib/refcount.c:28 at refcount_warn_saturate+0x…"
    WARNING = Recipe(
        words=panic(
            r"kernel: panic_on_warn set \.\.\.",
            after=r"WARNING: .*lib/refcount\.c:\d+ .*refcount_warn_saturate",
        ),
        prepare="echo 1 > /proc/sys/kernel/panic_on_warn",
        pull=Fault("warning"),
        crashes_in="refcount_warn_saturate",
        task="insmod",
        needs=(_UNSIGNED_MODULES,),
    )
    # arch/x86/kernel/traps.c and dumpstack_64.c: the page below the stack, a double fault, met as an NMI.
    STACK_EXHAUSTION = Recipe(
        words=oops("stack guard page", after=r"BUG: TASK stack guard page was hit at "),
        prepare="echo 1 > /proc/sys/kernel/panic_on_oops",
        pull=Fault("exhaust_stack"),
        crashes_in="exhaust_stack",
        task="insmod",
        needs=(_UNSIGNED_MODULES,),
        in_nmi=True,
    )
    # kernel/watchdog.c: twice watchdog_thresh.
    SOFT_LOCKUP = Recipe(
        words=panic("softlockup: hung tasks", after=r"BUG: soft lockup - CPU#\d+ stuck for \d+s! \[insmod:"),
        prepare="cd /proc/sys/kernel; echo 5 > watchdog_thresh; echo 1 > softlockup_panic",
        pull=Fault("spin"),
        crashes_in="watchdog_timer_fn",
        task="insmod",
        needs=(_UNSIGNED_MODULES,),
    )
    # kernel/watchdog_perf.c counts cycles by the CPU's own counter, kernel/watchdog.c speaks.
    HARD_LOCKUP = Recipe(
        words=panic("Hard LOCKUP", after=r"Watchdog detected hard LOCKUP on cpu \d+"),
        prepare="cd /proc/sys/kernel; echo 5 > watchdog_thresh; echo 1 > hardlockup_panic",
        pull=Fault("spin_without_interrupts"),
        crashes_in="watchdog_overflow_callback",
        task="insmod",
        needs=(
            _UNSIGNED_MODULES,
            Need(
                'cd /proc/sys/kernel; echo 1 > nmi_watchdog; test "$(cat nmi_watchdog)" = 1'
                ' && ! dmesg | grep --quiet "NMI watchdog: Perf NMI watchdog permanently disabled"',
                "its CPU has no counter that the NMI watchdog could use, as under TCG",
            ),
        ),
        in_nmi=True,
    )
    # kernel/rcu/tree_stall.h. The first CPU lets a grace period begin, either may see that it has no end.
    RCU_STALL = Recipe(
        words=panic(
            "RCU Stall",
            after=r"rcu: INFO: rcu_\w+ (?:self-detected stall on CPU|detected stalls on CPUs/tasks:)",
        ),
        prepare=_GRACE_PERIODS_ON_FIRST_CPU,
        pull=Fault("spin", cpu=1),
        crashes_in="panic_on_rcu_stall",
        vcpus=2,
        needs=(_UNSIGNED_MODULES,),
    )
    # arch/x86/kernel/cpu/mce: an error that is valid, uncorrected, enabled and has corrupted the CPU's
    # context, told while a machine check is in progress. mce_panic() calls bust_spinlocks() before panic(),
    # which takes that for a panic within one and prints no stack, so no task.
    MACHINE_CHECK = Recipe(
        words=panic(
            "Fatal (?:local )?machine check(?: on current CPU)?",
            after=r"mce: \[Hardware Error\]: CPU 0: Machine Check Exception",
        ),
        pull=MachineCheck(bank=1, status=0xB200000000000000, global_status=0x4),
        crashes_in="mce_panic",
        needs=(
            Need(
                "test -d /sys/devices/system/machinecheck/machinecheck0",
                "its kernel handles no machine checks (CONFIG_X86_MCE), or its CPU reports none",
            ),
        ),
        names_task=False,
        in_nmi=True,
    )
    UNARMED = Recipe(
        words=_SYSRQ,
        prepare=f"{_UNLOAD}; echo 1 > /proc/sys/kernel/panic",
        pull=_SYSRQ_C,
        task="sh",
        not_dumped_because="no capture kernel took over, the machine rebooted",
    )
    SECOND_PANIC = Recipe(
        words=_SYSRQ,
        prepare=_CAPTURE_KERNEL_WITHOUT_A_ROOT,
        pull=_SYSRQ_C,
        task="sh",
        needs=(Need("test -r /boot/vmlinuz-$(uname -r)", "its kernel is not under /boot/vmlinuz-RELEASE"),),
        not_dumped_because="the capture kernel panicked too",
    )

    def __str__(self) -> str:
        return self.name.lower().replace("_", "-")

    @property
    def dumps(self) -> bool:
        """Whether a dump must be left; else that there must be none."""
        return not self.value.not_dumped_because

    def impossible_because(self, guest: Guest) -> str:
        """Why the guest cannot be crashed so; empty when it can."""
        if self.value.pull.needs_hypervisor and guest.domain is None:
            return f"{self} takes the hypervisor of {guest.name}, which is not ours"
        for need in self.value.needs:
            if guest.shell.attempt("sh", "-c", need.question, until=guest.command_deadline()).status != 0:
                return f"{self} cannot be on {guest.name}: {need.because}"
        return ""
