"""`python -m mnist_exp` lists the commands; `--version` prints the version."""

import sys

import mnist_exp

COMMANDS = {
    "train": "train a model, a grid (-m) or a search (search=...); leaves a run folder",
    "compare": "say which of several runs is better, and how sure that is",
    "board": "watch runs and searches while they happen",
    "predict": "read digits in pictures with a run's model",
    "demo": "a page to draw on, which a run's model reads",
    "explore": "a report on a dataset and its augmentation",
    "verify": "repeat a run and say whether everything is the same",
}


def main() -> None:
    """Print the version, or a line for each command; another word is a mistake."""
    if sys.argv[1:] == ["--version"]:
        print(f"mnist_exp {mnist_exp.__version__}")
        return
    lines = [f"  python -m mnist_exp.{name:<8}  {purpose}" for name, purpose in COMMANDS.items()]
    print("Config-driven experiments on handwritten digits.", "", *lines, "", sep="\n")
    print("--help after a command says more.")
    if set(sys.argv[1:]) - {"--help", "-h"}:
        sys.exit(f"error: {' '.join(sys.argv[1:])}: start a command as above")


if __name__ == "__main__":
    main()
