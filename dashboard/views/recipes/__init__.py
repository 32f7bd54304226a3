"""Views of the page Recipes and tuning."""
