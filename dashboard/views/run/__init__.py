"""Views of the pages Run, Runs and Compare."""
