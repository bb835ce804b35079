r"""The shipped generator of furniture, by class: 3D-GAN at width 16, of parametric furniture voxelised at 64³.

    voxgan prepare furniture parametric64.h5 --count 1000 --one-piece 0.99 \
        --classes bed,bookshelf,chair,desk,sofa,table
    voxgan train furniture_gan3d parametric64.h5 --out runs/half resolution=32 cosine=false steps=6000
    voxgan train furniture_gan3d parametric64.h5 --out runs/furniture-gan3d start=runs/half

Time, hardware and scores: `voxgan/pretrained/furniture-gan3d/README.md`.
"""

from voxgan.presets import gan3d

MODEL = "gan3d"

OPTIONS = {
    **gan3d.OPTIONS,  # a Wasserstein critic with a penalty, with the reasons there
    "width": 16,  # a sixteenth of the paper's weights
    "condition": "projection",  # shapes of the class that is asked for
    "generator_rate": 7e-4,  # a little less than `gan3d`: batches are half as large
    "discriminator_rate": 7e-4,  # the same
    "batch": 16,  # more steps rather than larger ones
    "average": 0.998,  # the mean of some 500 steps takes specks off
    "cosine": True,  # at 64³ the rates fall; the first stage leaves them
    "steps": 2300,  # 36,800 shapes at 64³, 7 passes, after 96,000 at 32³
}
