"""`compare --curve`: accuracy along a numeric key, over seeds, and whether more data would help."""

import json

import numpy as np
import pytest
import yaml

from mnist_exp.compare import main
from mnist_exp.comparison import compare_curve, curve_answers
from mnist_exp.errors import UserError
from mnist_exp.evaluation import Predictions, fit_power_law, power_law
from mnist_exp.report.curve_page import curve_figure
from mnist_exp.runs import Run

N = 4_000
LABEL = np.arange(N) % 10
SIZES = (1_000, 2_000, 4_000, 8_000, 16_000)


def error_rate(size, seed=0):
    return 0.01 + 1.5 * size**-0.5 + 0.0005 * seed


def write_run(folder, size, seed=0, rate=error_rate, sha="a" * 64, n_train=None, **model):
    """A run whose first images are wrong; as many as its error rate says."""
    run = Run.claim(folder, [])
    wrong = np.arange(N) < round(N * rate(size or n_train, seed))
    prediction = np.where(wrong, (LABEL + 1) % 10, LABEL)
    run.save_predictions("test", Predictions(np.arange(N), LABEL, prediction, None, None, sha))
    figures = {"test": {"accuracy": float(1 - wrong.mean())}, "data": {"n_train": n_train or size}}
    run.save_metrics(figures, {})
    config = {"seed": seed, "dataset": {"train_size": size}, "model": {"trees": 10} | model}
    run.config_path.parent.mkdir()
    run.config_path.write_text(yaml.safe_dump(config))
    run.finish("completed")


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """Five sizes, the largest by `null`, with three seeds each."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MNIST_EXP_CACHE", str(tmp_path / "cache"))
    for size in SIZES:
        for seed in range(3):
            all_images = size == SIZES[-1]
            given = {"size": None, "n_train": size} if all_images else {"size": size}
            write_run(tmp_path / "runs" / f"{size}-{seed}", seed=seed, **given)
    return tmp_path / "runs"


def test_seeds_are_averaged_and_steps_are_paired_by_seed(runs):
    (line,) = compare_curve("runs", "dataset.train_size").lines
    assert [point.value for point in line.points] == list(SIZES)
    assert [len(point.runs) for point in line.points] == [3] * 5
    expected = [1 - np.mean([round(N * error_rate(s, k)) / N for k in range(3)]) for s in SIZES]
    np.testing.assert_allclose([point.accuracy for point in line.points], expected)
    gains = [point.gain for point in line.points]
    assert gains[0] is None
    np.testing.assert_allclose(gains[1:], 100 * np.diff(expected))
    # Seeds differ by the same everywhere: paired, the step is far surer than either mean.
    last = line.points[-1]
    assert last.gain_interval.high - last.gain_interval.low < 0.05
    assert 100 * (last.interval.high - last.interval.low) > 0.2


def test_the_law_is_found_and_twice_the_data_foretold(runs):
    (line,) = compare_curve("runs", "dataset.train_size").lines
    assert line.law.exponent == pytest.approx(0.5, abs=0.05)
    assert line.law.exponent_interval.low < 0.5 < line.law.exponent_interval.high
    assert line.law.next_size == 32_000
    truth = 1 - error_rate(32_000, 1)
    assert line.law.next_interval.low < truth < line.law.next_interval.high
    assert line.law.next_accuracy == pytest.approx(truth, abs=0.001)
    ((_, answer),) = curve_answers(compare_curve("runs", "dataset.train_size"))
    assert "From 8,000 to 16,000: +0.50 [+0.4" in answer
    assert "worth it" in answer
    assert "With 32,000 images, twice as many, expect 98.1" in answer


def test_a_power_law_comes_back_from_its_own_values():
    sizes = np.array([500, 1_000, 5_000, 20_000])
    laws = np.array([[0.0, 3.0, 0.7], [0.02, 0.8, 0.3]])
    errors = np.array([power_law(laws, size) for size in sizes]).T
    fitted = fit_power_law(sizes, errors)
    np.testing.assert_allclose(power_law(fitted, 40_000), power_law(laws, 40_000), rtol=0.01)
    with pytest.raises(ValueError, match="at least 4 sizes"):
        fit_power_law(sizes[:3], errors[0, :3])


def test_recipes_are_lines_and_what_has_no_number_is_left_out_with_the_reason(runs):
    for size in SIZES[:3]:
        write_run(runs / f"other-{size}", size, trees=20)
    write_run(runs / "elsewhere", 500, sha="b" * 64)
    write_run(runs / "odd", "many", rate=lambda size, seed: 0.1, n_train=1)
    curve = compare_curve("runs", "dataset.train_size")
    assert [line.recipe for line in curve.lines] == ["model.trees=10", "model.trees=20"]
    assert [line.law is None for line in curve.lines] == [False, True]
    reasons = dict(curve.skipped)
    assert "other test data" in reasons["runs/elsewhere"]
    assert reasons["runs/odd"] == "its configuration has no number as dataset.train_size"
    figure = curve_figure(curve)
    (axes,) = figure.axes
    assert axes.get_xscale() == "log"
    drawn = {line.get_label(): line for line in axes.lines}
    first = curve.lines[0]
    np.testing.assert_allclose(
        drawn["model.trees=10"].get_ydata(), [100 * point.accuracy for point in first.points]
    )


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("model.trees", "no recipe has runs with two values"),
        ("model.nothing", "no recipe has runs with two values"),
        ("seed", "runs over seeds are averaged"),
    ],
)
def test_a_key_without_a_curve_is_refused(runs, key, reason):
    with pytest.raises(UserError, match=reason):
        compare_curve("runs", key)


def test_the_command_prints_it_in_every_format_and_writes_the_page(runs, monkeypatch, capsys):
    def command(*words):
        monkeypatch.setattr(
            "sys.argv", ["compare", "runs", "--curve", "dataset.train_size", *words]
        )
        main()
        return capsys.readouterr().out

    table = command("--html", "curve.html")
    content = json.loads(command("--format", "json"))
    assert content["lines"][0]["power_law"]["next_size"] == 32_000
    for point in content["lines"][0]["points"]:
        assert f"{point['value']:,}" in table
        assert f"{100 * point['accuracy']:.2f} [" in table
    assert command("--format", "csv").count("\n") == 1 + len(SIZES)
    assert command("--format", "md").count("\n| ") == 2 + len(SIZES)
    page = (runs.parent / "curve.html").read_text()
    assert "worth it" in page
    assert "data:image/png;base64," in page
    with pytest.raises(SystemExit) as refused:
        command("--fail-if-worse")
    assert refused.value.code == 2
    assert "--fail-if-worse does not go with --curve" in capsys.readouterr().err
