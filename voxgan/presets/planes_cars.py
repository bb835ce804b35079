r"""The shipped generator of aeroplanes and cars: 3D-GAN at width 16, grown from 16³ over 32³ to 64³.

    voxgan prepare modelnet/ planes-cars64.h5 --classes airplane,car --one-piece 0.99
    cells="truncation=0 cosine=false"
    voxgan train planes_cars planes-cars64.h5 --out runs/quarter resolution=16 $cells steps=4000
    voxgan train planes_cars planes-cars64.h5 --out runs/half resolution=32 $cells steps=1500 start=runs/quarter
    voxgan train planes_cars planes-cars64.h5 --out runs/planes-cars start=runs/half

Time, hardware and scores: `voxgan/pretrained/planes-cars/README.md`.
"""

from voxgan.presets import furniture_gan3d

MODEL = "gan3d"

OPTIONS = {
    **furniture_gan3d.OPTIONS,  # the same networks and rates, with the reasons there
    "truncation": 2.0,  # the last stage sees distances to the surface, which smooths wings and roofs
    "steps": 1600,  # 25,600 shapes at 64³, 31 passes, after 64,000 at 16³ and 24,000 at 32³
}
