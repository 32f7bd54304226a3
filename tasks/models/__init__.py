"""The networks. One architecture a file, named for the class it holds; none knows another."""
