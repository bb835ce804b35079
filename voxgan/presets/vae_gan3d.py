"""3D-VAE-GAN, our settings: reconstruction leads, the adversary sharpens.

    voxgan train vae_gan3d shapes.h5 --out runs/mine width=16

The rates come from trials of 300 steps on 32³ grids (`docs/decisions.md`): with Adam's first momentum at 0.5, or the
encoder at 1e-3, the latent means ran away and every photo gave one shape.
"""

MODEL = "vae_gan3d"

OPTIONS = {
    "width": 24,  # what a CPU can train in an evening
    "encoder_width": 32,
    "discriminator_width": 16,
    "prior": "normal",
    "adversarial": "non_saturating",
    "joint": True,  # E and G in one backward pass: half the cost of the paper's two
    "prior_share": 0.25,  # shapes from noise for each photo: enough to train D
    "reconstruction": "bce_dice",
    "reconstruction_weight": 1.0,
    "kl_weight": 3e-5,  # against a reconstruction term near 0.4
    "adversarial_weight": 0.01,
    "generator_rate": 2e-3,
    "encoder_rate": 1.5e-4,  # its last layer adds up 16,384 inputs: at 1e-3 its outputs jump
    "discriminator_rate": 1e-4,
    "beta1": 0.9,
    "gate": 0.8,
    "batch": 24,
    "average": 0.998,
    "cosine": True,
    "steps": 6000,
}
