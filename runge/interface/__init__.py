"""The Python interface: the verbs as functions, their outcomes, and a scikit-learn estimator."""
