"""A Hydra sweeper on Optuna 5: `hydra/sweeper=mnist_optuna`; the work is done in
hydra_optuna_search.
"""
