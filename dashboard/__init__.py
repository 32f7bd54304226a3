"""The dashboard: shows runs and their artifacts, and starts runs through Prefect's API. It executes no stage itself."""
