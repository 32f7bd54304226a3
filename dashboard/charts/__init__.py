"""Charts from tables, without Streamlit."""
