"""The command line's frame: JSON on stdout, talk on stderr, exit codes, help that cannot rot."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import typer
from typer.testing import CliRunner

from runner.cli import COMMANDS, app
from runner.cli.output import emit
from tests.shared import ROOT

CONTRACT = ("models", "weights", "data", "complexity", "quality", "latency", "bench", "report")


def esr(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", "from runner.cli import main; main()", *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )


def _commands(group: typer.Typer | None = None) -> dict[str, str]:
    """Every command and subcommand with its help text."""
    click_app = typer.main.get_command(group or app)
    found: dict[str, str] = {}

    def walk(command: object, path: str) -> None:
        children = getattr(command, "commands", None)
        if children:
            for name, child in children.items():
                walk(child, f"{path} {name}".strip())
        else:
            found[path] = f"{getattr(command, 'help', '') or ''}\n{getattr(command, 'epilog', '') or ''}"

    walk(click_app, "")
    return found


def test_every_command_of_the_contract_is_there() -> None:
    assert set(CONTRACT) <= {path.split()[0] for path in _commands()}
    assert set(COMMANDS) >= set(CONTRACT)


@pytest.mark.parametrize("path", list(_commands()))
def test_every_command_has_help_with_an_example_and_json(path: str) -> None:
    text = _commands()[path]
    assert f"esr {path}" in text, f"the help of `esr {path}` shows no example"
    result = CliRunner().invoke(app, [*path.split(), "--help"])
    assert result.exit_code == 0
    assert "--json" in result.stdout


def test_models_json_is_one_array_with_the_documented_fields() -> None:
    result = CliRunner().invoke(app, ["models", "--json"])
    rows = json.loads(result.stdout)
    assert {"model", "name", "scales", "venue", "licence", "status"} <= set(rows[0])
    assert any(row["model"] == "agdn" for row in rows)


def test_help_does_not_import_torch() -> None:
    code = "import sys, runner.cli; assert 'torch' not in sys.modules, 'slow start'"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("complexity", "agdm", "--scale", "4"), 2, ("no model 'agdm'", "agdn")),
        (("complexity", "agdn", "--scale", "8"), 2, ("no x8 build", "x2, x3, x4")),
        (("complexity", "agdn", "--lr", "12by9"), 2, ("HEIGHTxWIDTH",)),
        (("complexity", "agdn", "--hr", "8x8"), 2, ("at least 15 px", "got 2x2")),
        (("nonsense",), 2, ("nonsense",)),
        (("quality", "agdn", "--scale", "4", "--data", "no_such_set"), 2, ("no_such_set",)),
    ],
)
def test_usage_errors_are_one_paragraph_without_traceback(
    arguments: tuple[str, ...], code: int, words: tuple[str, ...]
) -> None:
    result = esr(*arguments)
    assert result.returncode == code
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    for word in words:
        assert word in " ".join(result.stderr.split())


def test_a_reported_only_model_explains_itself() -> None:
    result = esr("complexity", "hpun_m", "--scale", "4")
    assert result.returncode == 2
    assert "What would change that" in " ".join(result.stderr.split())


def test_json_writes_null_for_what_json_cannot_say(capsys: pytest.CaptureFixture[str]) -> None:
    emit([{"psnr_y_db": float("inf"), "name": "a"}], as_json=True, columns={})
    assert json.loads(capsys.readouterr().out) == [{"psnr_y_db": None, "name": "a"}]


def test_markup_in_names_is_printed_not_obeyed(capsys: pytest.CaptureFixture[str]) -> None:
    emit([{"name": "[bold]x[/bold]"}], as_json=False, columns={"name": "name"})
    assert "[bold]x[/bold]" in capsys.readouterr().out
