"""Text as every use case may need it: normalization and tokenization."""
