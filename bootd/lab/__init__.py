"""The virtual lab: QEMU machines, a site network and bootd, in namespaces of their own."""

from bootd.lab.errors import LabError, NotArrived
from bootd.lab.lab import Lab, labs
from bootd.lab.machines import Kind, NodeSpec

__all__ = ["Kind", "Lab", "LabError", "NodeSpec", "NotArrived", "labs"]
