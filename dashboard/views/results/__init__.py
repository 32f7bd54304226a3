"""Views of the pages Results and Compression."""
