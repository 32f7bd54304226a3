"""Running stages: the plan, the executor, processes, progress."""
