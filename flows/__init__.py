"""The orchestration: runs the stages of dvc.yaml as Prefect tasks and keeps a record of every run."""
