#!/bin/sh
# PID 1 of a box: makes its namespaces look like a machine of their own, says so, and lives as long as its standard input.
# $1 is the host name. When this process ends, however it ends, the kernel kills everything in the PID namespace, and with
# the last process go the network and the mounts: a box can't be left behind, not even by a test run that was killed.
set -eu
echo "$1" > /proc/sys/kernel/hostname
ip link set lo up
mount -t tmpfs tmpfs /run
mount -t tmpfs -o exec tmpfs /dev/shm          # user-mode Linux maps its memory there, executable
# What programs compare to know whether two processes are on one machine must differ between boxes, as it does between machines.
cat /proc/sys/kernel/random/uuid > /run/boot_id
mount --bind /run/boot_id /proc/sys/kernel/random/boot_id
if [ -e /etc/machine-id ]; then
    tr -d - < /proc/sys/kernel/random/uuid > /run/machine-id
    mount --bind /run/machine-id /etc/machine-id
fi
echo ready
# Orphans come to PID 1; children of a process that ignores their end are reaped by the kernel.
exec env --ignore-signal=CHLD cat > /dev/null
