"""Install the built wheel in a fresh environment and serve one packet with it, from ``/``.

    python -m tests.check_wheel dist/bootd_appliance-*.whl

Needs root for a network namespace of its own: the packet meets no other network.
"""

import socket
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

MAC = bytes.fromhex("525400000001")
ADDRESS = "10.99.7.1"
PATIENCE_S = 60.0


def main(wheel: Path) -> None:
    """Build the environment, then go on inside a fresh network namespace."""
    with tempfile.TemporaryDirectory(prefix="bootd-wheel-") as folder:
        home = Path(folder)
        venv.create(home / "venv", with_pip=True)
        pip = [home / "venv/bin/pip", "install", "-q", "--disable-pip-version-check"]
        subprocess.run([*pip, wheel.resolve()], check=True)
        script = Path(__file__).resolve()
        inside = ["unshare", "--net", home / "venv/bin/python", "-I", script, "--inside", home]
        subprocess.run(inside, check=True, cwd="/")
    print(f"{wheel.name}: installed, and served a packet")


def serve_one_packet(home: Path) -> None:
    """Start the installed bootd, ask it on port 4011, and check what it says."""
    for command in (("link", "set", "lo", "up"), ("addr", "add", f"{ADDRESS}/32", "dev", "lo")):
        subprocess.run(["ip", *command], check=True)
    bootd = [home / "venv/bin/bootd", "--config", home / "bootd.toml"]
    (home / "bootd.toml").write_text(
        f'[server]\ninterfaces = ["lo"]\naddress = "{ADDRESS}"\ndata_dir = "{home}/data"\nuser = ""\n'
    )
    (home / "data").mkdir()
    subprocess.run([*bootd, "hosts", "add", "node1", "--mac", MAC.hex(":")], check=True, cwd="/")
    subprocess.run([*bootd, "boot", "node1", "local"], check=True, cwd="/")
    daemon = subprocess.Popen([*bootd, "serve"], cwd="/")
    try:
        reply = ask_until_answered(daemon)
    finally:
        daemon.terminate()
        status = daemon.wait(PATIENCE_S)
    assert reply[:1] == b"\x02", reply[:4]
    assert b"snponly.efi" in reply, "the reply names no loader"
    assert status == 0, f"bootd serve ended with {status}"


def ask_until_answered(daemon: "subprocess.Popen[bytes]") -> bytes:
    """Send a UEFI machine's question to port 4011 until it is answered."""
    options = bytes.fromhex("350103") + b"\x3c\x09PXEClient" + bytes.fromhex("5d020007 ff")
    header = b"\x01\x01\x06\x00" + b"xid!" + bytes(4) + socket.inet_aton(ADDRESS) + bytes(12)
    packet = header + MAC + bytes(10 + 64 + 128) + bytes.fromhex("63825363") + options
    deadline = time.monotonic() + PATIENCE_S
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.bind((ADDRESS, 0))
        client.settimeout(0.5)
        while time.monotonic() < deadline:
            assert daemon.poll() is None, f"bootd serve ended with {daemon.returncode}"
            client.sendto(packet, (ADDRESS, 4011))
            try:
                return client.recv(2048)
            except (TimeoutError, ConnectionRefusedError):
                continue
    raise AssertionError("no answer on port 4011")


if __name__ == "__main__":
    if sys.argv[1] == "--inside":
        serve_one_packet(Path(sys.argv[2]))
    else:
        main(Path(sys.argv[1]))
