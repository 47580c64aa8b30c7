"""Options of training and evaluation, as a spec states them."""

from __future__ import annotations

from typing import Literal

from moframework.config import config, option
from moframework.config.options import OptionError
from moframework.optim import LRSchedule, Optimizer, ParameterGroup, check_row, default_optimizer
from moframework.optim.averaging import Averaging

__all__ = ["AccelerationName", "Distributed", "EarlyStopping", "Evaluation", "Training"]

AccelerationName = Literal[
    "compile",
    "activation_checkpoint",
    "single_pass",
    "adapter_layers",
    "shared_concat",
    "cuda_graph",
]
"""What `training.acceleration` can name: the keys of `engine.acceleration.ACCELERATIONS`."""


@config
class EarlyStopping:
    """Stop when the validation hypervolume has not grown for a while."""

    patience: int = option(5, ge=1, help="validations without improvement before training stops")
    min_delta: float = option(0.0, ge=0, help="growth of the hypervolume that counts as improvement")


@config
class Distributed:
    """How several processes, as torchrun starts them, share a training; without effect in one.

    Losses and gradients are those of one process: `batch_size` is the whole batch.
    """

    preferences: Literal["shared", "spread"] = option(
        "shared",
        help="shared: each process runs all preferences of a step on its share of the batch; spread: its share of the "
        "preferences on the whole batch",
    )
    batchnorm: Literal["local", "synchronized"] = option(
        "local",
        help="statistics that BatchNorm layers normalize by in training: of each process's samples, or of the whole "
        "batch",
    )
    optimizer: Literal["replicated", "sharded"] = option(
        "replicated",
        help="state of the optimizer: replicated: whole in each process; sharded: each process keeps, and steps, its "
        "slice of every parameter, which saves memory and costs one more message a step",
    )
    parameters: Literal["replicated", "sharded"] = option(
        "replicated",
        help="sharded: parameters, gradients and optimizer state lie in shards (FSDP2), and θ(λ) is made layer by "
        "layer when it is needed: for networks that do not fit, with low_rank and convex_hull; every preference of a "
        "step gathers each layer twice",
    )


