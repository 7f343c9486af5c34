"""What is distributed is the package, whole, and nothing else."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import wirelane
from support.architecture_support import PACKAGE, ROOT


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel as pip would, without the network: the build backend is installed with the tests."""
    directory = tmp_path_factory.mktemp("wheel")
    program = "import hatchling.build, sys; print(hatchling.build.build_wheel(sys.argv[1]))"
    done = subprocess.run(
        [sys.executable, "-c", program, str(directory)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return directory / done.stdout.split()[-1]


def test_the_wheel_holds_every_module_its_types_and_its_license(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    ours = {f"wirelane/{path.relative_to(PACKAGE).as_posix()}" for path in PACKAGE.rglob("*.py")}
    assert ours | {"wirelane/py.typed"} <= names
    information = f"wirelane-{wirelane.__version__}.dist-info"
    assert {name.partition("/")[0] for name in names} == {"wirelane", information}
    assert f"{information}/licenses/LICENSE" in names


def test_the_wheel_installs_the_command(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        points = archive.read(f"wirelane-{wirelane.__version__}.dist-info/entry_points.txt").decode()
    assert "wirelane = wirelane.cli:main" in points


def test_lazy_names_work_from_inside_an_archive(wheel: Path) -> None:
    program = "import sys; sys.path.insert(0, sys.argv[1]); import wirelane; print(wirelane.StatusCode(5).name, wirelane.__file__)"
    done = subprocess.run(
        [sys.executable, "-c", program, str(wheel)], capture_output=True, text=True, check=False, timeout=50
    )
    assert done.stdout.split() == ["NOT_FOUND", f"{wheel}/wirelane/__init__.py"], done.stderr
