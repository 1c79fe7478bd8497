#!/bin/sh
# One crash cycle without the suite: what our overhead is measured against.
#
#   benchmarks/bare_cycle.sh IMAGE_FOLDER WORK_FOLDER
#
# Boots the guest that kdump_tests/guest/domain.py describes, by QEMU alone, panics it and prints
# `cycle SECONDS`: from the trigger to the console's word that SSH is back, as our timeline ends.
# IMAGE_FOLDER holds disk.raw, vmlinuz and initrd; WORK_FOLDER has the overlay and throw-away keys meanwhile,
# and keeps the console. Needs openssh-client besides QEMU.
set -eu

[ $# = 2 ] || { echo "usage: $0 IMAGE_FOLDER WORK_FOLDER" >&2; exit 64; }
image=$(cd "$1" && pwd)
mkdir -p "$2"
cd "$2"
rm -f root.qcow2 console.log key key.pub host_key host_key.pub known_hosts qemu.log ssh.sock
port=$((20000 + $$ % 20000))
qemu=
master=

end() {
    for process in $master $qemu; do
        kill "$process" 2> /dev/null || true
        wait "$process" 2> /dev/null || true
    done
    rm -f root.qcow2 key key.pub host_key host_key.pub known_hosts ssh.sock
}
trap end EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

fail() { echo "$0: $*" >&2; tail -n 8 console.log qemu.log >&2; exit 1; }

# await PATTERN SECONDS FIRST_BYTE: until the console has such a line at or after that byte.
await() {
    until=$(($(date +%s) + $2))
    until tail -c "+$3" console.log | grep -qaE "$1"; do
        kill -0 "$qemu" 2> /dev/null || fail "QEMU ended"
        [ "$(date +%s)" -lt "$until" ] || fail "no line like '$1' within $2 s"
        sleep 0.1
    done
}

# Through the connection that is open, as ours is: no key exchange falls into the cycle.
in_guest() { timeout --foreground "$1" ssh -S ssh.sock guest "$2"; }

ssh-keygen -q -t ed25519 -N '' -C '' -f key
ssh-keygen -q -t ed25519 -N '' -C '' -f host_key
echo "[127.0.0.1]:$port $(cat host_key.pub)" > known_hosts
qemu-img create -q -f qcow2 -b "$image/disk.raw" -F raw root.qcow2
: > console.log

qemu-system-x86_64 -nodefaults -no-user-config -display none -machine q35 -accel tcg,tb-size=128 \
    -cpu max,-cx16,-erms,-fsrm -smp 1 -m 1024 \
    -kernel "$image/vmlinuz" -initrd "$image/initrd" \
    -append "root=/dev/vda rw console=ttyS0 mitigations=off crashkernel=384M-:128M" \
    -drive if=none,id=root,file=root.qcow2,format=qcow2,cache=unsafe,discard=unmap \
    -device virtio-blk-pci,drive=root \
    -netdev "user,id=ssh,restrict=on,hostfwd=tcp:127.0.0.1:$port-:22" \
    -device virtio-net-pci,netdev=ssh,romfile= \
    -fw_cfg name=opt/io.systemd.credentials/ssh.authorized_keys.root,file=key.pub \
    -fw_cfg name=opt/io.systemd.credentials/guest.ssh-host-key,file=host_key \
    -chardev file,id=console,path=console.log,append=on -device isa-serial,chardev=console \
    > qemu.log 2>&1 &
qemu=$!

# SSH_NEAR of the suite, with room for systemd's colours.
ssh_near='Started .*(ssh|OpenSSH)|login: ?$'
await "$ssh_near" 600 1

ssh -MN -S ssh.sock -i key -p "$port" -o BatchMode=yes -o IdentitiesOnly=yes -o ConnectTimeout=60 \
    -o ConnectionAttempts=60 -o UserKnownHostsFile=known_hosts root@127.0.0.1 < /dev/null &
master=$!
deadline=$(($(date +%s) + 120))
until ssh -S ssh.sock -O check guest 2> /dev/null; do
    [ "$(date +%s)" -lt "$deadline" ] || fail "SSH does not answer"
    sleep 0.1
done

in_guest 600 'systemctl is-system-running --wait' > /dev/null || true # "degraded" is settled as well
[ "$(in_guest 60 'cat /sys/kernel/kexec_crash_loaded')" = 1 ] || fail "no capture kernel is loaded"
in_guest 60 sync

first=$(($(wc -c < console.log) + 1))
begun=$(date +%s.%N)
# Detached: a shell that waits for a machine that died hangs.
in_guest 10 "setsid sh -c 'echo 1 > /proc/sys/kernel/sysrq; echo c > /proc/sysrq-trigger' \
    < /dev/null > /dev/null 2>&1 &" || true
await 'reboot: Restarting system' 1200 "$first"
first=$(($(grep -abo 'reboot: Restarting system' console.log | tail -n 1 | cut -d : -f 1) + 1))
await "$ssh_near" 600 "$first"
ended=$(date +%s.%N)

grep -qa 'kdump-tools: saved vmcore in ' console.log || fail "no vmcore was saved"
echo "$begun $ended" | awk '{ printf "cycle %.2f\n", $2 - $1 }'
