"""Run folders: records, search, workspaces, recovery."""
