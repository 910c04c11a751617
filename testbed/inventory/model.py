"""The bench file as values: what a bench is made of, described once.

Everything here is frozen and pure. A model holds what is legal by itself (a MAC address is one, an
MTU lies in its range); what must agree between two places (a cable and the ports it names) is
judged by ``testbed.inventory.rules``, which the loader applies.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    WithJsonSchema,
    model_serializer,
    model_validator,
)

from testbed.inventory.values import (
    END_PATTERN,
    Address,
    Delay,
    EnvName,
    FilePath,
    Fingerprint,
    Interface,
    KeyringEntry,
    Mac,
    Name,
    Netns,
    Network,
    PortName,
    Rate,
    SerialPath,
    Share,
    Speed,
    Stated,
    Tolerance,
    User,
    refused,
    shown,
)

__all__ = [
    "CONTROLLER",
    "Bench",
    "Cable",
    "Controller",
    "Device",
    "End",
    "Limits",
    "Mirror",
    "Nic",
    "Power",
    "Secret",
    "Serial",
    "Ssh",
]

CONTROLLER = "controller"
"""The node name under which cables meet the controller's NICs; no device may bear it."""


class _Frozen(BaseModel):
    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        # What was given may be a secret in the wrong place.
        hide_input_in_errors=True,
        # A copy with changes (model_copy) is judged anew when it is put into another model.
        revalidate_instances="always",
    )


class Secret(_Frozen):
    """Where a secret is kept. The bench file never holds the secret itself."""

    env: EnvName | None = Field(
        default=None, description="Name of the environment variable that holds the secret."
    )
    file: FilePath | None = Field(
        default=None,
        description="File whose first line is the secret; relative to the bench file, ~ allowed.",
    )
    keyring: KeyringEntry | None = Field(
        default=None, description="Entry in the system's keyring, as service/user."
    )

    @model_validator(mode="before")
    @classmethod
    def _reference(cls, value: Any) -> Any:
        # Messages about secrets must never repeat what was written in their place.
        if isinstance(value, Secret):
            return value
        if not isinstance(value, dict):
            raise refused(
                "a secret does not belong in a bench file",
                "where it is kept: {env: NAME}, {file: PATH} or {keyring: service/user}",
            )
        given = [key for key in value if value[key] is not None]
        if len(given) != 1:
            raise refused(
                f"{len(given)} places for one secret",
                "exactly one of {env: NAME}, {file: PATH}, {keyring: service/user}",
            )
        return value

    def __str__(self) -> str:
        """The reference, for messages: ``env LAB_PASSWORD``."""
        kind, place = next((kind, place) for kind, place in self if place is not None)
        return f"{kind} {place}"


class Ssh(_Frozen):
    """A login over SSH. Without key and password there is nothing to log in with."""

    host: Address = Field(description="Address or name of the device's management interface.")
    port: int = Field(default=22, strict=True, ge=1, le=65535, description="TCP port.")
    user: User = Field(description="Login name.")
    key: FilePath | None = Field(
        default=None,
        description="Private key file; relative to the bench file, ~ allowed.",
    )
    password: Secret | None = Field(default=None, description="Where the password is kept.")
    host_key: Fingerprint | None = Field(
        default=None,
        description=(
            "Fingerprint of the device's host key, pinned: a login where another key answers is "
            "refused. Required on hardware. `ssh-keyscan HOST | ssh-keygen -lf -` prints it."
        ),
    )


class Serial(_Frozen):
    """A serial console."""

    serial: SerialPath = Field(
        description=(
            "Serial device, best its stable name under /dev/serial/by-id/, or a URL of a "
            "terminal server: socket://HOST:PORT, rfc2217://HOST:PORT."
        )
    )
    baud: int = Field(
        default=9600, strict=True, ge=50, le=4_000_000, description="Line rate in bit/s; 8N1."
    )
    user: User | None = Field(
        default=None, description="Login name; absent where the console asks for none."
    )
    password: Secret | None = Field(default=None, description="Where the password is kept.")


class Power(_Frozen):
    """The relay through which a device gets its power."""

    relay: Name = Field(description="Name of the relay board.")
    channel: int = Field(strict=True, ge=0, le=1023, description="Channel on that board.")


class Device(_Frozen):
    """A switch, a router or a host with a management interface of its own."""

    platform: Name = Field(
        description="The driver that speaks its language, such as openvswitch, frr, linux_host."
    )
    ports: tuple[PortName, ...] = Field(
        min_length=1,
        description="Its ports that take part, by the names the device itself gives them.",
    )
    ssh: Ssh | None = Field(default=None, description="Login over SSH. On hardware only.")
    console: Serial | None = Field(default=None, description="Serial console. On hardware only.")
    power: Power | None = Field(default=None, description="Power relay. On hardware only.")
    baseline: FilePath | None = Field(
        default=None,
        description=(
            "Configuration that a restore puts on the device; relative to the bench file or, "
            "where it is not there, to the current directory; ~ allowed."
        ),
    )
    stated: dict[Name, Stated] = Field(
        default_factory=dict,
        description=(
            "What its data sheet promises, by the name under which a plan asks for it: "
            "fdb_capacity in addresses, learning_rate in addresses per second; for benchmarks "
            "throughput, forwarding and broadcast as shares of the line rate, throughput_fps, "
            "latency in microseconds, frame_loss and uncongested_loss as shares, back_to_back in "
            "frames, recovery and reset in seconds, errored in frames. Zero or more."
        ),
    )


