"""Every lifecycle. The words are the testbed's own: REG, DARK, SCHED, DEPLOY, READY, RUN."""

from bootd.lifecycle.machine import Lifecycle, Move

PROJECT = Lifecycle(
    "project",
    {
        "registered": "may keep images and book machines",
        "suspended": "keeps its images, may not book",
        "retired": "closed; its name is not given again",
    },
    (
        Move("suspend", ("registered",), "suspended"),
        Move("resume", ("suspended",), "registered"),
        Move("retire", ("registered", "suspended"), "retired"),
    ),
)

DISK_IMAGE = Lifecycle(
    "disk image",
    {
        "registered": "described, its digests not yet compared (REG)",
        "dark": "verified in the dark store (DARK)",
        "unavailable": "its files cannot be reached just now; not lost",
        "damaged": "a digest does not match",
        "retired": "not to be booked any more",
    },
    (
        Move("verify", ("registered", "dark", "damaged", "unavailable"), "dark"),
        Move("miss", ("registered", "dark"), "unavailable"),
        Move("find", ("unavailable",), "registered"),
        Move("fail-verification", ("registered", "dark", "damaged", "unavailable"), "damaged"),
        Move("retire", ("registered", "dark", "unavailable", "damaged"), "retired"),
    ),
)

RESERVATION = Lifecycle(
    "reservation",
    {
        "booked": "its time is to come (SCHED)",
        "active": "its time has begun",
        "ended": "its time is over, its nodes are given back",
        "cancelled": "taken back before its end",
        "failed": "its time is over and it never ran",
    },
    (
        Move("start", ("booked",), "active"),
        Move("end", ("active",), "ended"),
        Move("cancel", ("booked", "active"), "cancelled"),
        Move("fail", ("booked", "active"), "failed"),
        Move("move", ("booked",), "booked"),
        Move("extend", ("booked",), "booked"),
        Move("extend", ("active",), "active"),
    ),
)

# The path of one image through one reservation: the way parts by role after "sched".
DEPLOYMENT = Lifecycle(
    "deployment",
    {
        "sched": "booked, nothing copied yet (SCHED)",
        "deploy-lun": "being written to the inactive LUN (DEPLOY LUN)",
        "lun-ready": "on the LUN that the root nodes boot next (LUN READY)",
        "deploy-hd": "being written to a slot of each mesh node (DEPLOY HD)",
        "hd-ready": "in the slot that the mesh nodes boot next (HD READY)",
        "run": "every node of its role runs it, by the nodes' own word (RUN)",
        "dark": "taken from its place, back in the dark store alone (DARK)",
        "failed": "given up; the job says why",
    },
    (
        Move("deploy-lun", ("sched",), "deploy-lun"),
        Move("deploy-hd", ("sched",), "deploy-hd"),
        Move("staged", ("deploy-lun",), "lun-ready"),
        Move("written", ("deploy-hd",), "hd-ready"),
        Move("run", ("lun-ready", "hd-ready"), "run"),
        Move("retry", ("failed",), "sched"),
        Move("remove", ("sched", "lun-ready", "hd-ready", "run"), "dark"),
        Move("abandon", ("deploy-lun", "deploy-hd"), "dark"),
        Move("fail", ("sched", "deploy-lun", "deploy-hd", "lun-ready", "hd-ready"), "failed"),
    ),
)

# One node of a deployment.
NODE = Lifecycle(
    "node of a deployment",
    {
        "waiting": "the image is not in its place on it yet",
        "ready": "boots the image next",
        "running": "runs the image, by its own word",
        "failed": "given up; the job says why",
    },
    (
        Move("place", ("waiting", "failed"), "ready"),
        Move("run", ("ready", "running"), "running"),
        Move("restart", ("running",), "ready"),
        Move("fail", ("waiting", "ready"), "failed"),
        Move("retry", ("failed",), "waiting"),
    ),
)

SLOT = Lifecycle(
    "slot",
    {
        "empty": "nothing that could be booted",
        "writing": "an image is being written; not to be booted",
        "ready": "holds an image, verified",
        "damaged": "half written; not to be booted",
    },
    (
        Move("write", ("empty", "ready", "damaged"), "writing"),
        Move("verified", ("writing",), "ready"),
        Move("fail", ("writing", "ready"), "damaged"),
        Move("wipe", ("ready", "damaged"), "empty"),
    ),
)

LUN = Lifecycle(
    "LUN",
    {
        "inactive": "one of its pair, free to be written",
        "staging": "an image is being written to it",
        "staged": "holds the next image, verified",
        "active": "the one its group boots from",
    },
    (
        Move("stage", ("inactive", "staged"), "staging"),
        Move("verified", ("staging",), "staged"),
        Move("fail", ("staging",), "inactive"),
        Move("activate", ("staged", "inactive"), "active"),
        Move("deactivate", ("active",), "inactive"),
        Move("drop", ("staged", "staging"), "inactive"),
    ),
)

JOB = Lifecycle(
    "job",
    {
        "waiting": "written down, nobody works on it",
        "running": "a worker holds its lease",
        "done": "every node is in the set ok",
        "partly": "some nodes failed or timed out; the rest is in the set ok",
        "failed": "no node is in the set ok",
        "cancelled": "taken back",
    },
    (
        Move("take", ("waiting",), "running"),
        Move("resume", ("running",), "running"),
        Move("finish", ("running",), "done"),
        Move("finish-partly", ("running",), "partly"),
        Move("fail", ("running", "waiting"), "failed"),
        Move("cancel", ("waiting", "running"), "cancelled"),
        Move("retry", ("failed", "partly", "cancelled"), "waiting"),
    ),
)

ALL = (PROJECT, DISK_IMAGE, RESERVATION, DEPLOYMENT, NODE, SLOT, LUN, JOB)
