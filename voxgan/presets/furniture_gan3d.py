r"""The shipped generator of furniture, by class: 3D-GAN at width 24, of parametric furniture voxelised at 64³.

    voxgan prepare furniture parametric64.h5 --count 1000 --one-piece 0.99 --classes bed,bookshelf,chair,desk,sofa,table
    voxgan train furniture_gan3d parametric64.h5 --out runs/quarter \
        resolution=16 steps=2500 truncation=0 cosine=false
    voxgan train furniture_gan3d parametric64.h5 --out runs/half start=runs/quarter \
        resolution=32 steps=6500 truncation=1 cosine=false
    voxgan train furniture_gan3d parametric64.h5 --out runs/furniture-gan3d start=runs/half

Time, hardware and scores: `voxgan/pretrained/furniture-gan3d/README.md`.
"""

from voxgan.presets import gan3d

MODEL = "gan3d"

OPTIONS = {
    **gan3d.OPTIONS,  # a Wasserstein critic with a penalty, with the reasons there
    "width": 24,  # a seventh of the arithmetic of the paper's 64
    "discriminator_width": 16,  # D takes most of a step: the cheaper one of the two to narrow
    "condition": "projection",  # shapes of the class that is asked for
    "truncation": 2.0,  # D sees distances to the surface, as wide at 64³ as one cell at 32³: surfaces come out smooth
    "generator_rate": 7e-4,  # a little less than `gan3d`: batches are half as large
    "discriminator_rate": 7e-4,  # the same
    "batch": 16,  # more steps rather than larger ones
    "average": 0.998,  # the mean of some 500 steps takes specks off
    "cosine": True,  # at 64³ the rates fall; the first stages leave them
    "precision": "auto",  # bf16, as it was trained, is twice as fast; processors without it take fp32
    "steps": 2000,  # 32,000 shapes at 64³, 6 passes, after 40,000 at 16³ and 104,000 at 32³
}
