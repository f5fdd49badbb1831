"""A small PyTorch module learns to paint the bundled plane.

    python -m prb.scenes.texture_network [-o FOLDER] [--iterations 150] [--spp 8] [--seed 0]

The module maps a place on the plane to a colour. Its 64 x 64 colours are the plane's texels, the plane is
rendered from three sides, and the difference to pictures of the true plane is differentiated back through the
renderer to the module's weights. FOLDER receives `texture.png`, the learned texels, and `comparison.png`. The
mean squared error of the texels, before and after, is printed. It needs PyTorch and matplotlib.
"""

import argparse
import math
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import nn

import prb
from prb.io.images import to_srgb, write_image

TEXELS = "painting.reflectance.data"
REFERENCE = 256  # samples per pixel of the pictures to match
RATE = 5e-3


class Fourier(nn.Module):
    """Sines and cosines of places at random frequencies, without which the network would learn blurs only
    (Tancik et al., "Fourier Features Let Networks Learn High Frequency Functions in Low Dimensional Domains",
    NeurIPS 2020). scale: standard deviation of the frequencies, in cycles across the plane."""

    def __init__(self, features, scale):
        super().__init__()
        self.register_buffer("frequencies", 2 * math.pi * scale * torch.randn(2, features))

    def forward(self, place):
        phase = place @ self.frequencies
        return torch.cat([phase.sin(), phase.cos()], dim=-1)


def make_network(features=128, width=128, scale=8.0):
    """A module: place in the unit square (..., 2) -> colour in [0, 1] (..., 3)."""
    return nn.Sequential(
        Fourier(features, scale),
        nn.Linear(2 * features, width), nn.ReLU(),
        nn.Linear(width, width), nn.ReLU(),
        nn.Linear(width, 3), nn.Sigmoid(),
    )  # fmt: skip


def train(iterations, spp, seed):
    """Learn the plane's texels. Returns (initial, result, true), each (64, 64, 3), and the loss of each
    iteration."""
    scene = prb.load_file("painted-plane")
    true = prb.traverse(scene)[TEXELS]
    views = range(len(scene.model.sensors))
    targets = [prb.render(scene, sensor=k, spp=REFERENCE, seed=10**6 + k) for k in views]
    targets = [torch.from_numpy(target) for target in targets]
    torch.manual_seed(seed)
    network = make_network()
    height, width, _ = true.shape
    v, u = (torch.arange(height) + 0.5) / height, (torch.arange(width) + 0.5) / width
    places = torch.stack(torch.meshgrid(u, v, indexing="xy"), dim=-1)
    initial = network(places).detach().numpy()
    opt = torch.optim.Adam(network.parameters(), lr=RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(opt, iterations)
    losses = []
    for step in range(iterations):
        opt.zero_grad()
        texels, loss = network(places), 0.0
        for k, target in zip(views, targets, strict=True):
            number = seed + len(targets) * step + k
            picture = prb.torch.render(scene, {TEXELS: texels}, sensor=k, spp=spp, seed=number)
            loss = loss + (picture - target).square().mean() / len(targets)
        loss.backward()
        opt.step()
        schedule.step()
        losses.append(loss.item())
        if step % 10 == 9:
            print(f"iteration {step + 1:4}: loss {losses[-1]:.3g}", flush=True)
    return (initial, network(places).detach().numpy(), true), losses


def draw(textures, losses):
    """The texels at first, as learned and as they are, and the loss."""
    figure = Figure(figsize=(12.4, 3.3), layout="constrained")
    *panels, curve = figure.subplots(1, 4)
    for axes, texels, title in zip(panels, textures, ("initial", "result", "target"), strict=True):
        axes.imshow(to_srgb(texels), interpolation="nearest")
        axes.set_title(title, fontsize=11)
        axes.set_xticks([])
        axes.set_yticks([])
    curve.semilogy(losses, linewidth=1.2)
    curve.set_title("loss", fontsize=11)
    curve.set_xlabel("iteration")
    curve.grid(alpha=0.3)
    return figure


def main(arguments=None):
    """Returns the mean squared errors of the texels, at first and at the end."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, default=Path("texture-network"), help="folder")
    parser.add_argument("--iterations", type=int, default=150)
    parser.add_argument("--spp", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(arguments)
    args.output.mkdir(parents=True, exist_ok=True)
    textures, losses = train(args.iterations, args.spp, args.seed)
    write_image(args.output / "texture.png", textures[1])
    draw(textures, losses).savefig(args.output / "comparison.png", dpi=72)
    initial, result, true = textures
    errors = [float(np.square(texels - true).mean(dtype=float)) for texels in (initial, result)]
    print("squared error of the texels: {:.3g}, at first {:.3g}".format(*errors[::-1]))
    return errors


if __name__ == "__main__":
    main()
