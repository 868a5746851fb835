"""The daemon as a whole: starts, answers, follows the store, refuses to start with one clear sentence."""

import json
import os
import socket
import sqlite3
import subprocess
import time

import pytest

from netboot.dhcp.packet import decode_packet, encode_packet
from tests.helpers.dhcp import a_boot_server_packet
from tests.helpers.namespace import namespace
from tests.helpers.service import PATIENCE_S, Service

pytestmark = pytest.mark.root

MAC = "52:54:00:00:00:01"


@pytest.fixture(scope="module")
def space():
    with namespace() as made:
        yield made


@pytest.fixture
def service(space, tmp_path):
    return Service(space, tmp_path)


def until(condition, what):
    """Wait for *condition* to return something true, and return that."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.01)
    raise AssertionError(f"not seen: {what}")


def ask_4011(service, mac=MAC):
    """Ask as a UEFI ROM does on the boot server port; return the boot file, None for silence."""
    chaddr = bytes.fromhex(mac.replace(":", "")) + bytes(10)
    question = encode_packet(a_boot_server_packet(chaddr=chaddr, ciaddr=bytes(4)))

    def ask():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.bind((service.space.address, 0))
            client.settimeout(0.5)
            client.sendto(question, (service.space.address, 4011))
            try:
                return decode_packet(client.recv(2048)).file.decode()
            except TimeoutError:
                return None

    return service.space.run(ask)


def test_boot_server_port_answers_for_a_host_and_is_silent_for_a_stranger(service):
    service.bootd("hosts", "add", "node1", "--mac", MAC, "--local-boot", "/dev/sda1")
    with service.serve():
        assert ask_4011(service) == "snponly.efi"
        assert ask_4011(service, "52:54:00:00:00:99") is None
        report = until(
            lambda: json.loads(service.bootd("status", "--json"))["unknown_machines"],
            "the stranger in bootd status",
        )
    assert [(row["mac"], row["architecture"]) for row in report] == [("52:54:00:00:00:99", "x64-uefi")]


def test_host_added_while_the_daemon_runs_is_answered(service):
    with service.serve():
        assert ask_4011(service) is None
        service.bootd("hosts", "add", "node1", "--mac", MAC, "--local-boot", "/dev/sda1")
        assert until(lambda: ask_4011(service), "an answer for the new host") == "snponly.efi"
        service.bootd("hosts", "remove", "node1", "--yes")
        until(lambda: ask_4011(service) is None, "silence for the removed host")


def test_script_and_files_of_a_memory_image_and_the_end_of_a_one_shot_order(service, tmp_path):
    initrd = tmp_path / "initrd.gz"
    initrd.write_bytes(os.urandom(300_000))
    service.bootd("hosts", "add", "node1", "--mac", MAC, "--local-boot", "/dev/sda1")
    service.bootd("memory", "add", "rescue", "--kernel", "/usr/lib/ipxe/ipxe.lkrn", "--initrd", str(initrd))
    service.bootd("boot", "node1", "memory:rescue", "--once")
    with service.serve():
        status, script = service.get("/boot/525400000001.ipxe")
        assert status == 200
        urls = [word for word in script.decode().split() if "/files/" in word]
        paths = [url.partition(":8080")[2] for url in urls]
        assert len(paths) == 2
        assert service.get("/boot/525400000001.ipxe")[1].split(b"token=")[0] == script.split(b"token=")[0], (
            "asking twice must change nothing"
        )
        bodies = [service.get(path) for path in paths]
        assert bodies[1] == (200, initrd.read_bytes())
        until(
            lambda: "carried out its one-shot order" in service.bootd("trace", "node1"), "the order used up"
        )
        assert b"own disk" in service.get("/boot/525400000001.ipxe")[1]


def test_one_shot_order_for_the_local_disk_ends_when_the_script_says_it_starts_it(service):
    service.bootd("hosts", "add", "node1", "--mac", MAC, "--set", "ipxe=chain")
    service.bootd("boot", "node1", "local", "--once")
    with service.serve():
        for _ in range(2):  # the ROM's iPXE, then ours that it loaded
            script = service.get("/boot/525400000001.ipxe")[1].decode()
            assert "sanboot" in script
        path = next(word for word in script.split() if "/boot/went/" in word).partition(":8080")[2]
        assert service.get("/boot/went/1-525400000001-00000000")[0] == 404
        assert service.get(path)[0] == 200
        until(
            lambda: "carried out its one-shot order" in service.bootd("trace", "node1"), "the order used up"
        )
        assert service.get("/boot/525400000001.ipxe")[0] == 404


def test_file_without_its_attempt_proves_nothing(service, tmp_path):
    service.bootd("hosts", "add", "node1", "--mac", MAC, "--local-boot", "/dev/sda1")
    service.bootd("memory", "add", "rescue", "--kernel", "/usr/lib/ipxe/ipxe.lkrn")
    service.bootd("boot", "node1", "memory:rescue", "--once")
    with service.serve():
        script = service.get("/boot/525400000001.ipxe")[1].decode()
        path = next(word for word in script.split() if "/files/" in word).partition(":8080")[2]
        assert service.get(path.partition("?")[0])[0] == 200
        assert service.get(path.partition("?")[0] + "?a=1-525400000001-00000000")[0] == 200
        until(lambda: service.log.count("http.file_sent") == 2, "both fetches")
        assert b"memory:rescue" in service.get("/boot/525400000001.ipxe")[1]


def test_machine_in_a_loop_is_told_so_and_gets_its_boot_again_after_the_wait(service):
    service.bootd("hosts", "add", "node1", "--mac", MAC, "--local-boot", "/dev/sda1")
    with service.serve():
        answers = [service.get("/boot/525400000001.ipxe")[1] for _ in range(4)]
        assert [b"going-in-circles" in answer for answer in answers] == [False, False, False, True]
        assert b"own disk" in service.get("/boot/525400000001.ipxe?retry=1")[1]


def tftp(service, name):
    """Fetch *name* with curl; return its octets, None where the server says there is no such file."""
    url = f"tftp://{service.space.address}/{name}"
    done = subprocess.run(
        service.space.command("curl", "-s", url), capture_output=True, timeout=PATIENCE_S, check=False
    )
    return done.stdout if done.returncode == 0 else None


def test_loaders_that_read_files_find_the_machines_script_by_tftp(service):
    service.bootd("hosts", "add", "node1", "--mac", MAC, "--local-boot", "/dev/sda1")
    with service.serve():
        assert b"LOCALBOOT" in tftp(service, "pxelinux.cfg/01-52-54-00-00-00-01")
        assert b"chainloader" in tftp(service, "boot/grub/grub.cfg-01-52-54-00-00-00-01")
        assert tftp(service, "pxelinux.cfg/01-52-54-00-00-00-99") is None
        (service.data_dir / "boot/pxelinux.cfg").mkdir()
        (service.data_dir / "boot/pxelinux.cfg/default").write_text("the operator's own")
        assert until(lambda: tftp(service, "pxelinux.cfg/default"), "the new file") == b"the operator's own"


def test_ipxe_without_http_that_loops_is_told_so_by_tftp(service):
    service.bootd("hosts", "add", "node1", "--mac", MAC, "--local-boot", "/dev/sda1")
    with service.serve():
        for _ in range(3):
            service.get("/boot/525400000001.ipxe")
        assert b"going-in-circles" in tftp(service, "boot/52-54-00-00-00-01.ipxe")


def test_port_that_another_program_holds_is_named_with_the_program(service, space):
    rival = space.run(lambda: socket.create_server((space.address, 8080)))
    with rival:
        status, said = service.refused_start()
    assert status == 1
    assert "8080" in said
    assert f"pid {os.getpid()}" in said
    assert "Traceback" not in said


def test_running_daemon_keeps_its_data_folder_and_a_killed_one_does_not(service, space, tmp_path):
    with service.serve() as daemon:
        usual = service.config.read_text()
        other_ports = '[dhcp]\nmode = "off"\n[http]\nport = 8081\n[tftp]\nport = 6969\n'
        status, said = Service(space, tmp_path, other_ports).refused_start()
        assert (status, f"pid {daemon.pid}" in said) == (1, True)
        assert json.loads(service.bootd("status", "--json"))["service"]["pid"] == daemon.pid
        service.config.write_text(usual)
        daemon.kill()
        daemon.wait()
        with service.serve():
            assert service.get("/healthz")[0] == 200
        daemon.returncode = 0


def test_admins_token_is_read_before_root_is_given_up(space, tmp_path):
    admin = f'[http.admin]\nlisten = ["127.0.0.1:8099"]\ntoken_file = "{tmp_path}/none"\n'
    service = Service(space, tmp_path, admin)
    service.config.write_text(service.config.read_text().replace('user = ""', 'user = "nobody"'))
    status, said = service.refused_start()
    assert (status, "token_file: cannot read" in said) == (1, True)
    assert service.data_dir.stat().st_uid == 0


def test_database_of_a_newer_bootd_stops_the_start_with_a_sentence(service):
    service.bootd("hosts", "list")
    with sqlite3.connect(service.data_dir / "bootd.db") as database:
        database.execute("PRAGMA user_version = 9999")
    database.close()
    status, said = service.refused_start()
    assert status == 1
    assert "9999" in said
    assert "Traceback" not in said


def test_configuration_with_mistakes_stops_the_start_with_all_of_them(space, tmp_path):
    service = Service(space, tmp_path, '[http]\nport = "80"\n[tftp]\nprot = 69\n')
    status, said = service.refused_start()
    assert status == 2
    assert "bootd.toml:7" in said
    assert "bootd.toml:9" in said
    assert "tftp.prot" in said


def test_interface_that_is_not_there_is_named(space, tmp_path):
    service = Service(space, tmp_path)
    service.config.write_text(service.config.read_text().replace('["lo"]', '["eth7"]'))
    status, said = service.refused_start()
    assert status == 1
    assert "eth7" in said


def test_without_the_right_to_bind_the_way_out_is_said(service, space):
    argv = [
        "setpriv",
        "--bounding-set=-net_bind_service",
        "--inh-caps=-net_bind_service",
        *service.argv("serve"),
    ]
    done = subprocess.run(
        space.command(*argv), capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert done.returncode == 1
    assert "no permission" in done.stderr
    assert "root" in done.stderr


def test_missing_file_of_an_image_is_said_by_readyz_and_the_service_goes_on(service):
    service.bootd("hosts", "add", "node1", "--mac", MAC)
    service.bootd("memory", "add", "rescue", "--kernel", "/usr/lib/ipxe/ipxe.lkrn")
    with service.serve():
        assert service.get("/readyz")[0] == 200
        for file in (service.data_dir / "files/memory").rglob("*.lkrn"):
            file.unlink()
        service.bootd("boot", "node1", "memory:rescue")
        script = until(lambda: service.get("/boot/525400000001.ipxe")[1], "a script").decode()
        path = next(word for word in script.split() if "/files/" in word).partition(":8080")[2]
        assert service.get(path)[0] == 404
        status, said = service.get("/readyz")
        assert status == 503
        assert b"rescue" in said
        assert service.get("/healthz")[0] == 200


def test_systemd_hears_when_it_is_ready_and_when_it_stops(service, tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as supervisor:
        supervisor.bind(str(tmp_path / "notify"))
        supervisor.settimeout(PATIENCE_S)
        with service.serve(environment={"NOTIFY_SOCKET": str(tmp_path / "notify")}):
            assert supervisor.recv(64) == b"READY=1"
        assert supervisor.recv(64) == b"STOPPING=1"
    assert '"event": "service.stopped"' in service.log


def test_nothing_secret_is_in_the_log(service):
    service.bootd("hosts", "add", "node1", "--mac", MAC)
    service.bootd("memory", "add", "rescue", "--kernel", "/usr/lib/ipxe/ipxe.lkrn")
    service.bootd("boot", "node1", "memory:rescue")
    with service.serve():
        script = service.get("/boot/525400000001.ipxe")[1].decode()
    token = script.partition("bootd.token=")[2].split()[0]
    assert token
    assert token not in service.log
