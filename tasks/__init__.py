"""The work: seven stages, and the use cases, networks and compression steps they are given. No Prefect, no DVC, no Streamlit."""
