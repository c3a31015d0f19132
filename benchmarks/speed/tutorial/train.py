"""The project that one would otherwise write, from the tutorials of Lightning and Hydra: a peer to measure against.

    python benchmarks/speed/tutorial/train.py -m seed=0,1 model.lambda_d=0.01,0.1

A LightningModule with automatic optimisation, u' by autograd, `log_dict` in every step, a `DataLoader` with the full
batch, TensorBoard, the default progress bar, a checkpoint of the best validation loss, and a test at the end.
"""

from pathlib import Path
from typing import Any

import hydra
import lightning.pytorch as pl
import torch
from hydra.core.hydra_config import HydraConfig
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger
from omegaconf import DictConfig
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset


class RungeData(pl.LightningDataModule):
    """Runge's function and its derivative on random points, and on a grid for the test."""

    def __init__(self, n_train: int, n_val: int, n_test: int) -> None:
        super().__init__()
        points = torch.rand(n_train, 1) * 2 - 1, torch.rand(n_val, 1) * 2 - 1, torch.linspace(-1, 1, n_test)[:, None]
        self.sets = [TensorDataset(x, 1 / (1 + 25 * x**2), -50 * x / (1 + 25 * x**2) ** 2) for x in points]

    def _loader(self, index: int) -> DataLoader:
        return DataLoader(self.sets[index], batch_size=len(self.sets[index]))

    def train_dataloader(self) -> DataLoader:
        """The training points, in one batch."""
        return self._loader(0)

    def val_dataloader(self) -> DataLoader:
        """The validation points, in one batch."""
        return self._loader(1)

    def test_dataloader(self) -> DataLoader:
        """The test grid, in one batch."""
        return self._loader(2)


class SobolevNetwork(pl.LightningModule):
    """An MLP that fits values and derivatives."""

    def __init__(self, width: int, depth: int, activation: str, lambda_d: float, lr: float, max_steps: int) -> None:
        super().__init__()
        self.save_hyperparameters()
        layers: list[nn.Module] = []
        for i in range(depth):
            layers += [nn.Linear(width if i else 1, width), getattr(nn, activation)()]
        self.network = nn.Sequential(*layers, nn.Linear(width, 1))
        self.lambda_d, self.lr, self.max_steps = lambda_d, lr, max_steps

    def _loss(self, batch: list[Tensor], split: str) -> Tensor:
        x, f, df = batch
        with torch.enable_grad():
            x = x.requires_grad_()
            u = self.network(x)
            (du,) = torch.autograd.grad(u.sum(), x, create_graph=True)
        mse_f, mse_df = nn.functional.mse_loss(u, f), nn.functional.mse_loss(du, df)
        loss = mse_f + self.lambda_d * mse_df
        figures = {f"{split}/loss": loss, f"{split}/mse_f": mse_f, f"{split}/mse_df": mse_df}
        self.log_dict(figures, prog_bar=split != "test")
        return loss

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        """The training loss."""
        return self._loss(batch, "train")

    def validation_step(self, batch: list[Tensor], batch_idx: int) -> None:
        """The validation loss."""
        self._loss(batch, "val")

    def test_step(self, batch: list[Tensor], batch_idx: int) -> None:
        """The test loss."""
        self._loss(batch, "test")

    def configure_optimizers(self) -> Any:
        """Adam with a cosine schedule."""
        optimizer = torch.optim.Adam(self.parameters(), self.lr)
        scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, self.max_steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


@hydra.main(version_base="1.3", config_path=".", config_name="config")
def main(configuration: DictConfig) -> float:
    """Train one run."""
    pl.seed_everything(configuration.seed)
    directory = Path(HydraConfig.get().runtime.output_dir)
    model = SobolevNetwork(**configuration.model, max_steps=configuration.trainer.max_steps)
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=-1,
        max_steps=configuration.trainer.max_steps,
        check_val_every_n_epoch=100,
        log_every_n_steps=50,
        inference_mode=False,
        logger=TensorBoardLogger(directory, name="", version=""),
        callbacks=[ModelCheckpoint(directory, monitor="val/loss")],
    )
    data = RungeData(**configuration.data)
    trainer.fit(model, data)
    trainer.test(model, data, ckpt_path="best")
    return float(trainer.callback_metrics["test/loss"])


if __name__ == "__main__":
    main()
