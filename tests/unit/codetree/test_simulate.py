"""The simulated model: its skill is what it is set to, and it never answers twice differently to the same request."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace

import httpx
import pytest
from pydantic import ValidationError

from codetree.engine.parsing import parse_reply
from codetree.evaluate.suite import load_suite
from codetree.simulate.server import make_app
from codetree.simulate.skill import PRESETS, Fate, Skill
from codetree.simulate.writer import Ask, Writer, spoilt

SUITE = load_suite("m3tooleval")
TASK = SUITE.tasks[0]
SURE = Skill(wrong=0, crash=0, silent=0, malformed=0, spread=0)


def asked(text: str, *, model: str = "m", seed: int | None = 1, system: str = "s") -> Ask:
    return Ask(model, [("system", system), ("user", f"Task:\n{text}")], seed)


def test_fates_come_as_often_as_they_are_set() -> None:
    skill = Skill(wrong=0.2, crash=0.3, silent=0.1, malformed=0.1, spread=0)
    luck = random.Random(1)  # noqa: S311
    drawn = Counter(skill.draw(luck, random.Random(0), told_an_error=False) for _ in range(4000))  # noqa: S311
    shares = {fate: count / 4000 for fate, count in drawn.items()}
    expected = {Fate.RIGHT: 0.3, Fate.WRONG: 0.2, Fate.CRASH: 0.3, Fate.SILENT: 0.1, Fate.MALFORMED: 0.1}
    assert shares == pytest.approx(expected, abs=0.03)


def test_an_error_that_was_told_helps_as_often_as_it_is_set_to() -> None:
    skill = Skill(wrong=0.5, crash=0.5, silent=0, malformed=0, repair=1.0)
    luck = random.Random(1)  # noqa: S311
    assert {skill.draw(luck, random.Random(0), told_an_error=True) for _ in range(50)} == {Fate.RIGHT}  # noqa: S311
    assert Fate.RIGHT not in {skill.draw(luck, random.Random(0), told_an_error=False) for _ in range(50)}  # noqa: S311


def test_chances_above_one_are_refused() -> None:
    with pytest.raises(ValidationError, match="must not be above 1"):
        Skill(wrong=0.9, crash=0.9)


def test_a_sure_model_writes_the_solution() -> None:
    text = Writer({"m": SURE}, SUITE.tasks).write(asked(TASK.task))
    assert TASK.solution is not None
    assert (parse_reply(text).code or "").endswith(TASK.solution.replace("final_answer(", "finish(").rstrip())


@pytest.mark.parametrize(
    ("skill", "mark"),
    [
        (Skill(wrong=1, crash=0, silent=0, malformed=0), "final_answer("),
        (Skill(wrong=0, crash=1, silent=0, malformed=0), "raise "),
        (Skill(wrong=0, crash=0, silent=1, malformed=0), "print(value)"),
    ],
)
def test_an_unlucky_model_spoils_a_real_program(skill: Skill, mark: str) -> None:
    text = Writer({"m": skill}, SUITE.tasks).write(asked(TASK.task))
    code = parse_reply(text).code or ""
    assert mark in code
    assert "convert_hex_to_ascii" in code, "its tools are called all the same"


def test_the_same_request_has_the_same_answer_but_only_with_a_seed() -> None:
    skills = {"m": PRESETS["simulated-middle"]}
    one, two = Writer(skills, SUITE.tasks), Writer(skills, SUITE.tasks)
    assert one.write(asked(TASK.task)) == two.write(asked(TASK.task)) == one.write(asked(TASK.task))
    assert len({one.write(asked(TASK.task, seed=None)) for _ in range(20)}) > 1


@pytest.mark.parametrize("value", [True, 3, 2.5, "text", [1, 2], {"a": 1}, None])
def test_a_spoilt_answer_is_another_one(value: object) -> None:
    assert spoilt(value, 1) != value  # type: ignore[arg-type]


async def test_the_server_lists_its_models_and_refuses_others() -> None:
    app = make_app({"m": SURE}, [SUITE])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        assert [model["id"] for model in (await client.get("/v1/models")).json()["data"]] == ["m"]
        body = {"model": "other", "messages": [{"role": "user", "content": "?"}]}
        answer = await client.post("/v1/chat/completions", json=body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")


def test_a_cold_model_repeats_itself_and_a_warm_one_does_not() -> None:
    skill = Skill(spread=0)
    writer = Writer({"m": skill}, SUITE.tasks)

    def replies(temperature: float) -> set[str]:
        return {writer.write(replace(asked(TASK.task, seed=seed), temperature=temperature)) for seed in range(20)}

    assert len(replies(0.0)) == 1
    assert 1 < len(replies(0.35)) < 20
    assert len(replies(0.7)) > 10


def test_a_hot_model_is_less_often_right() -> None:
    skill = Skill(spread=0)

    def right(temperature: float) -> int:
        luck = random.Random(1)  # noqa: S311
        fates = [
            skill.draw(luck, random.Random(0), told_an_error=False, temperature=temperature)  # noqa: S311
            for _ in range(2000)
        ]
        return fates.count(Fate.RIGHT)

    assert right(0.0) == right(0.7) > right(1.2) > right(2.0)
