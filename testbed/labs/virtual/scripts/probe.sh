# Tries what a virtual bench needs of the kernel, in throw-away namespaces; one line for each:
# its name, then "ok" or what the kernel said.
try() {
    name=$1
    shift
    if said=$("$@" 2>&1); then
        echo "$name ok"
    else
        echo "$name $(echo "$said" | tr '\n' ' ')"
    fi
}
try tmpfs mount -t tmpfs probe /run
try proc unshare --mount --pid --fork --mount-proc true
try veth ip link add pv0 type veth peer name pv1
try bridge ip link add pb0 type bridge
try vlan_filtering ip link set pb0 type bridge vlan_filtering 1
try vlan ip link add link pv0 name pv0.5 type vlan id 5
try tun ip tuntap add dev pt0 mode tap
try nft nft add table inet probe
try nft_netdev nft 'add table netdev probe; add chain netdev probe in { type filter hook ingress device "pv0" priority 0; }'
try clsact tc qdisc add dev pv0 clsact
try mirred tc filter add dev pv0 ingress protocol all u32 match u32 0 0 action mirred egress mirror dev pv1
try netem tc qdisc add dev pv1 root netem delay 1ms
# SOL_PACKET, PACKET_VERSION, TPACKET_V3
try af_packet "$PYTHON" -I -S -c 'import socket
socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0).setsockopt(263, 10, 2)'
try pty "$PYTHON" -I -S -c 'import os
os.openpty()'
