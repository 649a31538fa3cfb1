"""What is imported once for every program, and figures."""

from __future__ import annotations

import pytest
from tests.support.sandbox_service import Service, running_sandbox

PYPLOT = """
drawn = [1, 7]
class Figure:
    def __init__(self, number): self.number = number
    def savefig(self, path): open(path, 'w').write(f'figure {self.number}')
def get_fignums(): return list(drawn)
def figure(number): return Figure(number)
def close(which): drawn.clear()
"""
FILES = [{"path": "matplotlib/__init__.py"}, {"path": "matplotlib/pyplot.py", "content": PYPLOT}]


def test_a_preloaded_module_is_there_and_told_of() -> None:
    with running_sandbox(ASTROLABE_SANDBOX_PRELOAD='["decimal", "xml.dom.minidom"]') as service:
        answer = service.run("import sys; final_answer(['xml.dom.minidom' in sys.modules, 'wave' in sys.modules])")
        assert answer["result"] == [True, False]
        assert answer["isolation"]["preloaded"] == ["decimal", "xml.dom.minidom"]


@pytest.mark.parametrize(
    ("name", "said"), [("no_such_module", "ModuleNotFoundError"), ("json.no_such_part", "no_such_part")]
)
def test_what_cannot_be_preloaded_is_told_and_nothing_runs(name: str, said: str) -> None:
    with running_sandbox(ASTROLABE_SANDBOX_PRELOAD=f'["{name}"]') as service:
        answer = service.client.post("/executions", json={"code": "pass"})
        assert answer.status_code == 503
        assert said in answer.json()["detail"]
        assert "ASTROLABE_SANDBOX_PRELOAD" in answer.json()["detail"]


def test_figures_left_open_come_back(sandbox: Service) -> None:
    answer = sandbox.run("import matplotlib.pyplot", files=FILES, figures=True)
    assert [(file["path"], file["content"]) for file in answer["files"]] == [
        ("figure-1.png", "figure 1"),
        ("figure-2.png", "figure 7"),
    ]


def test_figures_come_back_after_a_failure_and_in_sessions_too(sandbox: Service) -> None:
    assert len(sandbox.run("import matplotlib.pyplot; 1/0", files=FILES, figures=True)["files"]) == 2
    session = sandbox.client.post("/sessions", json={}).json()["id"]
    assert len(sandbox.run("import matplotlib.pyplot", session=session, files=FILES, figures=True)["files"]) == 2
    sandbox.client.delete(f"/sessions/{session}")


def test_without_drawing_there_are_none(sandbox: Service) -> None:
    answer = sandbox.run("pass", figures=True)
    assert (answer["status"], answer["files"]) == ("ok", [])
    assert sandbox.run("import matplotlib.pyplot", files=FILES)["files"] == []


def test_a_new_template_takes_over() -> None:
    with running_sandbox(ASTROLABE_SANDBOX_TEMPLATE_JAILS="4", ASTROLABE_SANDBOX_POOL_SIZE="1") as service:
        seeds = {service.run("final_answer(hash('x'))")["result"] for _ in range(12)}
        assert len(seeds) >= 3
        assert len(service.jails()) <= 2
