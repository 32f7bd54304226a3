"""What the pages share: widgets, pickers, the address, the language."""
