"""An estimator with scikit-learn's interface: what the command does with a table, for arrays and DataFrames."""

from runge.estimator.regressor import SobolevRegressor

__all__ = ["SobolevRegressor"]
