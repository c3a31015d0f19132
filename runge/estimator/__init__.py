"""The estimator with scikit-learn's interface, and the checks of its arrays and parameters."""

from runge.estimator.regressor import SobolevRegressor

__all__ = ["SobolevRegressor"]
