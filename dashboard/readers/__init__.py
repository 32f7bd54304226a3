"""What files and servers say, without Streamlit."""
