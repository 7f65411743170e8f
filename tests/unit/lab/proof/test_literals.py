"""Literals are checked where they stand, before anything runs."""

import subprocess

import pytest

from lab.proof import literals

BAD = {
    "KvmHost": "root:secret@hypervisor1",
    "MacAddress": "ff:ff:ff:ff:ff:ff",
    "DeviceId": "Not A Label",
    "DeploymentName": "-web",
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize(
    "call",
    ["{name}({value!r})", "{name}(value={value!r})", "somewhere.module.{name}({value!r})"],
    ids=["plain", "by keyword", "of a module"],
)
def test_a_literal_that_its_type_refuses_is_told_with_its_line(name, call):
    source = "import x\n\n\ndef f():\n    return " + call.format(name=name, value=BAD[name])
    (problem,) = literals.problems(source)
    assert problem.line == 5
    assert problem.what.startswith(f"{name}(")


def test_another_name_for_a_type_hides_nothing():
    source = "from fleet.contracts.names import DeviceId as Id\nId('Not A Label')"
    assert [problem.line for problem in literals.problems(source)] == [2]


@pytest.mark.parametrize(
    "source",
    [
        "DeviceId('pi-01')",
        "DeviceId(name)",
        "DeviceId(f'{site} 1')",
        "Other('Not A Label')",
        "with pytest.raises(ValueError):\n    DeviceId('Not A Label')",
        "with raises(ValueError) as raised, other():\n    f(DeviceId('Not A Label'))",
    ],
    ids=["good", "a variable", "an f-string", "another type", "meant to fail", "meant, too"],
)
def test_what_is_right_or_no_literal_or_meant_to_fail_passes(source):
    assert literals.problems(source) == ()


def test_a_with_block_of_another_kind_excuses_nothing():
    assert literals.problems("with suppress(ValueError):\n    DeviceId('Not A Label')")


def test_file_and_line_are_printed_and_the_check_fails(tmp_path, capsys):
    (tmp_path / "src").mkdir()
    subprocess.run(("git", "init", "--quiet", tmp_path), check=True)
    (tmp_path / "src" / "good.py").write_text("DeviceId('pi-01')\n")
    assert literals.main(tmp_path) == 0
    (tmp_path / "src" / "bad.py").write_text("\nDeploymentName('-web')\n")
    assert literals.main(tmp_path) == 1
    assert capsys.readouterr().out.startswith("src/bad.py:2: DeploymentName('-web'): ")
