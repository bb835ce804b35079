"""Walk from one chair in the direction that changes it most, and draw it: a picture and a film, without a display."""

import torch

import voxgan
from voxgan.directions import principal_directions
from voxgan.preview import write_gif, write_png

model = voxgan.load("chairs-gan3d")
z = model.sample_latents(1, seed=4)
away = torch.linspace(-4, 4, 7)[:, None] * principal_directions(model, count=1)
shapes = model.decode(z + away).cleaned()

write_png("example_look.png", shapes.render(size=(1400, 240), columns=7))
write_gif("example_look.gif", [shape.render(size=(320, 320)) for shape in shapes], back_and_forth=True)
# In a notebook shapes.show() turns with the mouse, and voxgan.view(model) walks on a page.
