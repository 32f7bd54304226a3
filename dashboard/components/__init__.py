"""Components with their own JavaScript."""
