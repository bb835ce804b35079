"""The shipped generator of chairs: 3D-GAN at width 24, trained on one CPU core.

    voxgan prepare modelnet/ furniture chairs-train64.h5 --classes chair --count 300 --test-share 0
    voxgan train chairs_gan3d chairs-train64.h5 --out runs/chairs
    voxgan resume runs/chairs steps=5400 cosine=true average=0.998

The first stage has constant rates; the second lets them fall and averages longer, which takes specks off the samples.
Time, hardware and scores: `voxgan/pretrained/chairs-gan3d/README.md`.
"""

MODEL = "gan3d"

OPTIONS = {
    "width": 24,  # a seventh of the arithmetic of the paper's 64, and still chairs
    "discriminator_width": 16,  # D takes eight passes a step, G three: the cheaper one of the two to narrow
    "prior": "normal",  # interpolation stays inside the trained region
    "adversarial": "non_saturating",  # G keeps a gradient while D is sure
    "instance_noise": 0.1,  # real cells are 0 or 1, generated ones nearly: noise hides what would give them away
    "generator_rate": 1e-3,  # as in `gan3d_gated`
    "discriminator_rate": 3e-4,  # half as much again as in `gan3d_gated`: D is narrower, noise makes it harder
    "beta1": 0.5,  # the paper's, and the habit of GANs: the other side moves, so old gradients mislead
    "gate": 0.8,  # the paper's; open in 39 % of the steps
    "batch": 16,  # more steps rather than larger ones
    "precision": "auto",  # bf16, as it was trained, is twice as fast; processors without it take fp32
    "average": 0.99,  # the mean of some 100 steps while G still moves fast; the second stage takes 500
    "steps": 2860,  # 38 passes, 44 minutes on one thread: where the rates began to fall
}
