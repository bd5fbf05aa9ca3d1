"""A Hydra sweeper on Optuna 5, `hydra/sweeper=mnist_optuna`; hydra_optuna_search does the work."""
