"""The orchestration: runs dvc.yaml through Prefect, a task per stage, and keeps a record of every run."""
