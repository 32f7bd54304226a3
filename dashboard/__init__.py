"""The reader: shows what ran, runs and could run, and asks the conductor for more. It never does the work itself."""
