"""Files that are written atomically, verified and followed: artifacts, tables, checkpoints, event logs."""