@config
class Training:
    """How the weights are trained: budget, batches, optimizer, precision, device."""

    epochs: int | None = option(
        None, ge=1, help="passes over the training data; give epochs or steps (default: 10 epochs)"
    )
    steps: int | None = option(None, ge=1, help="optimizer steps, in place of epochs")
    batch_size: int = option(
        256, ge=1, help="samples a step; with `batch: split` they are divided among the preferences"
    )
    accumulate: int = option(
        1,
        ge=1,
        le=100_000,
        help="parts that each batch goes through the network in, one after the other, for the memory of one part; "
        "gradients are those of the whole batch for every loss and objective, but BatchNorm normalizes by a part; "
        "costs one more forward pass (one a task where an objective needs gradients of tasks)",
    )
    drop_last: bool = option(True, help="leave out the last batch of an epoch when it is not full")
    optimizer: Optimizer = option(
        factory=default_optimizer, help="an optimizer by name, of torch or pytorch-optimizer, with its own options"
    )
    parameter_groups: tuple[ParameterGroup, ...] = option(
        (), help="parameters by pattern of their names, with a learning rate or weight decay of their own"
    )
    scheduler: LRSchedule | tuple[LRSchedule, ...] | None = option(
        None, help="a torch learning-rate scheduler by name, with its own options; or several that follow each other"
    )
    clip_gradient_norm: float | None = option(None, gt=0, help="largest Euclidean norm of the whole gradient")
    averaging: Averaging | None = option(
        None, help="keep an average of the weights instead of the last ones, for example {start: 0.5}; none: the last"
    )
    precision: Literal["fp32", "bf16", "fp16"] = option(
        "fp32", help="arithmetic of the forward pass; weights stay fp32"
    )
    channels_last: bool | Literal["auto"] = option(
        "auto", help="memory order of images and kernels; auto: channels last where the network convolves images"
    )
    compile: bool | Literal["max-autotune"] = option(
        False,
        help="let torch.compile run a step from θ(λ) to the losses, max-autotune: with kernels chosen by measurement; "
        "for long trainings on accelerators: the first step then takes up to minutes, and on CPUs it seldom pays",
    )
    cuda_graph: bool | Literal["auto"] = option(
        "auto",
        help="record a step on a CUDA device once and replay it, which saves small networks most of a step's time; "
        "auto: where all of a step runs on the device, in one process, and nothing is made again",
    )
    recompute: bool | Literal["weights"] = option(
        False,
        help="true: activation checkpointing: hold no graph of a preference but make it again when going backward; one "
        "more forward pass a preference for the memory of one graph, where the objective joins the preferences of a "
        "step (`weights` is gone)",
    )
    acceleration: Literal["auto", "none"] | tuple[AccelerationName, ...] = option(
        "auto",
        help="what makes a step faster, or smaller, and may change rounding: auto: all that applies; none: the plain "
        "path, to compare with; or the names of those to use, each of which must apply. Fronts are evaluated in one "
        "pass with auto alone",
    )
    device: str = option("auto", help="auto (cuda, then mps, then cpu), cpu, cuda, cuda:N or mps")
    workers: int = option(0, ge=0, le=256, help="processes that load data, for data that does not fit in memory")
    resident: bool | Literal["auto"] = option(
        "auto",
        help="data on the device as tensors; auto: data in memory that takes at most half of what is free there; true: "
        "all data, read into memory once where it is loaded piece by piece (not for random augmentation)",
    )
    distributed: Distributed = option(
        factory=Distributed, help="how several processes share the work, where torchrun starts them"
    )
    log_every: int = option(50, ge=1, help="steps between two readings of the losses")
    checkpoint_every: int | None = option(None, ge=1, help="steps between two checkpoints; none: at each epoch's end")
    on_nonfinite: Literal["stop", "skip"] = option(
        "stop",
        help="when losses or gradients of a step are not finite: stop: end with an error that says where and, where it "
        "can be known, why; skip: let the step change nothing, and count it (`skipped_steps`)",
    )
    early_stopping: EarlyStopping | None = option(
        None, help="stop on the validation hypervolume; none: use the whole budget"
    )

    def __attrs_post_init__(self) -> None:
        if self.epochs is not None and self.steps is not None:
            raise OptionError("give epochs or steps, not both", "steps")
        if self.scheduler is not None:
            check_row(self.schedulers)
        if self.optimizer_averages:
            self._check_own_average()
        for key in ("recompute", "compile"):
            if self.accumulate > 1 and getattr(self, key):
                raise OptionError(
                    f"{key} does not go with accumulate, which makes activations again in a way of its own: leave one "
                    "of them out",
                    key,
                )
        if self.recompute == "weights":
            raise OptionError(
                "weights is gone: large adapters are applied without being merged by themselves, which takes less "
                "memory and no more time; use false (or true, for activation checkpointing)",
                "recompute",
            )

    @property
    def schedulers(self) -> tuple[LRSchedule, ...]:
        """Those that follow each other; empty where the learning rate stays as it is."""
        if self.scheduler is None:
            return ()
        return self.scheduler if isinstance(self.scheduler, tuple) else (self.scheduler,)

    @property
    def optimizer_averages(self) -> bool:
        """Whether an optimizer keeps an average of the weights by itself, which is evaluated in their place."""
        return any(
            one is not None and one.averages for one in (self.optimizer, *(g.optimizer for g in self.parameter_groups))
        )

    def _check_own_average(self) -> None:
        """Refuse what does not go with an optimizer that averages by itself."""
        if self.averaging is not None:
            raise OptionError(
                "averaging does not go with an optimizer that averages weights by itself, as Schedule-Free ones do: "
                "leave it out",
                "averaging",
            )
        for position, schedule in enumerate(self.schedulers):
            if getattr(schedule, "cycle_momentum", False):
                at = f"scheduler.{position}" if isinstance(self.scheduler, tuple) else "scheduler"
                raise OptionError(
                    "cycle_momentum does not go with an optimizer that averages weights by itself: it finds the "
                    "average by its momentum, which must stay as it is; use false",
                    f"{at}.cycle_momentum",
                )

    def budget(self, steps_per_epoch: int) -> int:
        """Total optimizer steps for data of that many steps an epoch."""
        if self.steps is not None:
            return self.steps
        return (10 if self.epochs is None else self.epochs) * steps_per_epoch


@config
class Evaluation:
    """How fronts are evaluated, in validation and at the end."""

    points: int | None = option(
        None,
        ge=1,
        le=10_000,
        help="size of the evaluation set of preferences; none: 11 for m = 2, 66 for m = 3 and beyond",
    )
    every: int = option(1, ge=0, help="epochs between two validations; 0: only at the end")
    batch_size: int = option(1000, ge=1, help="samples a batch")
    reference: tuple[float, ...] | None = option(
        None,
        help="reference point of the loss hypervolume, a number a task; none: the problem's, else the untrained losses",
    )
    checkpoint: Literal["last", "best"] = option(
        "last", help="weights of the final fronts: after the last step, or those with the best validation hypervolume"
    )
    batchnorm: Literal["auto", "shared", "recalibrate"] = option(
        "auto",
        help="statistics of BatchNorm layers: shared: those that training left; recalibrate: taken anew for each "
        "preference from training samples; auto: shared, or recalibrate where a solver trains nothing",
    )
    calibration_samples: int = option(
        10_000, ge=2, help="training samples, evenly spread over the split, that statistics are taken anew from"
    )
