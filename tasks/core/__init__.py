"""What every stage shares: the use case interface, settings, parameters, artifacts, event log."""
