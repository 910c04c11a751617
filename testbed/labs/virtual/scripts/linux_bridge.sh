# A switch: one bridge over all ports. It neither speaks (spanning tree, multicast queries) nor waits
# before it forwards.
{
    echo "link add br0 type bridge stp_state 0 forward_delay 0 mcast_snooping 0 ageing_time 30000"
    for port in $PORTS; do
        echo "link set $port master br0"
    done
    echo "link set br0 up"
} | ip -batch -
