"""The reader: shows what ran, runs and could run, and starts runs through Prefect. It never does the work itself."""
