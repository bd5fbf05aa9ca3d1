"""Launchers of Hydra: processes of one machine (joblib) and jobs of Slurm (submitit)."""
