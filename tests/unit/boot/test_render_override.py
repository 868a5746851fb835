"""Operators' templates: used where they are good, told of and passed over where they are not."""

from dataclasses import replace

import pytest

from bootd.boot.render import Renderer
from tests.helpers.scripts import NODE, RESCUE, a_diagnosis, a_memory_boot, script_facts

SHIPPED = Renderer()


def renderer_with(folder, **files):
    """Return a renderer whose override folder holds *files*, ``ipxe__memory="…"``."""
    for name, source in files.items():
        path = folder / (name.replace("__", "/") + ".j2")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source) if isinstance(source, str) else path.write_bytes(source)
    return Renderer([folder])


def render(renderer, decision=None, dialect="ipxe"):
    return renderer.render(decision or a_memory_boot(), dialect, script_facts())


def problems(renderer):
    return [str(problem) for problem in renderer.problems()]


def test_an_override_replaces_ours(tmp_path):
    renderer = renderer_with(tmp_path, ipxe__memory="#!ipxe\necho {{ settings.rack | message }}\n")
    assert render(renderer).text == "#!ipxe\necho 4\n"
    assert problems(renderer) == []


def test_the_first_folder_wins(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name / "ipxe").mkdir(parents=True)
        (tmp_path / name / "ipxe" / "memory.j2").write_text(f"#!ipxe\necho {name}\n")
    assert render(Renderer([tmp_path / "a", tmp_path / "b"])).text == "#!ipxe\necho a\n"


def test_an_override_can_go_on_from_ours(tmp_path):
    renderer = renderer_with(
        tmp_path,
        ipxe__memory='{% extends "default/ipxe/memory.j2" %}\n'
        "{% block before %}\necho rack {{ settings.rack | message }}\n{% endblock %}\n"
        "{% block load %}\necho loading\n{{ super() }}{% endblock %}\n",
    )
    text = render(renderer).text
    assert problems(renderer) == []
    assert "echo rack 4\n" in text
    assert text.replace("echo rack 4\n", "").replace("echo loading\n", "") == render(SHIPPED).text


def test_a_part_of_ours_can_be_overridden_alone(tmp_path):
    part = (
        "{% macro ours_first(a, b) %}{% endmacro %}{% macro wait_and_ask_again(u) %}reboot ||\n{% endmacro %}"
    )
    renderer = renderer_with(tmp_path, ipxe___parts=part)
    assert problems(renderer) == []
    assert render(renderer, a_diagnosis()).text.endswith("reboot ||\n\n")


@pytest.mark.parametrize(
    ("source", "said"),
    [
        pytest.param("#!ipxe\necho {{ host.name }}\n", "memory.j2:2: a value goes out unquoted", id="bare"),
        pytest.param("{{ host.name ~ 'x' }}", "memory.j2:1: a value goes out unquoted", id="joined"),
        pytest.param(
            "\n{{ (host.name | word) ~ rule }}", "memory.j2:2: a value goes out", id="joined-quoted"
        ),
        pytest.param("{{ settings.get('x') }}", "memory.j2:1: a value goes out", id="called"),
        pytest.param(
            "{{ host.name | word if rule else rule }}", "memory.j2:1: a value goes", id="one-branch"
        ),
        pytest.param("{% autoescape false %}x{% endautoescape %}", "memory.j2:1: only {{ value", id="escape"),
        pytest.param("{% filter word %}x{% endfilter %}", "memory.j2:1: only {{ value", id="filter-block"),
        pytest.param("{{ host.name | safe }}", "memory.j2:1: a value goes out unquoted", id="safe"),
        pytest.param("{{ host.name | upper | word }}", "No filter named 'upper'", id="other-filter"),
        pytest.param("a\nb\n{% if %}", "memory.j2:3: Expected an expression", id="syntax"),
        pytest.param(b"\xff\xfe", "can't decode byte 0xff", id="not-text"),
    ],
)
def test_a_broken_override_is_told_of_at_start_and_ours_is_used(tmp_path, source, said):
    renderer = renderer_with(tmp_path, ipxe__memory=source)
    [problem] = problems(renderer)
    assert problem.startswith("template override ipxe/memory.j2: ")
    assert said in problem
    assert render(renderer).text == render(SHIPPED).text


