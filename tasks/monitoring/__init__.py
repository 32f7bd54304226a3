"""Whether what a model is asked, and what it answers, is still what it was made for: statistics and sequential tests."""
