from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic_settings import BaseSettings

from codetree.settings import CodetreeServiceSettings
from kit import setting_names
from kit.settings import JobSettings
from planner.settings import PlannerSettings
from sandbox.settings import SandboxSettings

PAGE = Path(__file__).resolve().parents[3] / "docs" / "settings.md"
CLASSES = [JobSettings, PlannerSettings, CodetreeServiceSettings, SandboxSettings]


@pytest.mark.parametrize("settings", CLASSES)
def test_every_setting_is_explained(settings: type[BaseSettings]) -> None:
    named = set(re.findall(r"`(ASTROLABE_[A-Z0-9_]+)`", PAGE.read_text()))
    assert {f"ASTROLABE_{name.upper()}" for name in settings.model_fields} <= named


def test_every_explained_setting_exists() -> None:
    named = set(re.findall(r"`ASTROLABE_([A-Z0-9_]+)`", PAGE.read_text()))
    known = {name.upper() for settings in CLASSES for name in settings.model_fields}
    assert named - known == {"DATA_DIR", "CODETREE_URL", "API_KEY"}


def test_the_names_that_start_up_knows_are_those_of_the_classes() -> None:
    known = {name.upper() for settings in CLASSES for name in settings.model_fields}
    assert known == setting_names.OF_SERVICES
    explained = set(re.findall(r"`ASTROLABE_([A-Z0-9_]+)`", PAGE.read_text()))
    assert explained - known <= setting_names.OF_NO_SERVICE
