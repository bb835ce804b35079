"""Walk between two chairs, and calculate with three."""

import voxgan
from voxgan.preview import picture, write_gif

model = voxgan.load("chairs-gan3d")
z = model.sample_latents(3, seed=0)
walk = model.decode(voxgan.interpolate(z[0], z[1], steps=8, kind="spherical"))
write_gif("example_walk.gif", [picture(grid) for grid in walk.occupancy], back_and_forth=True)

odd = model.decode(voxgan.arithmetic("A - B + C", dict(zip("ABC", z, strict=True)))).cleaned()
odd[0].export("example_odd.obj", size_mm=80)
