"""3D-GAN exactly as published (Wu et al. 2016, arXiv:1610.07584): for comparison, not for good shapes.

The generator's rate of 0.0025 against the discriminator's 1e-5 lets the generator win outright on small data;
``gan3d`` is the preset that behaves.

    voxgan train gan3d_paper shapes.h5 --out runs/paper

"The paper's" means a value that is given there.
"""

MODEL = "gan3d"

OPTIONS = {
    "width": 64,  # the paper's 512, 256, 128, 64, 1 channels
    "latent": 200,  # the paper's
    "prior": "uniform",  # the paper's: z i.i.d. uniform on [0, 1]
    "adversarial": "non_saturating",  # log D(x) + log(1 − D(G(z))), G's side without the fading gradient
    "generator_rate": 0.0025,  # the paper's
    "discriminator_rate": 1e-5,  # the paper's
    "beta1": 0.5,  # the paper's
    "gate": 0.8,  # the paper's: D learns only while its last accuracy was at most 80 %
    "batch": 100,  # the paper's
    "average": 0.0,  # the paper keeps no moving average
    "augment": False,  # the paper mirrors nothing
    "steps": 20_000,  # not given there: two million shapes, our choice
}
