"""The examples run as their users would run them; only Airflow, Ray, Slurm and Kubernetes are stood in for."""

from __future__ import annotations

import base64
import hashlib
import hmac
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from http.server import ThreadingHTTPServer
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import yaml
from tests.integration.astrolabe import samples
from tests.integration.astrolabe.samples import BATCH, BATCH_PATH, batch, receipt, rejection, result
from tests.integration.astrolabe.scripted_service import Reply, ScriptedService, answer, json_lines, problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.integration.astrolabe.conftest import Cli

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"
PLANS = EXAMPLES / "batches" / "plans.ndjson"
RUNNING = batch("running", queued=4)


def variables(service: ScriptedService, **more: str) -> dict[str, str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "ASTROLABE_PLANNER_URL": service.url, **more}


def run(*command: str | Path, env: dict[str, str], cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, env=env, cwd=cwd, capture_output=True, text=True, timeout=60, check=False)


def load(path: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(Path(path).stem, EXAMPLES / path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
class TestCurl:
    def test_a_batch_is_submitted_waited_for_and_read(self, service: ScriptedService) -> None:
        service.on("POST", "/batches", answer(receipt(4), 202, Location=BATCH_PATH))
        service.on(
            "GET",
            BATCH_PATH,
            answer(RUNNING, ETag='"1"'),
            Reply(304, headers={"ETag": '"1"'}),
            answer(batch(succeeded=4)),
        )
        page = json_lines(result(1, samples.plan()), result(2, samples.job("failed")))
        service.on("GET", f"{BATCH_PATH}/results", page)
        given = run(EXAMPLES / "curl" / "batch.sh", PLANS, env=variables(service, ASTROLABE_API_KEY="astro_key"))
        assert given.returncode == 0
        assert [json.loads(line)["cursor"] for line in given.stdout.splitlines()] == ["1", "2"]
        assert json.loads(given.stderr)["id"] == BATCH
        sent, *looks, _ = service.seen
        assert sent.body == [json.loads(line) for line in PLANS.read_text().splitlines()]
        assert {seen.headers["authorization"] for seen in service.seen} == {"Bearer astro_key"}
        assert [dict(look.params) for look in looks] == [{"wait": "60"}] * 3
        assert [look.headers.get("if-none-match") for look in looks[1:]] == ['"1"', '"1"']

    def test_a_refusal_is_shown_and_exits_2(self, service: ScriptedService) -> None:
        service.on("POST", "/batches", problem(403, "forbidden", "The key lacks the scope plans:write."))
        given = run(EXAMPLES / "curl" / "batch.sh", PLANS, env=variables(service))
        assert given.returncode == 2
        assert "lacks the scope" in given.stderr
        assert "authorization" not in service.seen[0].headers

    def test_it_asks_again_when_the_service_is_busy(self, service: ScriptedService) -> None:
        busy = problem(503, "database-away", "Send it again.", Retry_After="0")
        service.on("POST", "/batches", busy, answer(receipt(4), 202, Location=BATCH_PATH))
        service.on("GET", BATCH_PATH, answer(batch(succeeded=4)))
        service.on("GET", f"{BATCH_PATH}/results", json_lines(result(1, samples.plan())))
        assert run(EXAMPLES / "curl" / "batch.sh", PLANS, env=variables(service)).returncode == 0
        assert len(service.requests("POST", "/batches")) == 2


class TestSlurm:
    def test_a_task_asks_for_the_plan_in_its_line(self, service: ScriptedService, tmp_path: Path) -> None:
        service.on("POST", "/plans", answer(samples.plan(attempt=0), 202))
        task = variables(service, SLURM_ARRAY_JOB_ID="77", SLURM_ARRAY_TASK_ID="2")
        given = run("bash", EXAMPLES / "slurm" / "plans.sbatch", PLANS, env=task, cwd=tmp_path)
        assert given.returncode == 0, given.stderr
        assert service.seen[0].body == json.loads(PLANS.read_text().splitlines()[1])
        assert json.loads((tmp_path / "plan-77_2.json").read_text()) == samples.plan(attempt=0)

    @pytest.mark.parametrize(("task_id", "said"), [("99", "has no line 99"), ("", "run me as an array")])
    def test_a_task_without_a_line_fails(
        self, service: ScriptedService, tmp_path: Path, task_id: str, said: str
    ) -> None:
        task = variables(service, SLURM_ARRAY_JOB_ID="77", SLURM_ARRAY_TASK_ID=task_id)
        given = run("bash", EXAMPLES / "slurm" / "plans.sbatch", PLANS, env=task, cwd=tmp_path)
        assert given.returncode != 0
        assert said in given.stderr
        assert service.seen == []


def test_kueue_runs_a_command_that_the_command_line_understands(
    service: ScriptedService, cli: Cli, tmp_path: Path
) -> None:
    config, job = yaml.safe_load_all((EXAMPLES / "kueue" / "plans.yaml").read_text())
    requests = tmp_path / "plans.ndjson"
    requests.write_text(config["data"]["plans.ndjson"])
    program, *arguments = job["spec"]["template"]["spec"]["containers"][0]["command"]
    mounted = {"/requests/plans.ndjson": str(requests), "$(WORKLOAD)": "uid"}
    service.on("POST", "/batches", answer(receipt(2), 202))
    service.on("GET", BATCH_PATH, answer(batch(succeeded=2)))
    assert program == "astrolabe"
    assert cli(*(mounted.get(argument, argument) for argument in arguments)).exit_code == 0
    assert service.seen[0].headers["idempotency-key"] == "uid-1"
    service.on("POST", "/batches", answer(receipt(1, rejection(2, "b")), 202))
    refused = cli(*(mounted.get(argument, argument) for argument in arguments))
    assert refused.exit_code in job["spec"]["podFailurePolicy"]["rules"][0]["onExitCodes"]["values"]


class TestRay:
    @pytest.fixture
    def cluster(self, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
        """The jobs of a Ray cluster, as far as its client is used."""
        jobs: list[dict[str, Any]] = []

        class JobSubmissionClient:
            def list_jobs(self) -> list[SimpleNamespace]:
                return [SimpleNamespace(**job) for job in jobs]

            def submit_job(self, *, entrypoint: str, submission_id: str, metadata: dict[str, str]) -> str:
                jobs.append({"entrypoint": entrypoint, "submission_id": submission_id, "metadata": metadata})
                return submission_id

        module = ModuleType("ray.job_submission")
        module.JobSubmissionClient = JobSubmissionClient  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "ray", ModuleType("ray"))
        monkeypatch.setitem(sys.modules, "ray.job_submission", module)
        return jobs

    def test_the_training_starts_once_with_the_best_strategy(
        self, service: ScriptedService, cluster: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("ASTROLABE_PLANNER_URL", service.url)
        service.on("POST", "/plans", answer(samples.job("queued"), 202))
        service.on("GET", samples.PLAN_PATH, answer(samples.plan()))
        example = load("ray/plan_and_train.py")
        for _ in range(2):
            assert example.main("llama-1", str(EXAMPLES / "plan.json"), "python train.py") == "llama-1"
        [job] = cluster
        assert job["submission_id"] == "llama-1"
        assert job["metadata"] == {"astrolabe_plan": samples.JOB}
        assert job["entrypoint"].startswith(
            "python train.py --tensor-model-parallel-size 4 --pipeline-model-parallel-size 2"
        )
        assert job["entrypoint"].endswith("--sequence-parallel")
        assert service.seen[0].body["external_id"] == "llama-1"

    def test_nothing_is_trained_without_a_feasible_strategy(
        self, service: ScriptedService, cluster: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("ASTROLABE_PLANNER_URL", service.url)
        service.on("POST", "/plans", answer(samples.job("queued"), 202))
        service.on("GET", samples.PLAN_PATH, answer(samples.infeasible_plan()))
        with pytest.raises(SystemExit, match="none of 700 valid strategies fits in memory"):
            load("ray/plan_and_train.py").main("llama-1", str(EXAMPLES / "plan.json"), "python train.py")
        assert cluster == []


class TestAirflow:
    @pytest.fixture
    def tasks(self, monkeypatch: pytest.MonkeyPatch, service: ScriptedService) -> dict[str, Callable[..., Any]]:
        """The tasks of the DAG, by name, as Airflow's decorators hand them over."""
        found: dict[str, Callable[..., Any]] = {}

        def register(**_: object) -> Callable[[Callable[..., Any]], Callable[..., str]]:
            def keep(function: Callable[..., Any]) -> Callable[..., str]:
                found[function.__name__] = function
                return lambda *upstream: f"{function.__name__}({', '.join(upstream)})"

            return keep

        def task(function: Callable[..., Any] | None = None, **options: object) -> Any:
            return register(**options)(function) if function else register(**options)

        task.sensor = register  # type: ignore[attr-defined]
        module = ModuleType("airflow.sdk")
        parts = {
            "dag": lambda **_: lambda function: function,
            "task": task,
            "get_current_context": lambda: {"run_id": "manual__1"},
            "PokeReturnValue": SimpleNamespace,
        }
        for name, part in parts.items():
            setattr(module, name, part)
        monkeypatch.setitem(sys.modules, "airflow", ModuleType("airflow"))
        monkeypatch.setitem(sys.modules, "airflow.sdk", module)
        monkeypatch.setenv("ASTROLABE_PLANNER_URL", service.url)
        load("airflow/astrolabe_plans.py")
        return found

    def test_the_run_submits_waits_and_chooses(
        self, service: ScriptedService, tasks: dict[str, Callable[..., Any]]
    ) -> None:
        service.on("POST", "/batches", answer(receipt(2), 202))
        service.on("GET", BATCH_PATH, answer(RUNNING), answer(RUNNING), answer(batch(succeeded=2)))
        slow = samples.plan(best=samples.candidate(9.0))
        page = json_lines(result(1, slow), result(2, samples.plan()), result(3, samples.infeasible_plan()))
        service.on("GET", f"{BATCH_PATH}/results", page, json_lines())
        assert list(tasks) == ["submit", "finished", "choose"]
        ids = tasks["submit"]()
        looks = [tasks["finished"](ids) for _ in range(2)]
        assert [look.is_done for look in looks] == [False, True]
        assert looks[1].xcom_value == ids == [BATCH]
        assert tasks["choose"](ids)["estimate"]["iteration_seconds"] == 4.5
        sent = service.seen[0]
        assert [request["external_id"] for request in sent.body] == ["manual__1-0", "manual__1-1"]
        assert sent.headers["idempotency-key"] == "manual__1-1"

    def test_a_refused_line_fails_the_task(
        self, service: ScriptedService, tasks: dict[str, Callable[..., Any]]
    ) -> None:
        service.on("POST", "/batches", answer(receipt(1, rejection(2, "b")), 202))
        with pytest.raises(ValueError, match="is unknown"):
            tasks["submit"]()


class TestWebhooks:
    SECRET = f"whsec_{base64.b64encode(b'a secret of 24 bytes....').decode()}"

    @pytest.fixture
    def url(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
        monkeypatch.setenv("ASTROLABE_WEBHOOK_SECRET", self.SECRET)
        server = ThreadingHTTPServer(("127.0.0.1", 0), load("webhooks/receive.py").Receiver)
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()
        server.server_close()

    def test_only_what_is_signed_is_accepted(self, url: str, capsys: pytest.CaptureFixture[str]) -> None:
        body = json.dumps({"type": "job.succeeded", "data": {"id": samples.JOB}}).encode()
        now = str(int(time.time()))
        key = base64.b64decode(self.SECRET.removeprefix("whsec_"))
        signature = base64.b64encode(hmac.digest(key, b".".join((b"msg_1", now.encode(), body)), hashlib.sha256))
        headers = {"webhook-id": "msg_1", "webhook-timestamp": now, "webhook-signature": f"v1,{signature.decode()}"}
        assert httpx.post(url, content=body, headers=headers, trust_env=False).status_code == 204
        assert "job.succeeded" in capsys.readouterr().out
        assert httpx.post(url, content=body + b" ", headers=headers, trust_env=False).status_code == 401
        assert httpx.post(url, content=b"x" * (2**20 + 1), headers=headers, trust_env=False).status_code == 413
        assert "job.succeeded" not in capsys.readouterr().out
