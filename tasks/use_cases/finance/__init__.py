"""Risk of the next day's price."""
