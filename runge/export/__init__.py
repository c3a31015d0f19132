"""Write a trained function for other programs: the value and the Jacobian together, for ONNX, PyTorch or NumPy."""

from runge.export.formats import FORMATS, export

__all__ = ["FORMATS", "export"]
