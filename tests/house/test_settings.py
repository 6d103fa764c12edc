"""What the settings promise."""

import re
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path

import pytest

from libs.runtime.settings import SettingError, Settings, environment, load

ROOT = Path(__file__).parents[2]


def printed(environ: dict[str, str]) -> str:
    command = [sys.executable, "-P", "-m", "libs.runtime.cli", "settings"]
    environ = {"PYTHONPATH": str(ROOT), **environ}
    return subprocess.run(command, env=environ, capture_output=True, text=True, check=True, timeout=30).stdout


def test_every_setting_is_printed_with_its_meaning() -> None:
    text = printed({})
    for setting in fields(Settings):
        assert f"{setting.metadata['env']}=" in text
        assert setting.metadata["meaning"] in text


def test_secret_settings_are_not_printed() -> None:
    secrets = {f.metadata["env"]: "s3cret-canary" for f in fields(Settings) if f.metadata["secret"]}
    assert len(secrets) > 5
    assert "canary" not in printed(secrets)


def test_no_code_reads_the_environment_past_the_settings() -> None:
    named = {f.metadata["env"] for f in fields(Settings)}
    reads = re.compile(r"""environ(?:\.get\(|\[)["'](\w+)["']""")
    found = {
        (str(path.relative_to(ROOT)), name)
        for folder in ("libs", "services")
        for path in (ROOT / folder).rglob("*.py")
        for name in reads.findall(path.read_text())
    }
    assert {name for _, name in found if name in named or name.startswith("EZSTAT_")} == set()


def test_an_environment_made_of_settings_gives_them_back() -> None:
    settings = replace(Settings(), port=1, data=Path("/d"), signup=False, writer_spacing=0.5, api_key="k y")
    assert load(environment(settings)) == settings
    assert environment(Settings()) == {}


@pytest.mark.parametrize(
    ("name", "value"), [("PORT", "eight"), ("EZSTAT_SPOOL", "perhaps"), ("EZSTAT_WRITER_SPACING", "-")]
)
def test_a_value_that_cannot_be_understood_is_named(name: str, value: str) -> None:
    with pytest.raises(SettingError, match=name):
        load({name: value})
