r"""The shipped generator of aeroplanes and cars: 3D-GAN at width 24, grown from 16³ over 32³ to 64³.

    voxgan prepare modelnet/ planes-cars64.h5 --classes airplane,car --one-piece 0.99
    voxgan train planes_cars planes-cars64.h5 --out runs/quarter \
        resolution=16 steps=3000 truncation=0 cosine=false instance_noise=0.1
    voxgan train planes_cars planes-cars64.h5 --out runs/half start=runs/quarter \
        resolution=32 steps=1800 truncation=1 cosine=false
    voxgan train planes_cars planes-cars64.h5 --out runs/planes-cars start=runs/half

Time, hardware and scores: `voxgan/pretrained/planes-cars/README.md`.
"""

from voxgan.presets import furniture_gan3d

MODEL = "gan3d"

OPTIONS = {
    **furniture_gan3d.OPTIONS,  # the same networks and rates, with the reasons there
    "steps": 2000,  # 32,000 shapes at 64³, 39 passes, after 48,000 at 16³ and 28,800 at 32³
}
