"""The parts of the reader of tables: lines of text, and the layout of each kind of file."""
