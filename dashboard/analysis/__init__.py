"""What is computed from what was read, without Streamlit."""
