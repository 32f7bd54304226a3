"""Computations on what the readers return, without Streamlit."""
