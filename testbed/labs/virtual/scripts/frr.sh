# A router: FRR over the kernel's forwarding. Forwarding is on before the first packet can come.
mkdir -p /run/frr
echo 'service integrated-vtysh-config' >/etc/frr/vtysh.conf
{
    echo "hostname $(hostname)"
    echo 'log file /var/log/frr.log'
    # FRR 8.4 takes a next hop that came back with its link for one that never left the kernel's
    # group: routes that shared it would do without it from then on.
    echo 'no zebra nexthop kernel enable'
} >/etc/frr/frr.conf
# mgmtd exists from FRR 8.5 on; without -I they all read the one file that vtysh writes.
for name in mgmtd zebra staticd pimd; do
    if [ -x "/usr/lib/frr/$name" ]; then
        daemon "/usr/lib/frr/$name" -d -u root -g root -P 0 -f /etc/frr/frr.conf
    fi
done
