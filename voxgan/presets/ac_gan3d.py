"""AC-GAN in volumetric form: shapes of a class that is asked for (Odena et al. 2017, arXiv:1610.09585).

    voxgan train ac_gan3d shapes.h5 --out runs/classes classes=chair,sofa,table width=16
    voxgan generate --model runs/classes --class sofa -n 4 -o sofas/

Where a value is that paper's, it says so. ``gan3d`` with ``condition=projection`` is the other way to the same. On four
kinds of primitives both make what they are asked for: ``docs/adversarial.md``.
"""

MODEL = "ac_gan3d"

OPTIONS = {
    "width": 32,  # as `gan3d`: what a CPU can train
    "prior": "normal",  # interpolation stays inside the trained region
    "adversarial": "wasserstein_gp",  # as `gan3d` (the paper's L_S is the classical loss)
    "critic_steps": 1,  # as `gan3d`
    "generator_rate": 1e-3,  # as `gan3d` (the paper's 2e-4 is for images)
    "discriminator_rate": 1e-3,  # as `gan3d`
    "class_weight": 1.0,  # the paper's
    "batch": 32,  # as `gan3d`
    "average": 0.995,  # as `gan3d`
    "steps": 10_000,  # as `gan3d`
}
