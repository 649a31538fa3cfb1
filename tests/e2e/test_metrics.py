"""Every metric that alerts and dashboard may ask for is in a real scrape of the services that are to have it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.support.stack import Stack

DECLARED = yaml.safe_load((Path(__file__).parents[2] / "deploy" / "prometheus" / "metrics.yml").read_text())
SECTIONS = {
    "planner": ("jobs", "gate", "planner", "http"),
    "codetree": ("jobs", "gate", "http"),
    "sandbox": ("sandbox", "http"),
}


@pytest.mark.parametrize("service", SECTIONS)
def test_what_is_declared_is_scraped(stack: Stack, service: str) -> None:
    with stack.client(service) as client:
        client.get("/openapi.json")
        text = client.get("/metrics").text
    types = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE))
    for section in SECTIONS[service]:
        for pattern, metric in DECLARED[section].items():
            name = pattern.replace("SERVICE", service)
            assert types.get(name) == metric["type"], name
            assert labels_of(text, name) <= set(metric["labels"]) | {"le"}, name


def labels_of(text: str, name: str) -> set[Any]:
    lines = re.findall(rf"^{name}(?:_bucket|_count|_sum)?\{{(.*?)\}} ", text, re.MULTILINE)
    return {label for line in lines for label in re.findall(r'(\w+)="', line)}
