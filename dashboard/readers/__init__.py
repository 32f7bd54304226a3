"""Readers of project files, artifacts, event logs and Prefect's API, without Streamlit."""
