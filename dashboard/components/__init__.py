"""Parts of the page that Streamlit does not have: drawn by small scripts without a build step, themed by its colours."""
