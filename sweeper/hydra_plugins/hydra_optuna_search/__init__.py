"""A Hydra sweeper on Optuna 5, `hydra/sweeper=optuna_search`; hydra_optuna_search does the work."""
