import numpy as np
import pytest
import torch

from runge import metrics
from runge.sobolev import losses
from runge.sobolev.points import Points


def test_errors_by_hand():
    draw = torch.Generator().manual_seed(0)
    x, df, du = (torch.randn(2, 6, 3, generator=draw, dtype=torch.float64) for _ in range(3))
    f, u = (torch.randn(2, 6, generator=draw, dtype=torch.float64) for _ in range(2))
    weight_f, weight_df = torch.full((2, 6), 1 / 6), torch.full((2, 6), 1 / 6)
    weight_f[:, 0] = weight_df[:, 5] = 0
    masks = torch.ones(2, 3, 6, dtype=torch.float64)
    masks[:, 1, 3:] = 0
    masks[:, 2] = 0
    points = Points(x, f, df, weight_f, weight_df, masks, ("low", "empty"))
    actual = losses.errors(u, du, points)
    assert actual.shape == (len(metrics.QUANTITIES), 3, 2)
    for member in range(2):
        for region, (value, derivative) in enumerate([(slice(1, 6), slice(0, 5)), (slice(1, 3), slice(0, 3))]):
            e = (u - f)[member, value].numpy()
            d = np.linalg.norm((du - df)[member, derivative].numpy(), axis=-1)
            expected = {
                "mse_f": np.mean(e**2),
                "mse_df": np.mean(d**2),
                "max_f": np.abs(e).max(),
                "max_df": d.max(),
                "rel_l2_f": np.linalg.norm(e) / np.linalg.norm(f[member, value].numpy()),
                "rel_l2_df": np.linalg.norm(d) / np.linalg.norm(df[member, derivative].numpy()),
            }
            named = dict(zip(metrics.QUANTITIES, actual[:, region, member].tolist(), strict=True))
            assert {quantity: named[quantity] for quantity in expected} == pytest.approx(expected, rel=1e-12)
    assert actual[:, 2].isnan().all()


def test_a_nan_affects_its_own_member_only():
    points = Points(
        *(torch.ones(2, 4, 1), torch.ones(2, 4), torch.ones(2, 4, 1)), *[torch.ones(2, 4)] * 2, torch.ones(2, 1, 4), ()
    )
    u = torch.zeros(2, 4)
    u[0, 1] = torch.nan
    actual = losses.errors(u, torch.zeros(2, 4, 1), points)
    assert actual[0, 0, 0].isnan()
    assert actual[:, :, 1].isfinite().all()


def test_keys_follow_the_grammar():
    keys = metrics.keys("val", ["left"])
    assert keys[:4] == ["val/mse_f", "val/mse_f/left", "val/mse_df", "val/mse_df/left"]
    assert len(keys) == 2 * len(metrics.QUANTITIES)
