"""3D-GAN with the paper's loss and gate, and rates that neither side wins; `gan3d` learns faster.

    voxgan train gan3d_gated shapes.h5 --out runs/mine width=16

The paper's own settings are ``gan3d_paper``; where a value is the paper's, it says so (Wu et al. 2016,
arXiv:1610.07584). At equal compute, ``gan3d`` made better chairs: ``docs/adversarial.md``.
"""

MODEL = "gan3d"

OPTIONS = {
    "width": 32,  # a quarter of the paper's weights: what a CPU can train
    "prior": "normal",  # interpolation stays inside the trained region
    "adversarial": "non_saturating",  # G keeps a gradient while D is sure, as it is at first
    "generator_rate": 1e-3,  # five times D's: G has more to learn, and the gate holds D back already
    "discriminator_rate": 2e-4,  # the habit of image GANs; with the paper's 1e-5 G wins outright
    "beta1": 0.5,  # the paper's, and the habit of GANs: the other side moves, so old gradients mislead
    "gate": 0.8,  # the paper's: D rests after a batch of which it told more than 80 % right
    "batch": 32,  # a third of the paper's 100: more steps in the same time on a CPU
    "average": 0.995,  # the mean of some 200 steps: samples do not follow G's last swing
    "steps": 10_000,  # 320,000 shapes, nearly twice what chairs-gan3d saw; look at the samples, stop or go on
}
