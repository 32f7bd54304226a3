"""Output of the command line: the progress of a run and the table of its results."""
