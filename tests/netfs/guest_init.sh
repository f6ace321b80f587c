#!/bin/bash
# PID 1 of a user-mode-Linux guest. Its root is this machine's / through hostfs, so programs and virtual environments are those of
# the tests; everything a machine has of its own is mounted over it. Kernel parameters that the kernel does not know come as variables.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mkdir -p /dev/shm /dev/pts
for folder in /run /dev/shm /var/tmp /var/lib/nfs; do mount -t tmpfs tmpfs $folder; done
mkdir -p /run/tmp
[ -e /dev/fd ] || ln -s /proc/self/fd /dev/fd
hostname "$GUEST_NAME"
ip link set lo up
ip addr add "$GUEST_DATA/24" dev vec0 && ip link set vec0 up            # the network that is cut
ip addr add "$GUEST_CONTROL/24" dev vec1 && ip link set vec1 up         # the one by which tests reach the agent, never cut
mkdir -p /run/modules/lib && ln -s /usr/lib/uml/modules /run/modules/lib/modules
case $GUEST_ROLE in
server)
    modprobe -d /run/modules nfsd
    mount -t nfsd nfsd /proc/fs/nfsd
    echo "$GUEST_LEASE" > /proc/fs/nfsd/nfsv4leasetime
    echo "$GUEST_LEASE" > /proc/fs/nfsd/nfsv4gracetime
    mkdir -p /run/export /var/lib/nfs/v4recovery
    touch /var/lib/nfs/etab /var/lib/nfs/rmtab
    exportfs -o rw,no_root_squash,no_subtree_check,insecure,fsid=0 10.77.0.0/24:/run/export
    rpc.mountd --no-nfs-version 3
    rpc.nfsd --no-nfs-version 3 8 && echo shared
    echo Y > /proc/fs/nfsd/v4_end_grace                                 # nobody has locks from before the start
    ;;
client)
    modprobe -d /run/modules nfsv4
    mount -t nfs4 -o "$GUEST_OPTIONS" "$GUEST_SERVER:/" "$GUEST_PATH" && echo shared
    ;;
esac
"$GUEST_PYTHON" -I -S "$GUEST_AGENT" serve "$GUEST_CONTROL" 9000          # says "ready" when it listens
echo o > /proc/sysrq-trigger
sleep 60
