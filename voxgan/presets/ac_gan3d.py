"""AC-GAN in volumetric form: shapes of a class that is asked for (Odena et al. 2017, arXiv:1610.09585).

    voxgan train ac_gan3d shapes.h5 --out runs/classes classes=chair,sofa,table width=16
    voxgan generate --model runs/classes --class sofa -n 4 -o sofas/

Where a value is that paper's, it says so. ``gan3d`` with ``condition=projection`` is the other way to the same.
"""

MODEL = "ac_gan3d"

OPTIONS = {
    "width": 32,  # as `gan3d`: what a CPU can train
    "prior": "normal",  # interpolation stays inside the trained region
    "adversarial": "non_saturating",  # the paper's: L_S is the classical loss
    "generator_rate": 1e-3,  # as `gan3d`, five times D's (the paper's 2e-4 for both is for images)
    "discriminator_rate": 2e-4,  # the paper's
    "beta1": 0.5,  # the paper's
    "gate": 0.8,  # 3D-GAN's: D, and what it knows of classes, rests after a batch of which it told more than 80 % right
    "class_weight": 1.0,  # the paper's
    "batch": 32,  # as `gan3d`
    "average": 0.995,  # as `gan3d`
    "steps": 10_000,  # as `gan3d`
}
