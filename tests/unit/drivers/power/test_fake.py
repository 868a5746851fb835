"""What the fake switch tells whoever looks into it, and which machine has which driver."""

from pathlib import Path

import pytest

from bootd.drivers.faults import Crash, PowerLost, Slow
from bootd.drivers.power import DRIVERS, PowerRefused, Powers, PowerState, ResetKind
from bootd.drivers.power.fake import FakePower, Order, Start
from bootd.drivers.tools import Tools
from bootd.errors import BadValue
from bootd.model import SETTING_VALUES, check_setting
from tests.helpers.site import NOON, HandClock, a_host

NODE = a_host(settings={"power": "fake"})


def a_fake(tmp_path: Path) -> tuple[FakePower, HandClock]:
    clock = HandClock()
    return FakePower(Tools(tmp_path, clock, lambda s: clock.move(seconds=s))), clock


def test_each_start_is_told_with_its_time_and_where_it_began(tmp_path: Path) -> None:
    power, clock = a_fake(tmp_path)
    heard: list[Start] = []
    power.started = heard.append
    power.boot_once(NODE)
    power.on(NODE)
    power.cycle(NODE, pause_s=5)
    assert power.starts == heard
    assert heard == [Start(NOON, "node1", True), Start(clock.at, "node1", False)]
    assert (clock.at - NOON).total_seconds() == 5


def test_orders_are_written_down_even_if_refused(tmp_path: Path) -> None:
    power, _ = a_fake(tmp_path)
    with pytest.raises(PowerRefused):
        power.reset(NODE)
    power.on(NODE)
    assert power.orders == [Order(NOON, "state", "node1"), Order(NOON, "on", "node1")]


def test_a_hung_machine_hears_no_soft_reset_but_a_hard_one(tmp_path: Path) -> None:
    power, _ = a_fake(tmp_path)
    power.on(NODE)
    power.hung.add("node1")
    power.reset(NODE, ResetKind.SOFT)
    assert len(power.starts) == 1
    power.reset(NODE, ResetKind.HARD)
    power.reset(NODE, ResetKind.SOFT)
    assert len(power.starts) == 3


def test_power_lost_in_the_middle_of_a_cycle_leaves_the_machine_off_and_the_next_cycle_helps(
    tmp_path: Path,
) -> None:
    power, _ = a_fake(tmp_path)
    power.on(NODE)
    power.faults.plant(Crash(), "on", "node1")
    with pytest.raises(PowerLost):
        power.cycle(NODE)
    assert power.state(NODE) is PowerState.OFF
    power.cycle(NODE)
    assert power.state(NODE) is PowerState.ON


def test_a_slow_switch_takes_its_time_by_the_clock(tmp_path: Path) -> None:
    power, clock = a_fake(tmp_path)
    power.faults.plant(Slow(30), "on")
    power.on(NODE)
    assert (clock.at - NOON).total_seconds() == 30


def test_a_machine_has_the_driver_that_its_setting_names_and_each_is_made_once(tmp_path: Path) -> None:
    powers = Powers(Tools(tmp_path))
    assert isinstance(powers.of(NODE), FakePower)
    assert powers.of(NODE) is powers.of(a_host(2, settings={"power": "fake"}))


def test_a_host_may_be_given_the_drivers_there_are_and_no_other() -> None:
    assert SETTING_VALUES["power"] == tuple(sorted(DRIVERS))
    for name in DRIVERS:
        check_setting("power", name)
    with pytest.raises(BadValue, match="setting power: 'ipmi' is not one of fake, qmp, shell"):
        check_setting("power", "ipmi")


@pytest.mark.parametrize("settings", [{}, {"power": "magic"}])
def test_a_machine_without_a_driver_is_refused_with_the_ones_there_are(
    tmp_path: Path, settings: dict[str, str]
) -> None:
    with pytest.raises(PowerRefused, match=", ".join(sorted(DRIVERS))):
        Powers(Tools(tmp_path)).of(a_host(settings=settings))
