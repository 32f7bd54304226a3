"""The views of the page Compression."""
