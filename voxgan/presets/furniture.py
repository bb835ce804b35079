r"""The shipped photo → shape model: 3D-VAE-GAN of six classes at width 24, trained on one CPU core.

    voxgan prepare modelnet/ furniture furniture64.h5 --views 8 --count 250 --test-share 0 \
        --classes bed,bookshelf,chair,desk,sofa,table
    voxgan train furniture furniture64.h5 --out runs/furniture

where modelnet/ holds the volumes of bed, bookshelf, chair, desk, sofa and table. Time, hardware and scores:
`voxgan/pretrained/furniture/README.md`.
"""

from voxgan.presets import vae_gan3d

MODEL = "vae_gan3d"

OPTIONS = {
    **vae_gan3d.OPTIONS,  # our settings of 3D-VAE-GAN, with their reasons
    "precision": "auto",  # bf16, as it was trained, is twice as fast; processors without it take fp32
    "steps": 3500,  # 18 passes over 4,748 shapes
}