class Nic(_Frozen):
    """A network interface of the controller that is plugged into the bench."""

    interface: Interface | None = Field(
        default=None,
        description="The kernel's name for it. Required on hardware, refused elsewhere.",
    )
    mac: Mac | None = Field(
        default=None,
        description=(
            "Its MAC address, in quotes. On hardware that of the card that is meant; elsewhere "
            "the lab gives it to the NIC."
        ),
    )


class Controller(_Frozen):
    """The machine that runs the plans: it injects frames and captures them."""

    nics: dict[Name, Nic] = Field(
        description="The NICs by the names under which cables and plans call them."
    )
    boxes: dict[Name, tuple[Name, Name]] = Field(
        default_factory=dict,
        description="In-line fault boxes: the two NICs between which each passes frames on.",
    )
    netns: Netns | None = Field(
        default=None,
        description=(
            "Network namespace in which the NICs live: a path such as /proc/123/ns/net, or a "
            "name in /run/netns. Absent: that of the runner. On hardware only."
        ),
    )


class End(_Frozen):
    """One end of a cable, written ``node:port``; the first colon splits."""

    node: Name = Field(description="`controller`, a device or a host.")
    port: PortName = Field(description="A NIC of the controller, or a port of the device.")

    @model_validator(mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        if isinstance(value, dict | End):
            return value
        node, _, port = value.partition(":") if isinstance(value, str) else ("", "", "")
        if not (node and port):
            raise refused(
                f"{shown(value) if isinstance(value, str) else 'this'} is no end of a cable",
                "node:port, such as controller:a or sw1:Gi0/1",
            )
        return {"node": node, "port": port}

    @model_serializer
    def _text(self) -> str:
        return str(self)

    def __str__(self) -> str:
        """As the bench file writes it."""
        return f"{self.node}:{self.port}"


_EndText = Annotated[End, WithJsonSchema({"type": "string", "pattern": END_PATTERN})]


class Cable(_Frozen):
    """A cable between two ports: ``[end, end]``, or ``{ends: [end, end], mtu: 1400}``."""

    ends: tuple[_EndText, _EndText] = Field(description="The two ports it joins, in any order.")
    mtu: int | None = Field(
        default=None,
        strict=True,
        # RFC 791: "Every internet module must be able to forward a datagram of 68 octets without
        # further fragmentation"; its total length field ends at 65535.
        ge=68,
        le=65535,
        description="IP MTU in bytes of the ports at both ends. Absent: theirs, usually 1500.",
    )
    speed: Speed | None = Field(
        default=None,
        description="Link speed, such as 100M or 1G; a bare number is in Mbit/s. Absent: any.",
    )
    delay: Delay | None = Field(
        default=None,
        description="Sim bench only: propagation delay one way, such as 500ns or 20ms; a bare "
        "number is in ns. Absent: that of a cable of a lab, which follows from the seed.",
    )
    loss: Share | None = Field(
        default=None,
        description="Sim bench only: the share of frames that vanish, such as 0.01. Absent: none.",
    )
    duplex: Literal["full", "half"] | None = Field(
        default=None, description="Sim bench only: half, or full as it is when absent."
    )

    @model_validator(mode="before")
    @classmethod
    def _pair(cls, value: Any) -> Any:
        if isinstance(value, list | tuple):
            return {"ends": value}
        if not isinstance(value, dict | Cable):
            raise refused(
                "this is no cable", "its two ends as [end, end], or {ends: [end, end], mtu: 1400}"
            )
        return value


class Mirror(_Frozen):
    """A port of a switch that is cabled to the controller to hear copies of other ports."""

    device: Name = Field(description="The switch.")
    to: PortName = Field(description="The port that receives the copies.")


class Limits(_Frozen):
    """What the bench must never do."""

    management: tuple[Network, ...] = Field(
        default=(),
        description="IPv4 networks of the lab's own: injecting anything towards them is refused.",
    )
    max_rate: Rate | None = Field(
        default=None,
        description=(
            "Most packets per second that may be injected, such as 1Mpps or 20kpps; a bare "
            "number is in packets per second. Absent: as fast as the controller can."
        ),
    )


class Bench(_Frozen):
    """A bench: the controller, the gear, and the cables between them."""

    bench: Name = Field(description="Name of the bench, for leases, reports and messages.")
    lab: Literal["sim", "virtual", "hardware"] = Field(
        description=(
            "Who brings the gear up: `hardware` is there already, `virtual` is made of software "
            "devices in namespaces, `sim` is simulated."
        )
    )
    controller: Controller = Field(description="The machine that runs the plans.")
    devices: dict[Name, Device] = Field(
        default_factory=dict, description="Switches and routers by name."
    )
    hosts: dict[Name, Device] = Field(
        default_factory=dict, description="Hosts with a kernel TCP/IP stack, by name."
    )
    cables: tuple[Cable, ...] = Field(default=(), description="Every cable of the bench.")
    mirrors: tuple[Mirror, ...] = Field(
        default=(), description="Ports that plans may use to hear copies of others."
    )
    limits: Limits = Field(
        default=Limits(), description="Networks and rates that injection must keep to."
    )
    tolerances: dict[Name, Tolerance] = Field(
        default_factory=dict,
        description=(
            "Slack that this bench needs, by the name under which a plan asks for it; the plan "
            "documents the unit. Zero or more."
        ),
    )

    def node(self, name: str) -> Device:
        """The device or host called ``name``; KeyError where there is none."""
        return self.devices[name] if name in self.devices else self.hosts[name]
