"""What one imports: the command line's actions as functions, their outcomes, and scikit-learn's interface."""
