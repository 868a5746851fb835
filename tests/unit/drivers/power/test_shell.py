"""Commands as power switches: how they are put together, and what their ends mean."""

import os
import shlex
from pathlib import Path
from typing import Any

import pytest

from bootd.drivers.power import PowerRefused, PowerState, PowerUnreachable
from bootd.drivers.power.shell import OUTPUT_KEPT, ShellPower, words
from bootd.drivers.tools import Tools
from bootd.model import Host
from tests.helpers.site import a_host


@pytest.fixture
def power(tmp_path: Path) -> ShellPower:
    return ShellPower(Tools(tmp_path))


def told(**settings: Any) -> Host:
    return a_host(settings={key.replace("_", "-"): value for key, value in settings.items()})


def sh(script: str) -> str:
    return f"sh -c {shlex.quote(script)}"


def test_places_are_filled_with_the_host_and_its_settings() -> None:
    host = told(power_on="ipmitool -H {bmc} --for={name}/{mac} {ip} {number}", bmc="10.1.0.1")
    assert words(host, "power-on") == [
        "ipmitool",
        "-H",
        "10.1.0.1",
        "--for=node1/52:54:00:00:00:01",
        "10.0.0.1",
        "1",
    ]


@pytest.mark.parametrize("value", ["a b", "a; reboot", "$(id)", "'", '"', "{name}", "*"])
def test_a_value_stays_one_word_whatever_is_in_it(power: ShellPower, tmp_path: Path, value: str) -> None:
    out = tmp_path / "out"
    host = told(power_on=f"sh -c 'printf %s/%s $# \"$1\" >{out}' sh {{outlet}}", outlet=value)
    power.on(host)
    assert out.read_text() == f"1/{value}"


@pytest.mark.parametrize(
    ("template", "said"),
    [
        pytest.param("", "has no setting 'power-on'", id="none"),
        pytest.param("   ", "is empty", id="blank"),
        pytest.param("echo 'x", "No closing quotation", id="open quote"),
        pytest.param("echo {bmc}", "wants {bmc}", id="unknown place"),
        pytest.param("/nowhere/ipmitool on", "No such file", id="no such program"),
    ],
)
def test_a_template_that_cannot_work_is_refused(power: ShellPower, template: str, said: str) -> None:
    with pytest.raises(PowerRefused, match=said):
        power.on(told(power_on=template))


@pytest.mark.parametrize("text", ["0", "-1", "nan", "601", "soon"])
def test_a_limit_without_sense_is_refused(power: ShellPower, text: str) -> None:
    with pytest.raises(PowerRefused, match="power-timeout"):
        power.on(told(power_on="true", power_timeout=text))


def test_a_failed_command_may_be_tried_again_and_its_output_is_kept(power: ShellPower) -> None:
    with pytest.raises(PowerUnreachable, match="exit status 1\nout\nerr") as caught:
        power.off(told(power_off=sh("echo out; echo err >&2; exit 1")))
    assert (caught.value.output, caught.value.is_permanent) == ("out\nerr", False)


@pytest.mark.parametrize("status", [64, 68, 77, 78])
def test_some_exit_statuses_say_never(power: ShellPower, status: int) -> None:
    with pytest.raises(PowerRefused, match=f"exit status {status}"):
        power.off(told(power_off=sh(f"exit {status}")))


def test_of_much_output_the_end_is_kept(power: ShellPower) -> None:
    with pytest.raises(PowerUnreachable) as caught:
        power.off(told(power_off=sh("seq 5000; exit 1")))
    assert len(caught.value.output) == OUTPUT_KEPT
    assert caught.value.output.endswith("4999\n5000")


def test_a_command_that_does_not_end_is_ended_with_its_children(power: ShellPower, tmp_path: Path) -> None:
    held = tmp_path / "held"
    os.mkfifo(held)
    reader = os.open(held, os.O_RDONLY | os.O_NONBLOCK)
    never = tmp_path / "never"
    os.mkfifo(never)
    try:
        with pytest.raises(PowerUnreachable, match="no end within 0"):
            power.on(told(power_on=sh(f"exec 3>{held}; cat {never} & cat {never}"), power_timeout="0.2"))
        os.set_blocking(reader, True)
        assert os.read(reader, 1) == b""  # nobody is left who holds the other end
    finally:
        os.close(reader)


def test_a_child_that_got_away_with_the_output_is_not_waited_for(power: ShellPower, tmp_path: Path) -> None:
    never = tmp_path / "never"
    os.mkfifo(never)
    try:
        with pytest.raises(PowerUnreachable, match="no end within"):
            power.on(told(power_on=sh(f"setsid cat {never}; cat {never}"), power_timeout="0.2"))
    finally:
        os.close(os.open(never, os.O_RDWR))  # whoever got as far as reading it, ends


@pytest.mark.parametrize(
    ("output", "state"),
    [
        ("Chassis Power is on", PowerState.ON),
        ("node1: off", PowerState.OFF),
        ("ON.", PowerState.ON),
    ],
)
def test_the_last_word_is_the_state(power: ShellPower, output: str, state: PowerState) -> None:
    assert power.state(told(power_state=f"echo {shlex.quote(output)}")) is state


def test_a_state_nobody_can_read_is_no_state(power: ShellPower) -> None:
    for script in ("echo Error", "true"):
        with pytest.raises(PowerUnreachable, match="neither on nor off"):
            power.state(told(power_state=sh(script)))


def test_without_a_command_the_state_is_unknown_and_a_reset_is_tried(
    power: ShellPower, tmp_path: Path
) -> None:
    host = told(power_reset=f"touch {tmp_path}/reset")
    assert power.state(host) is PowerState.UNKNOWN
    power.reset(host)
    assert (tmp_path / "reset").exists()
