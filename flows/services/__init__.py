"""Long-lived processes: Prefect's server, served deployments, schedules, their supervisor."""
