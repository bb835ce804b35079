"""3D-GAN, our settings: the paper's networks and gate with rates that neither side wins.

voxgan train gan3d shapes.h5 --out runs/mine width=16
"""

MODEL = "gan3d"

OPTIONS = {
    "width": 32,  # a quarter of the paper's weights: what a CPU can train
    "prior": "normal",  # interpolation stays inside the trained region
    "adversarial": "non_saturating",
    "generator_rate": 1e-3,  # five times D's: G has more to learn, and the gate holds D back already
    "discriminator_rate": 2e-4,
    "beta1": 0.5,
    "gate": 0.8,
    "batch": 32,
    "average": 0.995,
    "steps": 10_000,
}
