"""YAML of strangers: no tag makes an object, no document unfolds, nothing stands twice; each refusal names its place."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from revetl.errors import ConfigError
from revetl.yamlfile import read
from tests.bars import Bar
from tests.security.hostile import YAML
from tests.unit.project_files import problems, shop


def test_hostile_yaml_is_refused_with_its_place(tmp_path: Path, bar: Bar) -> None:
    mark, file = tmp_path / "mark", tmp_path / "a.yml"
    taken: list[str] = []
    refused: list[tuple[str, ConfigError]] = []
    slowest = 0.0
    for text in YAML:
        file.write_bytes(text.replace("{mark}", str(mark)).encode())
        began = time.process_time()
        try:
            read(file, "a.yml")
            taken.append(text[:60])
        except ConfigError as error:
            refused.append((text[:60], error))
        slowest = max(slowest, time.process_time() - began)
    for text, problem in refused:
        assert problem.where is not None
        assert problem.where.file == "a.yml"
        assert problem.code in {"RV002", "RV003", "RV004"}
        known = problem.where.line > 0 or "larger than" in problem.message or problem.message == "is no valid YAML"
        assert known, (text, str(problem))
    assert not mark.exists()
    assert taken == []
    assert slowest < 10, "a bomb takes minutes, whatever else the machine does"
    bar(39, "YAML files that ran something or were taken", found=len(taken) + mark.exists(), goal="0", of=f"{len(YAML)} files")
    bar(39, "hostile inputs tried: YAML files", found=len(set(YAML)), goal=">= 60")


@pytest.mark.parametrize("name", ["syncs/people.yml", "models/sources.yml", "profiles.yml"])
def test_every_file_of_a_project_is_read_this_way(tmp_path: Path, name: str) -> None:
    found = problems(shop, tmp_path, {name: "a: 1\nb: !!python/object/apply:os.system ['touch x']\n"})
    assert any(str(problem).startswith(f"{name}:2:4: a tag") for problem in found)


def test_settings_in_toml_cannot_make_objects_either(tmp_path: Path) -> None:
    found = problems(shop, tmp_path, {"pyproject.toml": "[tool.revetl]\nname = 'shop'\nname = 'again'\n"})
    assert found[0].code == "RV051"
