"""One photo -> a mesh to print, one for Blender, and a picture."""

from pathlib import Path

import voxgan
from voxgan.preview import write_png

shapes = voxgan.load("furniture").reconstruct(Path(__file__).parent / "chair.png").cleaned()
shapes[0].export("example_chair.stl", size_mm=80)
shapes[0].export("example_chair.glb", size_mm=80, smooth=5, max_faces=5000)
write_png("example_chair.png", shapes.render())
print(shapes[0].to_mesh())
