"""Train a tiny 3D-VAE-GAN for a few steps, stop, go on, and load what came out (after 1_prepare.py)."""

import voxgan

small = {"width": 4, "encoder_width": 4, "discriminator_width": 4, "batch": 4, "save_every": 10, "sample_every": 10}
voxgan.train("vae_gan3d", "example.h5", out="example_run", steps=10, **small)
model = voxgan.resume("example_run", steps=20)

same = voxgan.load("example_run")
print(same.generate(2, seed=0), bool((same.generate(2, seed=0).occupancy == model.generate(2, seed=0).occupancy).all()))
