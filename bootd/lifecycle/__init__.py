"""Lifecycles are data: tables of moves, read by services, drawn by the documentation."""

from bootd.lifecycle.machine import IllegalMove, Lifecycle, Move
from bootd.lifecycle.tables import ALL, DEPLOYMENT, DISK_IMAGE, JOB, LUN, NODE, PROJECT, RESERVATION, SLOT

__all__ = [
    "ALL",
    "DEPLOYMENT",
    "DISK_IMAGE",
    "JOB",
    "LUN",
    "NODE",
    "PROJECT",
    "RESERVATION",
    "SLOT",
    "IllegalMove",
    "Lifecycle",
    "Move",
]
