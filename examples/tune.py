"""Search for the best configuration of a collection in Python, train it with three seeds, and measure it once.

    python examples/tune.py --data data/pascal --config pascal_sentence --out runs/tuned --trials 20 --minutes 60

The search reads the training and the validation split. The test split is read once, by the runs of what it chose.
"""

import argparse
from pathlib import Path
from statistics import mean, stdev

from dafsn_tf import evaluate_run, load_config, load_run, train
from dafsn_tuner.search import tune
from dafsn_tuner.space import Range, read_space

SEEDS = (0, 1, 2)


def main() -> None:
    """Parse the command line and run the way from a search to the figures of its best configuration."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="collection made by dafsn prepare")
    parser.add_argument("--config", default="default", help="preset or TOML file")
    parser.add_argument("--out", type=Path, required=True, help="folder of the search and its runs")
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--set", action="append", default=[], help="section.field=value")
    options = parser.parse_args()

    config = load_config(options.config, options.set)
    space = read_space(options.config, config)
    space["training.learning_rate"] = Range(1e-4, 3e-3, log=True)  # any field, by its own name
    found = tune(
        config,
        space,
        options.data,
        options.out / "search",
        algorithm="bayesian",
        max_trials=options.trials,
        budget_minutes=options.minutes,
    )
    print(found.table)

    best, figures = load_config(options.out / "search" / "best.toml"), []
    for seed in SEEDS:
        train(best, options.data, options.out / f"best-{seed}", seed=seed)
        evaluation = evaluate_run(load_run(options.out / f"best-{seed}"), options.data)
        fused = next(iter(evaluation["protocols"].values()))["fused"]
        figures.append(mean(direction["map@all"] for direction in fused.values()))
    print(f"validation {found.validation:.3f}; test MAP@all {mean(figures):.3f} ± {stdev(figures):.3f}, seeds {SEEDS}")


if __name__ == "__main__":
    main()
