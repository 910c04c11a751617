"""The bench file: its model, its loader with every fault at its place, its schema, its writer."""

from testbed.inventory.dump import dump
from testbed.inventory.load import Loaded, load
from testbed.inventory.model import (
    CONTROLLER,
    Bench,
    Cable,
    Controller,
    Device,
    End,
    Limits,
    Mirror,
    Nic,
    Power,
    Secret,
    Serial,
    Ssh,
)
from testbed.inventory.schema import schema
from testbed.inventory.values import (
    format_delay,
    format_rate,
    format_speed,
    parse_delay,
    parse_rate,
    parse_speed,
)

__all__ = [
    "CONTROLLER",
    "Bench",
    "Cable",
    "Controller",
    "Device",
    "End",
    "Limits",
    "Loaded",
    "Mirror",
    "Nic",
    "Power",
    "Secret",
    "Serial",
    "Ssh",
    "dump",
    "format_delay",
    "format_rate",
    "format_speed",
    "load",
    "parse_delay",
    "parse_rate",
    "parse_speed",
    "schema",
]
