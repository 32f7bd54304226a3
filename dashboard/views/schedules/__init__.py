"""Views of the page Schedules."""
