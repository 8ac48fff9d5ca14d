"""What an evaluation may cost is known before, limited while it runs, and never paid twice when it goes on."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.command import Done, fapo
from tests.support.paid_model import PaidModel, paid_model

PIPELINE = Path(__file__).parent.parent / "pipelines" / "prompt_suffices"
CASES = 80
CALLS = 2 * CASES
A_CALL_USD = 1000 * 0.15e-6 + 100 * 0.6e-6
"""gpt-4o-mini by LiteLLM's price list."""
PRICED = ("--model", "openai/gpt-4o-mini")


@pytest.fixture
def model() -> Iterator[PaidModel]:
    with paid_model() as started:
        yield started


def only_error(done: Done) -> str:
    """The one line that a failed command says, besides notes."""
    assert "Traceback" not in done.err
    errors = [line for line in done.err.splitlines() if line.startswith("error ")]
    assert len(errors) == 1, done.err
    return errors[0]


def evaluations(folder: Path) -> list[Path]:
    return sorted((folder / "runs").glob("*-eval-*"))


# -- dry run


def test_a_dry_run_says_what_all_would_cost_and_its_cases_are_not_paid_for_again(
    tmp_path: Path, model: PaidModel
) -> None:
    done = fapo(tmp_path, "eval", PIPELINE, *PRICED, "--dry-run", "--json", **model.variables)
    assert done.code == 0, done.err
    found, estimate = done.json, done.json["estimate"]
    assert (found["cases"], len(found["sampled"]), found["usage"]["llm_calls"]) == (CASES, 5, 10)
    assert estimate["calls"] == {"expected": CALLS, "low": CALLS, "high": CALLS}
    assert estimate["cost_usd"]["expected"] == pytest.approx(CALLS * A_CALL_USD)
    assert estimate["input_tokens"]["expected"] == CALLS * 1000
    assert len(model.prompts) == 10
    assert not (tmp_path / "runs").exists()
    whole = fapo(tmp_path, "eval", PIPELINE, *PRICED, "--json", **model.variables).json
    assert (whole["usage"]["llm_calls"], whole["usage"]["cached_calls"]) == (CALLS - 10, 10)
    again = fapo(tmp_path, "eval", PIPELINE, *PRICED, "--dry-run", "--json", **model.variables).json
    assert (again["usage"]["llm_calls"], again["usage"]["cached_calls"]) == (0, 10)
    assert again["estimate"]["cost_usd"] == estimate["cost_usd"]


def test_a_person_reads_the_estimate_and_what_would_end_it(tmp_path: Path, model: PaidModel) -> None:
    done = fapo(tmp_path, "eval", PIPELINE, *PRICED, "--dry-run", "--sample", "2", "--trials", "3", "--max-calls", "99",
                "--rpm", "60", **model.variables)  # fmt: skip
    assert done.code == 0, done.err
    assert "\x1b" not in done.out
    assert max(map(len, done.out.splitlines())) <= 90
    rows = {line.split("  ")[0]: line.split() for line in done.out.splitlines() if line}
    assert rows["calls"][1:] == ["480", "480", "to", "480"]
    assert rows["cost"][1] == "$0.1008"
    assert rows["time"][1:3] == ["7.0", "min"]
    assert "--max-calls 99 would end it before its end" in done.out
    assert "used now: 4 calls, 0 cached, $0.0008" in done.out


def test_of_an_unknown_price_the_cost_is_unknown(tmp_path: Path, model: PaidModel) -> None:
    done = fapo(tmp_path, "eval", PIPELINE, "--model", "openai/my-own", "--dry-run", "--json", **model.variables)
    assert done.json["estimate"]["cost_usd"] is None
    assert done.json["estimate"]["calls"]["expected"] == CALLS


def test_an_unknown_price_is_said_before_anything_is_spent_and_wants_a_limit(tmp_path: Path, model: PaidModel) -> None:
    own = ("eval", PIPELINE, "--model", "openai/my-own", "--limit", "3")
    refused = fapo(tmp_path, *own, **model.variables)
    assert refused.code == 2
    assert "the price of openai/my-own is unknown" in only_error(refused)
    assert "--max-calls or --max-tokens" in only_error(refused)
    assert model.prompts == []
    assert not evaluations(tmp_path)
    done = fapo(tmp_path, *own, "--max-calls", "50", "--json", **model.variables)
    assert done.code == 0, done.err
    assert "note the price of openai/my-own is unknown" in done.err
    assert done.json["usage"]["cost_usd"] is None


