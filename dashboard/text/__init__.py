"""Words: translations, and how numbers and times are written."""
