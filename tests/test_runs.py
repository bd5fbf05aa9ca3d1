import json
import os
import socket
import time

import numpy as np
import psutil
import pytest

from mnist_exp.errors import UserError
from mnist_exp.evaluation import Predictions
from mnist_exp.process import write_atomic, write_json
from mnist_exp.runs import (
    STALE_SECONDS,
    Run,
    current_targets,
    find_runs,
    open_run,
    point_latest,
    redact,
)


@pytest.fixture
def run(tmp_path):
    return Run.claim(tmp_path / "run", ["train", "model=rf"])


def rewrite(run, **changes):
    path = run.path / "status.json"
    write_json(path, json.loads(path.read_text()) | changes)


def test_a_run_that_ends_well_is_completed(run):
    with run.recording():
        assert run.state == "running"
    assert run.state == "completed"
    assert run.status.ended >= run.status.started


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (ValueError("no luck"), "failed"),
        (SystemExit(2), "failed"),
        (KeyboardInterrupt(), "interrupted"),
    ],
)
def test_a_run_that_ends_badly_says_how(run, error, state):
    with pytest.raises(type(error)), run.recording():
        raise error
    assert run.state == state
    if state == "failed":
        assert str(error) in run.status.error


def test_a_folder_is_claimed_once(run):
    with pytest.raises(FileExistsError):
        Run.claim(run.path, [])


def test_a_dead_process_makes_the_run_stale_at_once(run):
    rewrite(run, pid=2**22 + 1)
    assert run.state == "stale"


def test_a_process_number_given_out_again_does_not_revive_a_run(run):
    rewrite(run, pid_started=psutil.Process().create_time() - 3600)
    assert run.state == "stale"


def test_a_run_of_another_host_is_stale_after_two_minutes(run):
    rewrite(run, host="not-" + socket.gethostname())
    assert run.state == "running"
    old = time.time() - STALE_SECONDS - 1
    os.utime(run.path / "status.json", (old, old))
    assert run.state == "stale"


def test_predictions_come_back_as_written(run):
    probability = np.random.default_rng(0).dirichlet(np.ones(3), 5)
    before = Predictions(
        np.arange(5), np.zeros(5, int), probability.argmax(1), probability, None, "abc"
    )
    run.save_predictions("test", before)
    after = run.predictions("test")
    np.testing.assert_array_equal(after.prediction, before.prediction)
    np.testing.assert_allclose(after.probability, probability, rtol=1e-7)
    assert (after.probability.dtype, after.score, after.split_sha256) == (np.float32, None, "abc")


def write_choices(run, **choices):
    (run.path / ".hydra").mkdir()
    text = json.dumps({"hydra": {"runtime": {"choices": choices}}})
    (run.path / ".hydra" / "hydra.yaml").write_text(text)
    (run.path / ".hydra" / "config.yaml").write_text('{"model": {"trees": 10}}')


def test_a_run_is_a_row_of_figures_and_choices(run):
    write_choices(run, **{"model": "rf", "search": None, "hydra/launcher": "basic"})
    bounds = {"low": 0.96, "high": 0.98}
    run.save_metrics({"test": {"accuracy": 0.97}, "model": {"bytes": 9}}, {"test.accuracy": bounds})
    run.finish("completed")
    row = run.to_frame().iloc[0].to_dict()
    assert row == {
        "run": str(run.path),
        "state": "completed",
        "model": "rf",
        "test.accuracy_low": 0.96,
        "test.accuracy_high": 0.98,
        "test.accuracy": 0.97,
        "model.bytes": 9,
        "config.model.trees": 10,
    }


def test_a_run_shows_itself_in_a_notebook_and_what_it_says_is_no_markup(run):
    write_choices(run, model="<b>rf</b>")
    run.save_metrics({"test": {"accuracy": 0.97}, "time": {"total_s": 1.5}}, {})
    run.finish("completed")
    html = run._repr_html_()
    assert "97.00" in html
    assert "&lt;b&gt;rf&lt;/b&gt;" in html
    assert 'run">' in html  # the link to its folder
    run.finish("failed", "<script>no luck</script>")
    assert "&lt;script&gt;no luck" in run._repr_html_()


def test_addresses_of_before_lead_to_where_the_classes_are_now():
    shared = {"_target_": "mnist_exp.dictionary.Dictionary"}
    config = current_targets({"features": [shared, shared], "model": {"_target_": "a.B"}})
    new = {"_target_": "mnist_exp.features.Dictionary"}
    assert config == {"features": [new, new], "model": {"_target_": "a.B"}}
    assert config["features"][0] is config["features"][1]  # aliases are not unfolded


def test_damaged_predictions_are_named(run):
    (run.path / "predictions_test.npz").write_bytes(b"PK\x03\x04 but no zip")
    with pytest.raises(UserError, match=r"predictions_test\.npz"):
        run.predictions("test")


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")

    def half_way(temporary):
        temporary.write_text("ne")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        write_atomic(path, half_way)
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
    assert path.read_text() == "old"


def test_latest_names_the_run_that_completed_last(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b"):
        run = Run.claim(tmp_path / "outputs" / name, [])
        point_latest(tmp_path / "outputs", run)
    assert open_run("latest").path == tmp_path / "outputs" / "b"
    assert [run.path.name for run in find_runs("outputs")] == ["a", "b"]


def test_latest_works_where_symbolic_links_do_not(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = Run.claim(tmp_path / "outputs" / "a", [])
    (tmp_path / "outputs" / "latest").write_text("a")
    assert open_run("latest").path == run.path


def test_a_name_that_is_no_run_says_what_to_do(tmp_path):
    with pytest.raises(UserError, match=r"python -m mnist_exp\.train"):
        open_run(str(tmp_path / "nothing"))


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        (
            "search.storage=postgresql://me:s3cret@host/db",
            "search.storage=postgresql://me:***@host/db",
        ),
        ("to postgresql://me:s3:cr/e@t@host/db @ noon", "to postgresql://me:***@host/db @ noon"),
        ("+password=s3cret", "+password=***"),
        ("dataset.path=a/b:c", "dataset.path=a/b:c"),
    ],
)
def test_secrets_are_blanked_out(text, safe):
    assert redact(text) == safe
