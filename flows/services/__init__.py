"""Long-lived processes: the Prefect server, the deployment runner, and their supervisor; deployments and schedules."""
