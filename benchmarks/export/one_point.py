"""Value, Jacobian and Hessian at one point: the exported C and ONNX files against onnx-ad and CasADi.

python benchmarks/export/one_point.py

Claims, of networks with random weights and tanh, on one core:

- value and Jacobian, 5-64-64-4: C takes a tenth of the time of the graph that onnx-ad derives, in ONNX Runtime;
- value, Jacobian and Hessian, 5-64-64-4 and 5-64-64-1: C takes half the time of the C code of CasADi's own derivatives;
- 10-64-64-64-2: the file in C is smaller than 200 kB, and compiles within a second.

All in double precision. Each figure is the median of ROUNDS, in which all contenders take turns, each for less than
a time slice. Each is measured in several ways: onnx-ad in forward mode, with a seed for each input, and in
reverse mode, with one for each output; CasADi with graphs of matrices (MX) or numbers (SX), by a Jacobian of Jacobians
or a Hessian for each output. Graphs whose C code does not compile in SECONDS are left out. It takes some minutes, most
of it to compile, and needs a C compiler and pip install -e '.[bench,onnx,interop]'.
"""

import ctypes
import itertools
import os
import runpy
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from runge.exports import export
from runge.function.function import Function
from runge.sobolev.network import Model, StackedMLP

try:
    import casadi
    import onnx
    import onnx_ad
    import onnxruntime
except ImportError as missing:
    sys.exit(f"{missing.name} is missing: pip install -e '.[bench,onnx,interop]'")

ROUNDS, BURST = 301, 3e-4
SECONDS = 60
FLAGS = (("-O3", "-march=native"), ("-O2",))
X = np.array([0.1, -0.2, 0.3, 0.4, -0.5])

Call = Callable[[int], object]
"""Evaluate a point n times."""


def network(*sizes: int, dtype: torch.dtype = torch.float64) -> Function:
    """Return a function with random weights."""
    inputs, *hidden, outputs = sizes
    model = Model(width=hidden[0], depth=len(hidden))
    domain = torch.tensor([[-1.0, 1.0]], dtype=torch.float64).repeat(inputs, 1)[None]
    stack = StackedMLP(model, domain, [torch.Generator().manual_seed(0)], dtype, outputs)
    return Function(stack, outputs=[f"f{i}" for i in range(outputs)]).eval()


def compiled(source: Path, flags: tuple[str, ...], call: str) -> tuple[Call, float]:
    """Return calls of a C function at points that differ slightly, and the processor's seconds to compile it."""
    loop = source.with_name(f"loop_{source.name}")
    loop.write_text(f'#include "{source.name}"\nvoid loop(double *x, int n)\n{{{call}}}\n')
    library = source.with_suffix(f".{time.time_ns()}.so")  # a library is loaded once under one name
    start = os.times()
    subprocess.run(
        ["cc", *flags, "-shared", "-fPIC", str(loop), "-o", str(library), "-lm"], check=True, timeout=SECONDS
    )
    end = os.times()
    seconds = end.children_user + end.children_system - start.children_user - start.children_system
    function, x = ctypes.CDLL(str(library)).loop, X.copy()
    return lambda n: function(x.ctypes.data_as(ctypes.c_void_p), n), seconds


def in_c(u: Function, folder: Path, hessian: bool, flags: tuple[str, ...]) -> Call:
    """Return calls of the exported C function."""
    source = export(u, "c", folder / f"ours{len(u.outputs)}{hessian:d}", hessian=hessian, force=True)
    d, p = len(u.inputs), len(u.outputs)
    results = f"double u[{p}], du[{p}][{d}]{f', d2u[{p}][{d}][{d}]' if hessian else ''};"
    call = f"{source.stem}(x, u, du{', d2u' if hessian else ''})"
    return compiled(source, flags, f"{results} for (int i = 0; i < n; i++) {{ {call}; x[0] += 1e-9 * u[0]; }}")[0]


def in_casadi(u: Function, folder: Path) -> Iterator[tuple[str, casadi.Function]]:
    """Yield functions of the value, the Jacobian and the Hessians as CasADi derives them, by the way to do it."""
    kinds: dict[str, Any] = {"MX": casadi.MX, "SX": casadi.SX}
    module = runpy.run_path(str(export(u, "casadi", folder / f"casadi{len(u.outputs)}", force=True)))
    for kind, graph in kinds.items():
        x = graph.sym("x", len(u.inputs))
        value = module["value"](x)
        pairs = [casadi.hessian(part, x) for part in casadi.vertsplit(value)]
        each = [value, casadi.vertcat(*(g.T for _, g in pairs)), casadi.vertcat(*(h for h, _ in pairs))]
        yield f"{kind}, a Hessian for each output", casadi.Function("casadi", [x], each)
        jacobian = casadi.jacobian(value, x)
        twice = [value, jacobian, casadi.jacobian(jacobian, x)]
        yield f"{kind}, a Jacobian of Jacobians", casadi.Function("casadi", [x], twice)


