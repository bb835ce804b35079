"""3D-VAE-GAN, our settings: reconstruction leads, the adversary sharpens.

    voxgan train vae_gan3d shapes.h5 --out runs/mine width=16

The rates come from trials of 300 steps on 32³ grids (`docs/decisions.md`): with Adam's first momentum at 0.5, or the
encoder at 1e-3, the latent means ran away and every photo gave one shape.
"""

MODEL = "vae_gan3d"

OPTIONS = {
    "width": 24,  # what a CPU can train in an evening
    "encoder_width": 32,  # E costs a third of G's arithmetic even so: what a photo says is worth it
    "discriminator_width": 16,  # D costs most for each shape that it sees, and only sharpens here
    "prior": "normal",  # the KL term is against N(0, I)
    "adversarial": "non_saturating",  # G keeps a gradient while D is sure
    "joint": True,  # E and G in one backward pass: half the cost of the paper's two
    "prior_share": 0.25,  # shapes from noise for each photo: enough to train D
    "reconstruction": "bce_dice",  # does not drown thin parts, and an empty grid scores badly
    "reconstruction_weight": 1.0,  # the unit of the other two weights
    "kl_weight": 3e-5,  # against a reconstruction term near 0.4
    "adversarial_weight": 0.01,  # its term is near 1.2, the reconstruction's near 0.4: it sharpens, it does not lead
    "generator_rate": 2e-3,  # from the trials, where 3e-3 gained nothing
    "encoder_rate": 1.5e-4,  # its last layer adds up 16,384 inputs: at 1e-3 its outputs jump
    "discriminator_rate": 1e-4,  # habit, no trial: a twentieth of G's, for shapes from noise are soon told
    "beta1": 0.9,  # from the trials: at 0.5 the KL term ran to thousands
    "gate": 0.8,  # the paper's: D learns only while its last accuracy was at most 80 %
    "batch": 24,  # habit; the notebook's trials with another encoder learnt faster from 12
    "average": 0.998,  # the mean of some 500 steps, a twelfth of the run
    "cosine": True,  # the last steps settle: small rates for what is nearly learnt
    "steps": 6000,  # an evening on a CPU: 144,000 photos; `furniture` has seen 196,000
}
