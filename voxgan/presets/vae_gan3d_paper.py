"""3D-VAE-GAN exactly as published (Wu et al. 2016, arXiv:1610.07584): for comparison, not for good shapes.

With α1 = 5 and α2 = 1e-4 the reconstruction hardly counts, and E says nothing; ``vae_gan3d`` is the preset that
behaves.

    voxgan train vae_gan3d_paper shapes.h5 --out runs/paper
"""

MODEL = "vae_gan3d"

OPTIONS = {
    "width": 64,
    "encoder_width": 64,  # 64, 128, 256, 512, 400 channels
    "latent": 200,
    "prior": "normal",  # the KL term is against N(0, I)
    "adversarial": "non_saturating",
    "joint": False,  # D, then E, then G
    "reconstruction": "l2",  # ‖G(E(y)) − x‖₂
    "kl_weight": 5.0,  # α1
    "reconstruction_weight": 1e-4,  # α2
    "generator_rate": 0.0025,
    "encoder_rate": 1.5e-4,  # not given in the paper; at 0.0025 the latents leave all bounds in a step
    "discriminator_rate": 1e-5,
    "beta1": 0.5,
    "gate": 0.8,
    "batch": 100,
    "average": 0.0,
    "augment": False,
    "steps": 20_000,
}
