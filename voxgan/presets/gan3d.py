"""3D-GAN, our settings: the paper's networks with a Wasserstein critic, whose slope a penalty holds.

    voxgan train gan3d shapes.h5 --out runs/mine width=16

``voxgan train gan3d shapes.h5 --dry-run width=16`` says what it would take on this machine. The paper's own settings
are ``gan3d_paper``, its loss and gate at better rates ``gan3d_gated``. Of seven losses on two networks at equal compute
this one made by far the best chairs: ``docs/adversarial.md`` has the table and the command.
"""

MODEL = "gan3d"

OPTIONS = {
    "width": 32,  # a quarter of the paper's weights: what a CPU can train
    "prior": "normal",  # interpolation stays inside the trained region
    "adversarial": "wasserstein_gp",  # G learns from the first step on, and D need not be held back
    "critic_steps": 1,  # WGAN-GP's paper has 5: four fifths of the compute, and G had not moved when others had chairs
    "generator_rate": 1e-3,  # ten times that paper's; at 32³ and width 8 stable, with chairs after 500 steps
    "discriminator_rate": 1e-3,  # the same, so that the critic keeps up in one step
    "batch": 32,  # a third of 3D-GAN's 100: more steps in the same time on a CPU
    "average": 0.995,  # the mean of some 200 steps: samples do not follow G's last swing
    "steps": 10_000,  # 320,000 shapes, nearly twice what chairs-gan3d saw; look at the samples, stop or go on
}
