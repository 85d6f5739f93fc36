"""`undertow contagion`: what it prints and writes, and what it refuses."""

import json

import pytest

from experiments.cli import main

SMALL = ("--set", "horizon=10m", "--seeds", "2", "--jobs", "1")


def call(*arguments):
    """Run the command and return its exit code."""
    with pytest.raises(SystemExit) as end:
        main(["contagion", *map(str, arguments)])
    return end.value.code or 0


def test_it_prints_the_plan_first_then_the_result_and_writes_both(tmp_path, capsys):
    place = tmp_path / "out"
    assert call("quiet-market", *SMALL, "--out", place) == 0
    out = capsys.readouterr().out
    assert out.index("runs") < out.index("by contagion")
    assert "at most 4; 4 of them say what fires" in out
    written = {"contagion.json", "worlds.parquet", "shares.parquet", "figures", "runs"}
    assert written <= {entry.name for entry in place.iterdir()}
    assert {p.stem for p in (place / "figures").iterdir()} == {
        "contagion_shares", "contagion_heat_map"
    }  # fmt: skip
    content = json.loads((place / "contagion.json").read_text())
    assert content["channels"] == ["gas"]
    assert content["loss"]["mean"] - content["direct_loss"]["mean"] == pytest.approx(
        content["contagion"]["mean"], abs=1e-6
    )


def test_the_plan_alone_runs_nothing(tmp_path, capsys):
    place = tmp_path / "out"
    assert call("quiet-market", *SMALL, "--out", place, "--plan") == 0
    assert "at most 4" in capsys.readouterr().out
    assert not place.exists()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["quiet-markt"], "did you mean 'quiet-market'"),
        (["quiet-market", "--channels", "gaz"], "there is no channel 'gaz'"),
        (["quiet-market", "--channels", "impact"], "quiet-market has no channel 'impact'"),
        (["quiet-market", "--seeds", "0"], "--seeds is 0; it must be a whole number from 1"),
        (["quiet-market", "--subsets", "0"], "--subsets is 0"),
        (["quiet-market", "--jobs", "0"], "--jobs is 0; it must be at least 1"),
        (["quiet-market", "--set", "horizon=-1"], "horizon"),
    ],
)
def test_a_mistake_ends_with_one_message_and_code_2(arguments, told, capsys, tmp_path):
    assert call(*arguments, "--out", tmp_path / "out") == 2
    assert told in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_folder_of_something_else_is_left_alone(tmp_path, capsys):
    (tmp_path / "notes.txt").write_text("mine")
    assert call("quiet-market", *SMALL, "--out", tmp_path) == 2
    assert "give a new folder" in capsys.readouterr().err
    assert {entry.name for entry in tmp_path.iterdir() if entry.name[0] != "."} == {"notes.txt"}
