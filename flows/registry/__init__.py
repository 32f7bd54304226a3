"""The model registry: numbered versions of releases, and aliases such as `champion` that point at one."""
