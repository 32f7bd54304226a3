"""Networks for price windows."""
