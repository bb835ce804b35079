"""3D-VAE-GAN exactly as published (Wu et al. 2016, arXiv:1610.07584): for comparison, not for good shapes.

With α1 = 5 and α2 = 1e-4 the reconstruction hardly counts, and E says nothing; ``vae_gan3d`` is the preset that
behaves.

    voxgan train vae_gan3d_paper shapes.h5 --out runs/paper

"The paper's" means a value that is given there.
"""

MODEL = "vae_gan3d"

OPTIONS = {
    "width": 64,  # the paper's 512, 256, 128, 64, 1 channels
    "encoder_width": 64,  # the paper's 64, 128, 256, 512, 400 channels
    "latent": 200,  # the paper's
    "prior": "normal",  # the KL term is against N(0, I)
    "adversarial": "non_saturating",  # log D(x) + log(1 − D(G(z))), G's side without the fading gradient
    "joint": False,  # the paper's order: D, then E, then G
    "reconstruction": "l2",  # the paper's ‖G(E(y)) − x‖₂
    "kl_weight": 5.0,  # the paper's α1
    "reconstruction_weight": 1e-4,  # the paper's α2
    "generator_rate": 0.0025,  # the paper's
    "encoder_rate": 1.5e-4,  # not given in the paper; at 0.0025 the latents leave all bounds in a step
    "discriminator_rate": 1e-5,  # the paper's
    "beta1": 0.5,  # the paper's
    "gate": 0.8,  # the paper's: D learns only while its last accuracy was at most 80 %
    "batch": 100,  # the paper's
    "average": 0.0,  # the paper keeps no moving average
    "augment": False,  # the paper mirrors nothing
    "steps": 20_000,  # not given there: two million photos, our choice
}
