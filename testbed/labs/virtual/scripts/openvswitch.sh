# A switch: Open vSwitch with its userspace datapath, one bridge over all ports, port n of OpenFlow
# being the n-th port. Counters are fresh within a second.
mkdir -p /run/openvswitch /var/log/openvswitch
database=/etc/openvswitch/conf.db
ovsdb-tool create "$database" /usr/share/openvswitch/vswitch.ovsschema
daemon ovsdb-server "$database" --remote=punix:/run/openvswitch/db.sock --pidfile --detach \
    --no-chdir --log-file -vconsole:off

# The netdev datapath gives a bridge a tap device of its own name, for which it needs /dev/net/tun;
# without it, the same datapath under its name for tests does without.
datapath=netdev
dummy=
case " $OPTIONS " in *" no-tun "*)
    datapath=dummy
    dummy=--enable-dummy
    ;;
esac

set -- --no-wait init -- set Open_vSwitch . other_config:stats-update-interval=1000 \
    other_config:n-handler-threads=1 other_config:n-revalidator-threads=1 \
    -- add-br br0 -- set Bridge br0 datapath_type=$datapath
number=0
for port in $PORTS; do
    number=$((number + 1))
    set -- "$@" -- add-port br0 "$port" -- set Interface "$port" ofport_request=$number
done
ovs-vsctl "$@"
# shellcheck disable=SC2086 # an empty word must vanish
daemon ovs-vswitchd $dummy --pidfile --detach --no-chdir --log-file -vconsole:off
