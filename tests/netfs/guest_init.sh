#!/bin/bash
# PID 1 of a user-mode-Linux guest. Its root is this machine's / through hostfs, so programs and virtual environments are those of
# the tests; everything a machine has of its own is mounted over it. Kernel parameters that the kernel does not know come as variables.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
mount -t proc proc /proc
mount -t sysfs sysfs /sys
for folder in /run /dev/shm /var/tmp; do mount -t tmpfs tmpfs $folder; done
mkdir -p /run/tmp
mkdir -p /dev/pts
[ -e /dev/fd ] || ln -s /proc/self/fd /dev/fd
hostname "$GUEST_NAME"
ip link set lo up
ip addr add "$GUEST_DATA/24" dev vec0 && ip link set vec0 up            # the network that is cut
ip addr add "$GUEST_CONTROL/24" dev vec1 && ip link set vec1 up         # the one by which tests reach the agent, never cut
mkdir -p /run/modules/lib && ln -s /usr/lib/uml/modules /run/modules/lib/modules && modprobe -d /run/modules nfsv4
mount -t nfs4 -o "$GUEST_OPTIONS" "$GUEST_EXPORT" "$GUEST_PATH" && echo "mounted"
"$GUEST_PYTHON" -I -S "$GUEST_AGENT" serve "$GUEST_CONTROL" 9000          # says "ready" when it listens
echo o > /proc/sysrq-trigger
sleep 60
