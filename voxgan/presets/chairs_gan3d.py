r"""The shipped generator of chairs: 3D-GAN at width 24, grown from 16³ over 32³ to 64³.

    voxgan prepare modelnet/ chairs-train64.h5 --classes chair --one-piece 0.99
    voxgan train chairs_gan3d chairs-train64.h5 --out runs/quarter \
        resolution=16 steps=3000 truncation=0 cosine=false
    voxgan train chairs_gan3d chairs-train64.h5 --out runs/half start=runs/quarter \
        resolution=32 steps=6000 truncation=1 cosine=false
    voxgan train chairs_gan3d chairs-train64.h5 --out runs/chairs start=runs/half

Time, hardware and scores: `voxgan/pretrained/chairs-gan3d/README.md`.
"""

from voxgan.presets import furniture_gan3d

MODEL = "gan3d"

OPTIONS = {
    **furniture_gan3d.OPTIONS,  # the same networks and rates, with the reasons there
    "condition": "none",  # there is one class
    "truncation": 1.25,  # of cells at 64³: a leg of two cells stands out more than with 2
    "steps": 2000,  # 32,000 shapes at 64³, 36 passes, after 48,000 at 16³ and 96,000 at 32³
}
