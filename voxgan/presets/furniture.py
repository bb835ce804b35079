r"""The shipped photo → shape model: 3D-VAE-GAN of six classes at width 24, trained on one CPU core.

    voxgan prepare modelnet/ furniture furniture-train64.h5 --views 4 --count 900 --test-share 0 \
        --classes bed,bookshelf,chair,desk,sofa,table
    voxgan train furniture furniture-train64.h5 --out runs/half resolution=32 steps=13300
    voxgan train furniture furniture-train64.h5 --out runs/first start=runs/half
    voxgan train furniture furniture-train64.h5 --out runs/furniture start=runs/first \
        steps=4500 encoder_rate=1e-4 generator_rate=7e-4 precision=bf16

where modelnet/ holds the volumes of bed, bookshelf, chair, desk, sofa and table; the stages see 160,000, 36,000 and
54,000 photos. Time, hardware, scores, and in which pieces it was trained: `voxgan/pretrained/furniture/README.md`.
"""

from voxgan.presets import vae_gan3d_cpu

MODEL = "vae_gan3d"

OPTIONS = {
    **vae_gan3d_cpu.OPTIONS,  # the settings that the notebook's trials led to, with their reasons
    "width": 24,  # half as wide again: there is the time
    "steps": 3000,  # at 64³; most is learnt at 32³, where a step takes half as long
}
