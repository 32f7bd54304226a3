"""Watch the models that answer: references, drift, alarms, the comparison with a challenger, and retraining."""