# -- limits


def test_a_dollar_budget_is_refused_where_the_price_is_unknown(tmp_path: Path, model: PaidModel) -> None:
    done = fapo(tmp_path, "eval", PIPELINE, "--model", "openai/my-own", "--budget-usd", "1", **model.variables)
    assert done.code == 2
    assert "--max-calls or --max-tokens" in only_error(done)
    assert model.prompts == []
    assert not evaluations(tmp_path)


@pytest.mark.parametrize(
    ("option", "most"),
    [(("--max-calls", "20"), 20), (("--max-tokens", "22000"), 25), (("--budget-usd", str(20.5 * A_CALL_USD)), 20)],
)
def test_a_limit_ends_it_and_it_goes_on_from_there(
    tmp_path: Path, model: PaidModel, option: tuple[str, str], most: int
) -> None:
    """How many tokens a call takes is not known before the first replies; dollars and calls hold from the start."""
    done = fapo(tmp_path, "eval", PIPELINE, *PRICED, "--limit", "15", "--json", *option, **model.variables)
    assert (done.code, done.out) == (3, "")
    (directory,) = evaluations(tmp_path)
    assert only_error(done).endswith(f"what is done is saved; go on with: fapo eval --resume {directory}")
    assert len(model.prompts) <= most
    name, value = option
    more = fapo(tmp_path, "eval", "--resume", directory, "--json", name, f"{10 * float(value):g}", **model.variables)
    assert more.code == 0, more.err
    assert more.json["score"]["n"] == 15
    assert len(model.prompts) == len(set(model.prompts))
    assert evaluations(tmp_path) == [directory]


def test_an_account_without_credit_ends_it_and_it_goes_on_from_there(tmp_path: Path, model: PaidModel) -> None:
    model.refused = ("",)
    done = fapo(tmp_path, "eval", PIPELINE, *PRICED, "--json", **model.variables)
    assert (done.code, done.out) == (3, "")
    (directory,) = evaluations(tmp_path)
    assert "you are out of credit" in only_error(done)
    assert f"fapo eval --resume {directory}" in only_error(done)
    model.refused = ()
    more = fapo(tmp_path, "eval", "--resume", directory, "--json", **model.variables)
    assert (more.code, more.json["score"]["n"], more.json["undecided"]) == (0, CASES, 0)


def test_cases_that_the_provider_failed_are_undecided_until_it_is_resumed(tmp_path: Path, model: PaidModel) -> None:
    first = json.loads((PIPELINE / "data" / "validation.jsonl").read_text().splitlines()[0])
    model.refused = (first["inputs"]["message"],)
    done = fapo(tmp_path, "eval", PIPELINE, *PRICED, "--limit", "4", "--json", **model.variables)
    assert (done.code, done.json["undecided"], done.json["score"]["n"]) == (3, 1, 3)
    (directory,) = evaluations(tmp_path)
    assert f"1 cases are undecided, since the provider failed; decide them with: fapo eval --resume {directory}" in (
        done.err.splitlines()
    )
    model.refused = ()
    more = fapo(tmp_path, "eval", "--resume", directory, **model.variables)
    assert more.code == 0
    assert "undecided" not in more.out + more.err
    assert "on 4 cases" in more.out


# -- resume


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Done]:
    folder = tmp_path_factory.mktemp("finished")
    with paid_model() as started:
        done = fapo(folder, "eval", PIPELINE, *PRICED, "--limit", "6", "--trials", "2", "--json", **started.variables)
    assert done.code == 0, done.err
    return folder, done


def test_a_finished_evaluation_is_shown_without_a_call_or_a_key(finished: tuple[Path, Done]) -> None:
    folder, first = finished
    again = fapo(folder, "eval", "--resume", first.json["evaluation_dir"], "--json")
    assert again.code == 0, again.err
    same = {name for name in first.json if name not in ("wall_s", "isolation")}
    assert {name: again.json[name] for name in same} == {name: first.json[name] for name in same}
    assert again.json["isolation"] is None
    shown = fapo(folder, "eval", PIPELINE, "--resume", first.json["evaluation_dir"])
    assert (shown.code, "read back" in shown.out) == (0, True)


