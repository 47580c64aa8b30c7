"""Inputs, labels and predictions of a finished run of a dense problem, as one picture; run by hand.

    python docs/benchmarks/scenes/picture.py runs/scenes docs/benchmarks/scenes/predictions.png

Rows are test images, a row for each task; columns the image, what is right, and what the one model says at the
preference for each task alone and at equal preferences. The problem's targets must be `segmentation` and any of
`depth` and `normal`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor
from torch.utils.data import DataLoader

from moframework import Run, TensorData
from moframework.engine.evaluate import calibration_data


def shown(kind: str, values: Tensor, depths: tuple[float, float]) -> Tensor:
    """A target or an output of one image as colors (h, w, 3): unknown pixels are black."""
    if kind == "normal":
        length = values.norm(dim=0, keepdim=True).clamp_min(1e-6)
        return ((values / length + 1) / 2 * (values != 0).any(dim=0)).movedim(0, -1)
    if kind == "depth":
        low, high = depths
        colors = torch.from_numpy(colormaps["viridis"](((values[0] - low) / (high - low)).clamp(0, 1).numpy()))
        return colors[..., :3] * (values[0] != 0).unsqueeze(-1)
    classes = values.argmax(dim=0) if values.dim() == 3 else values
    return torch.tensor(colormaps["tab10"].colors)[classes.clamp_min(0)] * (classes >= 0).unsqueeze(-1)


def picture(run: Run, images: int) -> Figure:
    """The picture; images are taken from the beginning of the test split."""
    problem = run.spec.problem
    data, model = problem.data("test"), run.model()
    if not isinstance(data, TensorData):
        raise SystemExit("the test split must fit in memory: raise problem.memory")
    data = data.take(torch.arange(images))
    tasks = [task.name for task in problem.tasks]
    points = {f"λ {name} = 1": torch.eye(len(tasks))[t] for t, name in enumerate(tasks)}
    points["equal λ"] = torch.full((len(tasks),), 1 / len(tasks))
    preferences = torch.stack(list(points.values()))
    model.eval()
    with torch.no_grad():
        statistics: list[dict[str, Tensor]] = [{} for _ in points]
        calibration = calibration_data(run.spec.evaluate, problem.data("train"))
        if calibration is not None:  # as the fronts of the run were evaluated
            statistics = model.batch_statistics(preferences, DataLoader(calibration, 50))
        outputs = {
            label: model.call({**model.weights(point), **own}, data.inputs)
            for (label, point), own in zip(points.items(), statistics, strict=True)
        }
    known = data.targets["depth"][data.targets["depth"] > 0] if "depth" in data.targets else torch.ones(1)
    depths = (float(known.min()), float(known.max()))
    height, width = data.inputs.shape[-2:]
    rows, columns = images * len(tasks), 2 + len(points)
    figure = Figure(figsize=(1.6 * columns, 1.6 * height / width * rows + 0.4), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(rows, columns, squeeze=False)
    for row, line in enumerate(panels):
        image, name = row // len(tasks), tasks[row % len(tasks)]
        pictures = {"image": data.inputs[image].movedim(0, -1), "true": shown(name, data.targets[name][image], depths)}
        pictures |= {label: shown(name, outputs[label][name][image], depths) for label in points}
        for axes, (title, colors) in zip(line, pictures.items(), strict=True):
            axes.imshow(colors.numpy(), interpolation="nearest")
            axes.set_xticks([])
            axes.set_yticks([])
            axes.spines[:].set_visible(False)
            if row == 0:
                axes.set_title(title, fontsize=9)
        line[0].set_ylabel(name, fontsize=9)
    return figure


def main() -> None:
    """Read the run, write the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of a finished run")
    parser.add_argument("picture", type=Path, help="the PNG file to write")
    parser.add_argument("--images", type=int, default=2, help="number of test images")
    arguments = parser.parse_args()
    picture(Run(arguments.run), arguments.images).savefig(arguments.picture, dpi=130)


if __name__ == "__main__":
    main()
