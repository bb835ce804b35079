"""The main job in one go: a photo becomes a mesh, noise becomes meshes, with the shipped models.

python examples/demo.py [--out demo_out]
"""

import argparse
from pathlib import Path

import voxgan
from voxgan.preview import sheet, write_png

PICTURE = Path(__file__).parent / "chair.png"  # rendered by this project


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("demo_out"))
    out = parser.parse_args().out

    shapes = voxgan.load("furniture").reconstruct(PICTURE).cleaned()
    shapes[0].export(out / "chair.obj", size_mm=80)
    shapes[0].export(out / "chair.stl", size_mm=80)
    write_png(out / "chair.png", sheet(shapes.occupancy, size=512))
    mesh = voxgan.read_mesh(out / "chair.stl")

    four = voxgan.load("chairs-gan3d").generate(4, seed=5, whole=0.95).cleaned()
    write_png(out / "generated.png", sheet(four.occupancy, columns=4, size=256))

    print(f"one photo   {PICTURE}")
    print(f"  -> mesh   {out / 'chair.obj'} and {out / 'chair.stl'}, 80 mm, watertight: {mesh.is_watertight}")
    print(f"  -> look   {out / 'chair.png'}")
    print(f"noise       -> four chairs: {out / 'generated.png'}")


if __name__ == "__main__":
    main()