@pytest.mark.parametrize(
    ("source", "said"),
    [
        pytest.param("#!ipxe\n\n{{ settings.shelf | word }}", "memory.j2:3: ", id="undefined"),
        pytest.param('{% include "ipxe/gone.j2" %}', "needs ipxe/gone.j2, which is not there", id="include"),
        pytest.param('{% extends "ipxe/memory.j2" %}', "recursion", id="extends-itself"),
        pytest.param("{{ host | word }}", "Host cannot stand in a script", id="not-text"),
        pytest.param("{{ dict() }}", "'dict' is undefined", id="no-globals"),
        pytest.param("\n{{ 1 // (1 - 1) | word }}", "memory.j2:2: ", id="arithmetic"),
        pytest.param(
            "{% set f = host.name.upper %}\n{{ f() }}", "without a quoting filter: 'NODE1'", id="call"
        ),
    ],
)
def test_an_override_that_fails_for_a_machine_is_told_of_then_and_ours_is_used(tmp_path, source, said):
    renderer = renderer_with(tmp_path, ipxe__memory=source)
    assert render(renderer).text == render(SHIPPED).text
    [problem] = problems(renderer)
    assert said in problem


def test_an_override_whose_values_cannot_be_written_gives_a_diagnosis_in_ours(tmp_path):
    renderer = renderer_with(tmp_path, ipxe__memory="#!ipxe\nkernel {{ image.cmdline | word }}\n")
    image = replace(RESCUE, cmdline="a || shell")
    script = render(renderer, a_memory_boot(image=image))
    assert script.answer.startswith("diagnose: ")


def test_other_templates_are_not_harmed_by_a_broken_one(tmp_path):
    renderer = renderer_with(tmp_path, ipxe__memory="{{", ipxe__diagnose="#!ipxe\necho mine\n")
    assert render(renderer, a_diagnosis()).text == "#!ipxe\necho mine\n"
    assert [problem.template for problem in renderer.problems()] == ["ipxe/memory.j2"]


def test_reload_takes_what_was_mended_and_forgets_the_problem(tmp_path):
    renderer = renderer_with(tmp_path, ipxe__memory="{{")
    (tmp_path / "ipxe" / "memory.j2").write_text("#!ipxe\necho mended\n")
    assert render(renderer).text == render(SHIPPED).text
    renderer.reload()
    assert render(renderer).text == "#!ipxe\necho mended\n"
    assert problems(renderer) == []


def test_a_folder_that_is_not_there_is_no_problem(tmp_path):
    renderer = Renderer([tmp_path / "gone"])
    assert render(renderer).text == render(SHIPPED).text
    assert problems(renderer) == []


def test_a_file_that_may_not_be_followed_out_is_still_only_a_template(tmp_path):
    """Names of templates come from us, never from the network: a link is the operator's own."""
    (tmp_path / "elsewhere.j2").write_text("#!ipxe\necho linked\n")
    (tmp_path / "over" / "ipxe").mkdir(parents=True)
    (tmp_path / "over" / "ipxe" / "memory.j2").symlink_to(tmp_path / "elsewhere.j2")
    assert render(Renderer([tmp_path / "over"])).text == "#!ipxe\necho linked\n"


def test_host_settings_named_like_methods_do_not_confuse_a_template(tmp_path):
    renderer = renderer_with(tmp_path, ipxe__memory='{{ settings["items"] | word }}\n')
    host = replace(NODE, settings={"items": "7"})
    assert render(renderer, a_memory_boot(host=host)).text == "7\n"
