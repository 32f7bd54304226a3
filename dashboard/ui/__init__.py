"""What the pages share: widgets, pickers, query parameters, locale."""