def casadi_in_c(function: casadi.Function, folder: Path, flags: tuple[str, ...]) -> tuple[Call, float]:
    """Return calls of CasADi's C code for a function, and the processor's seconds to compile it."""
    function.generate("generated.c", {"with_header": False})
    generated = Path("generated.c").rename(folder / "generated.c")
    args, results, integers, reals = (function.sz_arg(), function.sz_res(), function.sz_iw(), function.sz_w())
    sizes = [function.numel_out(i) for i in range(function.n_out())]
    call = f"""
    static double r[{sum(sizes)}], w[{max(1, reals)}];
    static casadi_int iw[{max(1, integers)}];
    const double *arg[{max(1, args)}] = {{x}};
    double *res[{max(1, results)}] = {{{", ".join(f"r + {start}" for start in np.cumsum([0, *sizes[:-1]]))}}};
    for (int i = 0; i < n; i++) {{
        casadi(arg, res, iw, w, 0);
        arg[0] = x;
        x[0] += 1e-9 * r[0];
    }}"""
    return compiled(generated, flags, call)


def sessions(u: Function, folder: Path) -> dict[str, Call]:
    """Return calls of the exported ONNX model, and of those that onnx-ad derives from the value alone."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    d, p, x = len(u.inputs), len(u.outputs), X[None]

    def call(model: bytes, **feeds: np.ndarray) -> Call:
        session = onnxruntime.InferenceSession(model, options)

        def repeat(n: int) -> None:
            for _ in range(n):
                session.run(None, {"x": x, **feeds})

        return repeat

    value = onnx.helper.make_model(value_graph(u), opset_imports=[onnx.helper.make_opsetid("", 20)], ir_version=10)
    forward, reverse = (one(value, layout="onnx") for one in (onnx_ad.forward, onnx_ad.reverse))
    return {
        "runge, ONNX": call(export(u, "onnx", folder / "ours", force=True).read_bytes()),
        "onnx-ad, forward": call(forward.SerializeToString(), fwd_x=np.eye(d)[None]),
        "onnx-ad, reverse": call(reverse.SerializeToString(), adj_u=np.eye(p)[None]),
        "ONNX, the value alone": call(value.SerializeToString()),
    }


def value_graph(u: Function) -> onnx.GraphProto:
    """Return the graph of the value: a Gemm for each layer."""
    helper, nodes, weights, h = onnx.helper, [], [], "x"
    layers = [[part[0].detach().numpy() for part in layer] for layer in u.networks[0].layers()]
    for i, (w, b) in enumerate(layers):
        last = i == len(layers) - 1
        weights += [onnx.numpy_helper.from_array(part, name) for part, name in ((w, f"w{i}"), (b[0], f"b{i}"))]
        nodes.append(helper.make_node("Gemm", [h, f"w{i}", f"b{i}"], ["u" if last else f"z{i}"]))
        if not last:
            nodes.append(helper.make_node("Tanh", [f"z{i}"], [h := f"h{i}"]))
    ends = [helper.make_tensor_value_info(name, onnx.TensorProto.DOUBLE, [1, n]) for name, n in (("x", 5), ("u", 4))]
    return helper.make_graph(nodes, "value", ends[:1], ends[1:], weights)


def medians(calls: dict[str, Call]) -> dict[str, float]:
    """Return the microseconds that each takes to evaluate a point."""

    def seconds(call: Call, n: int) -> float:
        start = time.perf_counter()
        call(n)
        return (time.perf_counter() - start) / n

    counts = {name: max(1, int(BURST / min(seconds(call, 3) for _ in range(20)))) for name, call in calls.items()}
    rounds = [{name: seconds(call, counts[name]) for name, call in calls.items()} for _ in range(ROUNDS)]
    return {name: 1e6 * statistics.median(one[name] for one in rounds) for name in calls}


def report(title: str, times: dict[str, float]) -> None:
    print(f"\n{title}", flush=True)
    for name, one in sorted(times.items(), key=lambda pair: pair[1]):
        print(f"{one:9.2f} us  {name}")


def main() -> None:
    with TemporaryDirectory() as folder_name:
        folder, u = Path(folder_name), network(5, 64, 64, 4)
        calls = sessions(u, folder) | {f"runge, C {' '.join(flags)}": in_c(u, folder, False, flags) for flags in FLAGS}
        report("Value and Jacobian, 5-64-64-4", medians(calls))
        for p in (4, 1):
            u = network(5, 64, 64, p)
            for flags in FLAGS:
                calls = {"runge, C": in_c(u, folder, True, flags)}
                for way, function in in_casadi(u, folder):
                    try:
                        call, seconds = casadi_in_c(function, folder, flags)
                    except subprocess.TimeoutExpired:
                        print(f"CasADi, {way}: {function.n_instructions()} operations do not compile in {SECONDS} s")
                    else:
                        calls[f"CasADi, {way} ({seconds:.0f} s to compile)"] = call
                report(f"Value, Jacobian and Hessian, 5-64-64-{p}, {' '.join(flags)}", medians(calls))
        print("\n10-64-64-64-2")
        for dtype, flags in itertools.product((torch.float32, torch.float64), FLAGS):
            source = export(network(10, 64, 64, 64, 2, dtype=dtype), "c", folder / "large", hessian=True, force=True)
            seconds = compiled(source, flags, "(void)x; (void)n;")[1]
            print(f"{dtype}: {source.stat().st_size / 1000:.0f} kB, {seconds:.2f} s with {' '.join(flags)}")


if __name__ == "__main__":
    main()