def test_a_directory_that_cannot_be_written_can_be_read_and_is_else_one_line(
    tmp_path: Path, model: PaidModel, finished: tuple[Path, Done]
) -> None:
    """A folder in place of the lock file: even root cannot write that."""
    folder, first = finished
    copy = shutil.copytree(first.json["evaluation_dir"], tmp_path / "copy")
    (copy / ".lock").unlink()
    (copy / ".lock").mkdir()
    assert fapo(folder, "eval", "--resume", copy, "--json").json["score"] == first.json["score"]
    lines = (copy / "traces.jsonl").read_bytes().splitlines(keepends=True)
    (copy / "traces.jsonl").write_bytes(b"".join(lines[:5]))
    done = fapo(tmp_path, "eval", "--resume", copy, **model.variables)
    assert (done.code, done.out) == (3, "")
    assert ".lock: cannot be written" in only_error(done)
    assert (copy / "traces.jsonl").read_bytes() == b"".join(lines[:5])


def test_trials_say_how_far_they_agree(finished: tuple[Path, Done]) -> None:
    folder, done = finished
    found = done.json
    assert (found["trials"], found["score"]["n"], found["usage"]["llm_calls"]) == (2, 6, 24)
    assert set(found["repeatability"]) == {"cases", "unsteady", "within_sd", "between_sd", "share_within"}
    assert (found["repeatability"]["cases"], found["repeatability"]["unsteady"]) == (6, 0)
    shown = fapo(folder, "eval", "--resume", found["evaluation_dir"]).out
    assert "2 samples of each case: 0 of 6 cases scored differently among them" in shown


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("quickstart", "--resume", "{}"), "holds an evaluation of"),
        (("--resume", "{}", "--trials", "3"), "--trials was 2 when it began"),
        (("--resume", "{}", "--limit", "5"), "--limit was 6 when it began"),
        (("--resume", "{}", "--split", "train"), "--split was validation when it began"),
        (("--resume", "nowhere"), "nowhere: no such evaluation in"),
        (("--resume", "{}", "--dry-run"), "leave out --resume"),
        ((), "give a pipeline directory, or --resume EVALUATION"),
        ((str(PIPELINE), "--budget-usd", "0"), "--budget-usd"),
    ],
)
def test_what_cannot_be_gone_on_with_is_refused(
    finished: tuple[Path, Done], arguments: tuple[str, ...], words: str
) -> None:
    folder, first = finished
    done = fapo(folder, "eval", *(each.format(first.json["evaluation_dir"]) for each in arguments))
    assert (done.code, done.out) == (2, "")
    assert words in only_error(done)


def test_it_goes_on_with_the_pipeline_as_it_was_wherever_that_is_now(tmp_path: Path) -> None:
    before = tmp_path / "before"
    shutil.copytree(PIPELINE, before)
    stopped = fapo(tmp_path, "eval", before, "--limit", "10", "--max-calls", "6", "--concurrency", "2")
    assert stopped.code == 3
    (directory,) = evaluations(tmp_path)
    (before / "pipeline.py").write_text("async def run(inputs, ctx):\n    return 'edited'\n")
    edited = fapo(tmp_path, "eval", "--resume", directory, "--max-calls", "100", "--json")
    assert edited.code == 0, edited.err
    assert [step["step"] for step in edited.json["steps"]] == ["gist", "route"]
    assert {step["calls"] for step in edited.json["steps"]} == {10}
    shutil.rmtree(before)
    gone = fapo(tmp_path, "eval", "--resume", directory)
    assert (gone.code, "say where: fapo eval DIR --resume RUN" in only_error(gone)) == (2, True)
    assert fapo(tmp_path, "eval", PIPELINE, "--resume", directory).code == 0


def test_what_was_evaluated_can_be_compared(tmp_path: Path, finished: tuple[Path, Done]) -> None:
    _, first = finished
    with paid_model() as started:
        second = fapo(tmp_path, "eval", PIPELINE, "--model", "openai/gpt-4o", "--limit", "6", "--json",
                      **started.variables)  # fmt: skip
    found = fapo(tmp_path, "compare", first.json["evaluation_dir"], second.json["evaluation_dir"], "--json").json
    assert (found["difference"]["n"], found["difference"]["tied"], found["left_out"]) == (6, 6, [])
    assert found["b"]["models"] == {"task": "openai/gpt-4o"}
    assert found["b"]["usage"]["cost_usd"] > found["a"]["usage"]["cost_usd"]
