"""Make a small data set of parametric furniture with rendered views (your own meshes: give their folder instead)."""

import voxgan

report = voxgan.prepare(
    "furniture", "example.h5", resolution=16, views=2, count=4, test_share=0.25, classes=["chair"], overwrite=True
)
print(report)

with voxgan.Dataset("example.h5", "train") as data:
    print(data.summary(), data.occupancy([0]).shape, data.views([0], [1]).shape)
