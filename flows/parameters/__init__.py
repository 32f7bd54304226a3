"""Parameters of a run: parsed, checked, described as JSON schema, written."""
