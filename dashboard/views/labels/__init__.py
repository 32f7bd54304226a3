"""The page that corrects labels: rows to look at, the decisions on them, and a run with the decisions."""
