"""What is done with runs afterwards: restore, verify, compare, push, pull, collect garbage."""
