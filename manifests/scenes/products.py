"""The product photos and set references of the example manifests, modelled and rendered in code.

    blender -b -P manifests/scenes/products.py -- OUTPUT_DIR [NAME ...] [--draft]

Makes one picture for each NAME (all of them when none is given) in OUTPUT_DIR:

* products, with alpha and their own soft shadow (PNG): mugs, bowls, bottles and boxes;
* details, square close-ups on a neutral ground;
* references: linen, oak, slate, terrazzo, and the light of a morning window.

`--draft` renders at 40 % of the size with few samples, to judge the composition.

Needs Blender 3.x (made with 3.4) and numpy, which Debian packages apart (`python3-numpy`): there are
no textures and no fonts to fetch, and every seed is fixed. Blender 3.4 as Debian builds it has no
denoiser, hence the short `calm` below. One Blender unit is ten centimetres. Each picture is a function
under `@picture`; the products stand in one `studio`: a softbox overhead, one at the left, a weak fill
at the right and two strips behind for the rim.
"""

# bpy has no types.
# ruff: noqa: ANN401

from __future__ import annotations

import math
import struct
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bmesh
import bpy
import numpy as np
from mathutils import Vector

Point = tuple[float, float]
Knot = tuple[float, float, float]
Mesh = bpy.types.Object
Array = np.ndarray

SEED = 7


@dataclass(frozen=True)
class Picture:
    """One picture: how to build its scene, and how it is rendered and stored."""

    build: Callable[[], None]
    size: tuple[int, int]
    samples: int
    alpha: bool
    suffix: str


PICTURES: dict[str, Picture] = {}


def picture(
    name: str, size: tuple[int, int], samples: int, *, alpha: bool = False, suffix: str = ".png"
) -> Callable[[Callable[[], None]], Callable[[], None]]:
    """Register the decorated scene as the picture `name`."""

    def register(build: Callable[[], None]) -> Callable[[], None]:
        PICTURES[name] = Picture(build, size, samples, alpha, suffix)
        return build

    return register


# --- shapes -----------------------------------------------------------------------------------------


def rounded(knots: Sequence[Knot], steps: int = 8) -> list[Point]:
    """A polyline (x, y, radius) whose corners are rounded by about `radius`."""
    line: list[Point] = []
    for i, (x, y, radius) in enumerate(knots):
        here = Vector((x, y))
        if radius <= 0 or i in (0, len(knots) - 1):
            line.append((x, y))
            continue
        before, after = Vector(knots[i - 1][:2]) - here, Vector(knots[i + 1][:2]) - here
        a = here + before.normalized() * min(radius, before.length * 0.49)
        b = here + after.normalized() * min(radius, after.length * 0.49)
        for step in range(steps + 1):
            t = step / steps
            p = a * (1 - t) ** 2 + here * (2 * t * (1 - t)) + b * t**2
            line.append((p.x, p.y))
    return line


def spline(points: Sequence[Sequence[float]], steps: int = 10) -> list[Vector]:
    """A smooth (Catmull-Rom) curve through `points`."""
    ps = [Vector(p) for p in points]
    ps = [ps[0] * 2 - ps[1], *ps, ps[-1] * 2 - ps[-2]]
    curve: list[Vector] = []
    for a, b, c, d in zip(ps, ps[1:], ps[2:], ps[3:], strict=False):
        for step in range(steps):
            t = step / steps
            curve.append(
                (b * 2 + (c - a) * t + (a * 2 - b * 5 + c * 4 - d) * t**2 + (b * 3 - a - c * 3 + d) * t**3) / 2
            )
    return [*curve, ps[-2]]


def add_mesh(
    name: str,
    verts: Iterable[Sequence[float]],
    faces: Iterable[Sequence[int]],
    material: Any,
    *,
    weld: bool = True,
) -> Mesh:
    """Put a smooth-shaded mesh into the scene."""
    mesh = bpy.data.meshes.new(name)
    mesh.from_pydata([tuple(v) for v in verts], [], [tuple(f) for f in faces])
    if weld:
        bm = bmesh.new()
        bm.from_mesh(mesh)
        bmesh.ops.remove_doubles(bm, verts=bm.verts, dist=1e-5)
        bmesh.ops.recalc_face_normals(bm, faces=bm.faces)
        bm.to_mesh(mesh)
        bm.free()
    mesh.polygons.foreach_set("use_smooth", [True] * len(mesh.polygons))
    mesh.materials.append(material)
    obj = bpy.data.objects.new(name, mesh)
    bpy.context.collection.objects.link(obj)
    return obj


def lathe(name: str, profile: Sequence[Sequence[float]], material: Any, turns: int = 192) -> Mesh:
    """Turn a profile of (radius, height) points about the z axis."""
    n = len(profile)
    verts = [
        (r * math.cos(a), r * math.sin(a), z)
        for a in (2 * math.pi * k / turns for k in range(turns))
        for r, z in profile
    ]
    faces = [
        (k * n + i, k * n + i + 1, (k + 1) % turns * n + i + 1, (k + 1) % turns * n + i)
        for k in range(turns)
        for i in range(n - 1)
    ]
    return add_mesh(name, verts, faces, material)


def sweep(
    name: str,
    path: Sequence[Vector],
    section: Callable[[float], Point],
    material: Any,
    *,
    side: Sequence[float] = (0, 1, 0),
    sides: int = 32,
    square: float = 2.0,
) -> Mesh:
    """A tube along `path`; `section(t)` is its half thickness and half width (the width lies along `side`).

    `square` is the exponent of the superellipse: 2 is an ellipse, more is a rounded bar.
    """
    across = Vector(side).normalized()
    verts: list[Vector] = []
    for i, p in enumerate(path):
        tangent = (path[min(i + 1, len(path) - 1)] - path[max(i - 1, 0)]).normalized()
        up = across.cross(tangent).normalized()
        thick, wide = section(i / (len(path) - 1))
        for k in range(sides):
            a = 2 * math.pi * k / sides
            c, s = math.cos(a), math.sin(a)
            verts.append(
                p
                + up * (thick * math.copysign(abs(c) ** (2 / square), c))
                + across * (wide * math.copysign(abs(s) ** (2 / square), s))
            )
    faces: list[Sequence[int]] = [
        (i * sides + k, i * sides + (k + 1) % sides, (i + 1) * sides + (k + 1) % sides, (i + 1) * sides + k)
        for i in range(len(path) - 1)
        for k in range(sides)
    ]
    faces += [range(sides), range((len(path) - 1) * sides, len(path) * sides)]
    return add_mesh(name, verts, faces, material)


def box(name: str, size: Sequence[float], centre: Sequence[float], material: Any, bevel: float = 0.01) -> Mesh:
    """A box with rounded edges."""
    x, y, z = (s / 2 for s in size)
    verts = [(i * x, j * y, k * z) for i in (-1, 1) for j in (-1, 1) for k in (-1, 1)]
    faces = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    obj = add_mesh(name, verts, faces, material)
    obj.location = centre
    modifier = obj.modifiers.new("bevel", "BEVEL")
    modifier.width, modifier.segments, modifier.harden_normals = bevel, 4, True
    obj.data.use_auto_smooth = True
    return obj


def grid(name: str, x: Array, y: Array, z: Array, material: Any) -> Mesh:
    """A height field from three arrays of one shape."""
    rows, columns = z.shape
    index = np.arange(rows * columns).reshape(rows, columns)
    faces = np.stack([index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]], -1).reshape(-1, 4)
    return add_mesh(name, np.stack([x, y, z], -1).reshape(-1, 3).tolist(), faces.tolist(), material, weld=False)


def text(
    words: str,
    height: float,
    at: Sequence[float],
    material: Any,
    *,
    radius: float = 0.0,
    spacing: float = 1.0,
) -> Mesh:
    """Printed words facing -y, centred on `at`; with a `radius` they go round a cylinder about the z axis."""
    curve = bpy.data.curves.new(words, "FONT")
    curve.body, curve.size, curve.align_x, curve.align_y = words, height, "CENTER", "CENTER"
    curve.space_character = spacing
    curve.resolution_u = 6
    source = bpy.data.objects.new(words, curve)
    bpy.context.collection.objects.link(source)
    mesh = bpy.data.meshes.new_from_object(source.evaluated_get(bpy.context.evaluated_depsgraph_get()))
    bpy.data.objects.remove(source)
    for v in mesh.vertices:
        x, z = v.co.x + at[0], v.co.y + at[2]
        v.co = (radius * math.sin(x / radius), -radius * math.cos(x / radius), z) if radius else (x, at[1], z)
    mesh.materials.clear()
    mesh.materials.append(material)
    obj = bpy.data.objects.new(words, mesh)
    bpy.context.collection.objects.link(obj)
    return obj


def noise(shape: tuple[int, int], cells: tuple[float, float], seed: int) -> Array:
    """Smooth value noise in -1 … 1 on an array of `shape`, with `cells` random cells per (row, column)."""
    rng = np.random.default_rng(seed)
    table = rng.uniform(-1, 1, (int(cells[0]) + 3, int(cells[1]) + 3))
    v = np.linspace(0, cells[0], shape[0])[:, None]
    u = np.linspace(0, cells[1], shape[1])[None, :]
    i, j = v.astype(int), u.astype(int)
    a, b = v - i, u - j
    a, b = a**3 * (a * (a * 6 - 15) + 10), b**3 * (b * (b * 6 - 15) + 10)
    top = table[i, j] * (1 - b) + table[i, j + 1] * b
    low = table[i + 1, j] * (1 - b) + table[i + 1, j + 1] * b
    return top * (1 - a) + low * a


# --- materials --------------------------------------------------------------------------------------


def colour(code: str) -> tuple[float, float, float, float]:
    """A `#rrggbb` colour as linear RGBA."""
    srgb = [int(code[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    r, g, b = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in srgb)
    return r, g, b, 1.0


class Surface:
    """A material under construction: a principled shader and short ways to add nodes to it."""

    def __init__(self, name: str, **inputs: Any) -> None:
        self.material = bpy.data.materials.new(name)
        self.material.use_nodes = True
        self.tree = self.material.node_tree
        self.shader = self.tree.nodes["Principled BSDF"]
        self.set(**inputs)

    def feed(self, socket: Any, value: Any) -> None:
        """Give an input a constant, a `#rrggbb` colour, or another node's output."""
        if isinstance(value, bpy.types.NodeSocket):
            self.tree.links.new(value, socket)
        else:
            socket.default_value = colour(value) if isinstance(value, str) else value

    def set(self, **inputs: Any) -> None:
        """Set inputs of the principled shader (`Base_Color` is "Base Color")."""
        for name, value in inputs.items():
            self.feed(self.shader.inputs[name.replace("_", " ")], value)

    def node(self, kind: str, *inputs: Any, **named: Any) -> Any:
        """Add a node; `inputs` by position, `named` by name, lower-case names are the node's settings."""
        node = self.tree.nodes.new("ShaderNode" + kind)
        for name, value in named.items():
            if name[0].islower():
                setattr(node, name, value)
            else:
                self.feed(node.inputs[name], value)
        for socket, value in zip(node.inputs, inputs, strict=False):
            if value is not None:
                self.feed(socket, value)
        return node

    def at(self, scale: Sequence[float] = (1, 1, 1), turn: float = 0.0) -> Any:
        """The object's own coordinates, scaled and turned about z."""
        place = self.node("TexCoord").outputs["Object"]
        return self.node("Mapping", Vector=place, Scale=scale, Rotation=(0, 0, turn)).outputs[0]

    def noise(self, scale: float, detail: float = 4.0, at: Any = None, rough: float = 0.5, warp: float = 0.0) -> Any:
        """Fractal noise, 0 … 1."""
        return self.node(
            "TexNoise", Vector=at or self.at(), Scale=scale, Detail=detail, Roughness=rough, Distortion=warp
        ).outputs["Fac"]

    def math(self, operation: str, *values: Any) -> Any:
        """Arithmetic on sockets and numbers."""
        return self.node("Math", *values, operation=operation).outputs[0]

    def ramp(self, value: Any, low: float, high: float, to: Point = (0.0, 1.0)) -> Any:
        """Map `low` … `high` smoothly to `to`, clamped."""
        return self.node("MapRange", value, low, high, *to, interpolation_type="SMOOTHSTEP").outputs[0]

    def mix(self, factor: Any, one: Any, two: Any, how: str = "MIX") -> Any:
        """Mix two colours."""
        return self.node("MixRGB", factor, one, two, blend_type=how).outputs[0]

    def bump(self, height: Any, strength: float, distance: float = 0.01, after: Any = None) -> Any:
        """A bumped normal, also given to the shader."""
        named = {"Normal": after} if after is not None else {}
        normal = self.node("Bump", Strength=strength, Distance=distance, Height=height, **named).outputs[0]
        self.set(Normal=normal)
        return normal

    def height(self) -> Any:
        """The object's z coordinate."""
        return self.node("SeparateXYZ", self.at()).outputs[2]


def plain(name: str, code: str, rough: float = 0.5, **inputs: Any) -> Any:
    """One colour."""
    return Surface(name, Base_Color=code, Roughness=rough, **inputs).material


def enamel(name: str, code: str, deep: str) -> Any:
    """Vitreous enamel: glossy, gently wavy, a little deeper here and there."""
    s = Surface(name, Roughness=0.16, Specular=0.5, Clearcoat=0.6, Clearcoat_Roughness=0.03)
    s.set(Base_Color=s.mix(s.ramp(s.noise(3.0, 3), 0.3, 0.7), code, deep))
    s.bump(s.noise(7.0, 1), 0.12, 0.012)
    return s.material


def glaze(
    name: str,
    main: str,
    pool: str,
    edge: str,
    clay: str,
    *,
    foot: float,
    rim: float,
    rough: float = 0.22,
    freckles: float = 0.5,
) -> Any:
    """Stoneware: a varied glaze that breaks to `edge` at the rim and ends above an unglazed foot."""
    s = Surface(name, Clearcoat=0.25, Clearcoat_Roughness=0.08)
    z = s.height()
    cloud = s.noise(3.2, 5, warp=0.6)
    streak = s.noise(5.0, 4, s.at((1, 1, 0.22)))
    body = s.mix(s.ramp(cloud, 0.35, 0.68), main, pool)
    body = s.mix(s.math("MULTIPLY", s.ramp(streak, 0.52, 0.72), 0.35), body, edge)
    breaks = s.ramp(s.math("ADD", z, s.math("MULTIPLY", s.math("SUBTRACT", streak, 0.5), 0.12)), rim - 0.045, rim)
    body = s.mix(s.math("MULTIPLY", breaks, 0.75), body, edge)
    dots = s.node("TexVoronoi", Vector=s.at(), Scale=26.0)
    small = s.ramp(dots.outputs["Distance"], 0.10, 0.2, (1.0, 0.0))
    chosen = s.ramp(s.node("SeparateColor", dots.outputs["Color"]).outputs[0], 0.62, 0.66)
    body = s.mix(s.math("MULTIPLY", s.math("MULTIPLY", small, chosen), freckles), body, "#3a2a1e")
    bare = s.ramp(
        s.math("ADD", z, s.math("MULTIPLY", s.math("SUBTRACT", s.noise(5.0, 3), 0.5), 0.05)),
        foot,
        foot + 0.012,
        (1.0, 0.0),
    )
    upward = s.node("SeparateXYZ", s.node("NewGeometry").outputs["Normal"]).outputs[2]
    bare = s.math("MULTIPLY", bare, s.ramp(upward, 0.5, 0.8, (1.0, 0.0)))
    grit = s.mix(s.ramp(s.noise(60.0, 2), 0.4, 0.65), clay, "#8d7158")
    s.set(Base_Color=s.mix(bare, body, grit))
    s.set(Roughness=s.math("ADD", s.math("MULTIPLY", bare, 0.5), s.ramp(cloud, 0.3, 0.7, (rough, rough + 0.12))))
    s.set(Clearcoat=s.ramp(bare, 0.0, 1.0, (0.25, 0.0)))
    rings = s.math("SINE", s.math("ADD", s.math("MULTIPLY", z, 95.0), s.math("MULTIPLY", s.noise(2.0, 2), 5.0)))
    first = s.bump(rings, 0.10, 0.012)
    s.bump(
        s.math("ADD", s.noise(14.0, 3), s.math("MULTIPLY", s.noise(70.0, 2), s.ramp(bare, 0, 1, (0.04, 0.5)))),
        0.16,
        0.02,
        first,
    )
    return s.material


def glass(name: str, code: str, rough: float = 0.0, ior: float = 1.46) -> Any:
    """Glass or a liquid, whose shadow lets its own colour through."""
    s = Surface(name, Base_Color=code, Roughness=rough, Transmission=1.0, IOR=ior, Specular=0.5)
    clear = s.node("BsdfTransparent", Color=code).outputs[0]
    ray = s.node("LightPath").outputs["Is Shadow Ray"]
    s.feed(
        s.tree.nodes["Material Output"].inputs["Surface"],
        s.node("MixShader", ray, s.shader.outputs[0], clear).outputs[0],
    )
    return s.material


def paper(name: str, code: str, fibre: float = 0.06) -> Any:
    """Uncoated paper."""
    s = Surface(name, Roughness=0.72, Specular=0.25)
    s.set(Base_Color=s.mix(s.ramp(s.noise(90.0, 3), 0.3, 0.7, (0.0, fibre)), code, "#fff4e0"))
    s.bump(s.noise(120.0, 3), 0.12, 0.004)
    return s.material


# --- the studio -------------------------------------------------------------------------------------


def aim(obj: Any, target: Sequence[float]) -> None:
    """Turn a camera or a light towards `target`."""
    obj.rotation_euler = (Vector(target) - obj.location).to_track_quat("-Z", "Y").to_euler()


def area(
    at: Sequence[float],
    size: Point,
    watts: float,
    tint: str = "#ffffff",
    target: Sequence[float] = (0, 0, 0.4),
) -> Any:
    """A softbox."""
    light = bpy.data.lights.new("softbox", "AREA")
    light.shape, light.size, light.size_y = "RECTANGLE", *size
    light.energy, light.color = watts, colour(tint)[:3]
    obj = bpy.data.objects.new("softbox", light)
    obj.location = at
    bpy.context.collection.objects.link(obj)
    aim(obj, target)
    return obj


def studio(*, power: float = 1.0, fill: float = 1.0, ground: str | None = None) -> None:
    """The light of every product photo; a `ground` colour makes a backdrop instead of a bare shadow."""
    area((-0.6, 1.2, 8.0), (6, 6), 700 * power)
    area((-8.0, -4.5, 5.0), (5, 7), 900 * power, "#fffaf2")
    area((8.0, -5.5, 4.0), (5, 6), 240 * power * fill, "#f4f8ff")
    area((6.0, 6.0, 3.2), (1.6, 6), 480 * power)
    area((-6.5, 5.5, 3.2), (1.2, 6), 300 * power)
    world(0.32 * power * fill)
    card((-3.6, -3.4, 0.0), (1.1, 6), 2.6)
    card((3.8, -1.6, 0.0), (0.5, 6), 1.6)
    if ground:
        depth = rounded([(-14, 0, 0), (9, 0, 6), (9, 16, 0)], 40)
        verts = [(x, y, z) for x in (-40.0, 40.0) for y, z in depth]
        n = len(depth)
        faces = [(i, i + 1, n + i + 1, n + i) for i in range(n - 1)]
        add_mesh("seamless", verts, faces, plain("ground", ground, 0.7)).visible_glossy = False
    else:
        add_mesh(
            "shadow",
            [(-30, -30, 0), (30, -30, 0), (30, 30, 0), (-30, 30, 0)],
            [(0, 1, 2, 3)],
            plain("floor", "#d8d6d2", 0.8),
        )


def world(strength: float, code: str = "#eef1f4") -> None:
    """Even light from all around."""
    background = bpy.data.worlds.new("world")
    bpy.context.scene.world = background
    background.use_nodes = True
    node = background.node_tree.nodes["Background"]
    node.inputs["Color"].default_value = colour(code)
    node.inputs["Strength"].default_value = strength


def card(at: Sequence[float], size: Point, strength: float, target: Sequence[float] = (0, 0, 0.8)) -> None:
    """A glowing or black card that only glass and gloss can see, never the camera."""
    s = Surface("card")
    glow = s.node("Emission", Strength=strength).outputs[0]
    s.feed(s.tree.nodes["Material Output"].inputs["Surface"], glow)
    x, y = size[0] / 2, size[1] / 2
    obj = add_mesh("card", [(-x, -y, 0), (x, -y, 0), (x, y, 0), (-x, y, 0)], [(0, 1, 2, 3)], s.material)
    obj.location = at
    aim(obj, target)
    obj.visible_camera = obj.visible_diffuse = obj.visible_shadow = False


def camera(
    at: Sequence[float],
    target: Sequence[float],
    lens: float = 85.0,
    focus: Sequence[float] | None = None,
    stop: float = 8.0,
) -> Any:
    """The camera, with a depth of field when given a `focus`."""
    data = bpy.data.cameras.new("camera")
    data.lens = lens
    obj = bpy.data.objects.new("camera", data)
    obj.location = at
    bpy.context.collection.objects.link(obj)
    aim(obj, target)
    if focus:
        data.dof.use_dof = True
        data.dof.focus_distance = (Vector(focus) - obj.location).dot((Vector(target) - obj.location).normalized())
        data.dof.aperture_fstop = stop / 5  # the scene is ten times its real size
    bpy.context.scene.camera = obj
    return obj


def portrait(height: float = 20.0, margin: float = 0.11) -> None:
    """Look at everything but the studio, `height` degrees from above, with an even margin all round."""
    scene = bpy.context.scene
    obj = camera((0, -10 * math.cos(math.radians(height)), 10 * math.sin(math.radians(height))), (0, 0, 0))
    bpy.context.view_layer.update()
    graph = bpy.context.evaluated_depsgraph_get()
    coords: list[float] = []
    for item in scene.objects:
        if item.type == "MESH" and item.name.split(".")[0] not in {"shadow", "seamless", "card"}:
            shape = item.evaluated_get(graph)
            for v in shape.data.vertices:
                coords.extend(shape.matrix_world @ v.co)
    obj.location, _ = obj.camera_fit_coords(graph, coords)
    obj.data.sensor_width /= 1 - 2 * margin


# --- mugs and bowls ---------------------------------------------------------------------------------


def ear(material: Any, points: Sequence[Point], thick: float, wide: float, square: float = 2.6) -> Mesh:
    """A handle in the plane y = 0 through (x, z) points."""
    path = spline([(x, 0, z) for x, z in points], 14)
    return sweep("handle", path, lambda t: (thick, wide * (1 + 0.25 * (2 * t - 1) ** 2)), material, square=square)


def turn(degrees: float) -> None:
    """Turn everything that stands on the ground about the z axis."""
    bpy.context.view_layer.update()
    pivot = bpy.data.objects.new("pivot", None)
    bpy.context.collection.objects.link(pivot)
    for item in bpy.context.scene.objects:
        if item.type == "MESH" and item.name.split(".")[0] not in {"shadow", "seamless", "card"} and not item.parent:
            item.parent = pivot
    pivot.rotation_euler = (0, 0, math.radians(degrees))


def enamel_mug(body: Any, inside: Any, rim: Any) -> None:
    """A pressed-steel camping mug: straight wall, rolled rim, strap handle."""
    wall, r, h = 0.018, 0.43, 0.80
    outer = rounded([(0, 0.012, 0), (r - 0.06, 0.012, 0.02), (r - 0.035, 0.0, 0.02), (r, 0.06, 0.05), (r, h, 0)])
    lathe("mug", outer, body)
    lathe("inside", [(r - 0.001, h), *rounded([(r - wall, h, 0), (r - wall, 0.05, 0.08), (0, 0.04, 0)])], inside)
    ring = [(r - 0.004 + 0.021 * math.cos(a), h + 0.021 * math.sin(a)) for a in np.linspace(0, 2 * math.pi, 25)]
    lathe("rim", ring, rim)
    ear(
        body,
        [
            (r - 0.01, 0.66),
            (r + 0.10, 0.675),
            (r + 0.235, 0.60),
            (r + 0.245, 0.42),
            (r + 0.15, 0.25),
            (r - 0.005, 0.17),
        ],
        0.022,
        0.062,
        3.2,
    )
    turn(-24)


def blue_mug() -> None:
    """The cobalt mug."""
    steel = Surface("steel", Base_Color="#3a3d42", Metallic=1.0, Roughness=0.28)
    enamel_mug(enamel("cobalt", "#0d2f8a", "#09246e"), enamel("white", "#eeece6", "#e6e4de"), steel.material)


@picture("enamel-blue", (672, 616), 90, alpha=True)
def enamel_blue() -> None:
    """Cobalt enamel mug, dark steel rim."""
    studio()
    blue_mug()
    portrait()


@picture("enamel-white", (672, 616), 260, alpha=True)
def enamel_white() -> None:
    """White enamel mug, blue rim."""
    studio(power=0.95, fill=0.5)
    white = enamel("white", "#eeebe4", "#e6e3db")
    enamel_mug(white, white, enamel("blue", "#143b96", "#0e2f80"))
    portrait()


@picture("stoneware-sand", (672, 616), 90, alpha=True)
def stoneware_sand() -> None:
    """Speckled stoneware mug."""
    studio()
    clay = glaze("sand", "#d9c6a6", "#cdb692", "#b08d62", "#b98d66", foot=0.10, rim=0.80, rough=0.34, freckles=0.85)
    profile = rounded(
        [
            (0, 0.03, 0), (0.27, 0.03, 0.02), (0.285, 0.0, 0.012), (0.34, 0.0, 0.02), (0.43, 0.10, 0.12),
            (0.445, 0.40, 0.3), (0.40, 0.80, 0.02), (0.365, 0.80, 0.02), (0.40, 0.40, 0.3),
            (0.38, 0.12, 0.12), (0, 0.06, 0),
        ]
    )  # fmt: skip
    lathe("mug", profile, clay)
    ear(
        clay,
        [(0.40, 0.65), (0.53, 0.69), (0.68, 0.62), (0.70, 0.42), (0.60, 0.25), (0.41, 0.19)],
        0.038,
        0.066,
        2.2,
    )
    turn(-24)
    portrait()


def bowl(material: Any, outer: Sequence[Point], thick: float, foot: float) -> None:
    """A thrown bowl on a foot ring of radius `foot`; `outer` goes from the foot to the rim."""
    out = spline(outer, 14)
    inside = [Vector((max(p.x - thick, 0.0), p.y + thick * (1 - i / len(out)) ** 2)) for i, p in enumerate(out)]
    lip = out[-1].lerp(inside[-1], 0.5)
    half = (out[-1] - inside[-1]).length / 2
    roll = [
        Vector((lip.x + half * math.cos(a), lip.y + half * math.sin(a))) for a in np.linspace(0.15, math.pi - 0.15, 9)
    ]
    z = out[0].y
    base = rounded(
        [
            (0, z - 0.035, 0),
            (foot - 0.06, z - 0.035, 0.01),
            (foot - 0.045, 0, 0.012),
            (foot, 0, 0.015),
            (foot, z - 0.01, 0.01),
            (out[0].x, z, 0),
        ]
    )
    floor = [p for p in reversed(inside) if p.x > 0.12]
    bottom = floor[-1]
    well = [(bottom.x * t, bottom.y - 0.012 * (1 - t * t)) for t in (0.8, 0.5, 0.25, 0.0)]
    lathe("bowl", [*base, *(tuple(p) for p in [*out[1:], *roll, *floor]), *well], material)


def ochre_bowl() -> None:
    """The wide, shallow bowl."""
    skin = glaze("ochre", "#c8862a", "#a9651a", "#7a4316", "#c3a07c", foot=0.115, rim=0.47, rough=0.20)
    bowl(skin, [(0.33, 0.08), (0.52, 0.13), (0.74, 0.25), (0.86, 0.38), (0.90, 0.47)], 0.045, 0.34)


@picture("bowl-ochre", (672, 496), 90, alpha=True)
def bowl_ochre() -> None:
    """Wide ochre bowl."""
    studio()
    ochre_bowl()
    portrait(24)


@picture("bowl-sage", (672, 536), 90, alpha=True)
def bowl_sage() -> None:
    """Deep sage bowl."""
    studio()
    skin = glaze("sage", "#a6a892", "#8b8e78", "#c4b394", "#c9ab88", foot=0.125, rim=0.62, rough=0.26, freckles=0.6)
    bowl(skin, [(0.28, 0.09), (0.47, 0.15), (0.62, 0.30), (0.675, 0.47), (0.67, 0.62)], 0.042, 0.30)
    portrait(22)


@picture("bowl-ink", (672, 496), 90, alpha=True)
def bowl_ink() -> None:
    """Flared ink-blue bowl."""
    studio()
    skin = glaze("ink", "#16253f", "#0e1728", "#6d5440", "#b8977a", foot=0.125, rim=0.50, rough=0.14, freckles=0.25)
    bowl(skin, [(0.25, 0.09), (0.34, 0.13), (0.52, 0.27), (0.68, 0.39), (0.80, 0.50)], 0.036, 0.26)
    portrait(24)


# --- bottles ----------------------------------------------------------------------------------------


def label(radius: float, low: float, high: float, half_angle: float, material: Any) -> None:
    """A paper label round the front of a cylinder."""
    angles = np.linspace(-half_angle, half_angle, 64)
    verts = [(radius * math.sin(a), -radius * math.cos(a), z) for a in angles for z in (low, high)]
    add_mesh("label", verts, [(2 * i, 2 * i + 2, 2 * i + 3, 2 * i + 1) for i in range(63)], material)


def glow() -> None:
    """Backlight for glass: a bright card behind, black cards at both sides for the dark outline."""
    card((0, 9, 3), (7, 9), 1.6)
    card((-4.2, 3.0, 1.5), (2.2, 7), 0.02)
    card((4.2, 3.0, 1.5), (2.2, 7), 0.02)


@picture("bottle-amber", (512, 704), 110, alpha=True)
def bottle_amber() -> None:
    """Amber pharmacy bottle with a black cap and a paper label."""
    studio()
    glow()
    out = rounded(
        [
            (0, 0.03, 0),
            (0.27, 0.02, 0.03),
            (0.31, 0.0, 0.02),
            (0.355, 0.03, 0.05),
            (0.355, 1.02, 0.20),
            (0.15, 1.24, 0.09),
            (0.15, 1.42, 0),
        ]
    )
    inner = rounded([(0.115, 1.42, 0), (0.115, 1.22, 0.09), (0.318, 1.00, 0.2), (0.318, 0.08, 0.06), (0, 0.07, 0)])
    lathe("bottle", [*out, *inner], glass("amber", "#e7c875"))
    cap = lathe(
        "cap",
        rounded([(0, 1.52, 0), (0.19, 1.52, 0.02), (0.195, 1.30, 0.008), (0.165, 1.30, 0)]),
        plain("cap", "#131314", 0.32),
    )
    for v in cap.data.vertices:
        radius = math.hypot(v.co.x, v.co.y)
        if radius > 0.186 and v.co.z < 1.495:
            grip = 1 + 0.012 * math.cos(48 * math.atan2(v.co.y, v.co.x))
            v.co.x, v.co.y = v.co.x * grip, v.co.y * grip
    label(0.3575, 0.22, 0.80, 1.05, paper("label", "#efe8da"))
    ink = plain("ink", "#26201b", 0.6)
    text("No. 4", 0.17, (0, 0, 0.63), ink, radius=0.3628)
    text("BODY OIL", 0.062, (0, 0, 0.47), ink, radius=0.3594, spacing=1.25)
    label(0.3588, 0.404, 0.408, 0.42, ink)
    text("bergamot & cedar", 0.05, (0, 0, 0.355), ink, radius=0.3594)
    text("200 ml", 0.042, (0, 0, 0.275), ink, radius=0.3594)
    portrait(11, 0.09)


@picture("bottle-clear", (512, 704), 110, alpha=True)
def bottle_clear() -> None:
    """Clear oil bottle with a cork."""
    studio()
    glow()
    out = rounded(
        [
            (0, 0.03, 0),
            (0.25, 0.02, 0.03),
            (0.28, 0.0, 0.02),
            (0.32, 0.03, 0.05),
            (0.32, 0.86, 0.26),
            (0.11, 1.22, 0.16),
            (0.10, 1.52, 0.01),
            (0.128, 1.53, 0.012),
            (0.128, 1.60, 0.015),
            (0.085, 1.60, 0.01),
        ]
    )
    inner = rounded([(0.085, 1.58, 0), (0.08, 1.22, 0.16), (0.288, 0.85, 0.26), (0.288, 0.09, 0.06), (0, 0.08, 0)])
    lathe("bottle", [*out, *inner], glass("clear", "#f4faf6"))
    oil = rounded([(0, 0.078, 0), (0.2895, 0.088, 0.06), (0.2895, 0.80, 0), (0, 0.80, 0)])
    lathe("oil", oil, glass("oil", "#efc258", ior=1.12))
    s = Surface("cork", Roughness=0.85, Specular=0.2)
    grain = s.ramp(s.noise(24.0, 5, s.at((1, 1, 1.6))), 0.42, 0.62)
    s.set(Base_Color=s.mix(grain, "#8a5f38", "#c99a68"))
    s.bump(grain, 0.35, 0.01)
    lathe(
        "cork",
        rounded([(0, 1.40, 0), (0.078, 1.40, 0.01), (0.084, 1.60, 0), (0.096, 1.76, 0.016), (0, 1.76, 0)]),
        s.material,
    )
    portrait(11, 0.09)


@picture("bottle-steel", (512, 704), 96, alpha=True)
def bottle_steel() -> None:
    """Brushed steel insulated bottle."""
    studio(power=0.8)
    card((-2.2, -5.2, 0.5), (2.2, 8), 0.03)
    card((3.2, -3.6, 0.5), (2.6, 8), 0.02)
    card((-4.6, -0.6, 0.5), (1.4, 8), 0.02)
    s = Surface("steel", Base_Color="#c9c8c6", Metallic=1.0, Anisotropic=0.6)
    tangent = s.node("Tangent", direction_type="RADIAL", axis="Z").outputs[0]
    brush = s.noise(1.0, 5, s.at((1.6, 1.6, 240)), 0.7)
    s.set(Tangent=tangent, Roughness=s.ramp(brush, 0.3, 0.7, (0.26, 0.40)))
    s.set(Base_Color=s.mix(s.ramp(brush, 0.3, 0.7), "#aaa9a8", "#b9b8b6"))
    s.bump(brush, 0.05, 0.004)
    lathe(
        "bottle",
        rounded(
            [
                (0, 0.01, 0),
                (0.30, 0.0, 0.02),
                (0.345, 0.02, 0.03),
                (0.345, 1.12, 0.22),
                (0.225, 1.36, 0.10),
                (0.225, 1.43, 0.012),
                (0, 1.43, 0),
            ]
        ),
        s.material,
    )
    black = plain("lid", "#1a1b1d", 0.42)
    lathe("gasket", rounded([(0, 1.425, 0), (0.212, 1.425, 0.0), (0.212, 1.45, 0.0), (0, 1.45, 0)]), black)
    lathe("lid", rounded([(0, 1.445, 0), (0.232, 1.445, 0.012), (0.232, 1.66, 0.03), (0, 1.67, 0)]), black)
    lathe("disc", rounded([(0, 1.672, 0), (0.17, 1.674, 0.006), (0.17, 1.66, 0)]), s.material)
    loop = spline(
        [
            (-0.225, 0, 1.56),
            (-0.275, 0, 1.66),
            (-0.19, 0, 1.83),
            (0, 0, 1.87),
            (0.19, 0, 1.83),
            (0.275, 0, 1.66),
            (0.225, 0, 1.56),
        ],
        14,
    )
    sweep("loop", loop, lambda _: (0.018, 0.06), black, square=3.5)
    turn(28)
    portrait(11, 0.09)


# --- boxes ------------------------------------------------------------------------------------------


@picture("tea-box", (568, 680), 90, alpha=True)
def tea_box() -> None:
    """Paper tea box with a printed band."""
    studio(power=0.85)
    green, cream, ink = (
        paper("green", "#26402f", 0.012),
        paper("cream", "#efe6d2"),
        plain("ink", "#22352b", 0.6),
    )
    w, d = 0.74, 0.50
    box("box", (w, d, 0.86), (0, 0, 0.43), green, 0.012)
    box("lid", (w + 0.014, d + 0.014, 0.22), (0, 0, 0.955 - 0.11 + 0.02), green, 0.012)
    box("band", (w + 0.006, d + 0.006, 0.42), (0, 0, 0.385), cream, 0.012)
    front = -(d + 0.006) / 2 - 0.0008
    text("LEAF TEA", 0.105, (0, front, 0.47), ink, spacing=1.15)
    text("green sencha", 0.062, (0, front, 0.355), ink)
    text("80 g", 0.046, (0, front, 0.24), ink)
    for z in (0.197, 0.573):
        box("line", (w + 0.0075, d + 0.0075, 0.006), (0, 0, z), ink, 0.001)
    brass = plain("gold", "#b08a45", 0.35, Metallic=0.8)
    for lean in (-0.7, 0.0, 0.7):
        path = [
            Vector((math.sin(lean) * t * 0.085, front - 0.004, 0.795 + math.cos(lean) * t * 0.085))
            for t in np.linspace(0, 1, 12)
        ]
        sweep("leaf", path, lambda t: (0.017 * math.sin(math.pi * min(max(t, 0.02), 0.98)), 0.002), brass)
    turn(-27)
    portrait(17)


@picture("gift-box", (616, 616), 90, alpha=True)
def gift_box() -> None:
    """Gift box with a ribbon and a bow."""
    studio(power=0.8)
    skin = paper("blush", "#cba189")
    box("box", (0.92, 0.92, 0.52), (0, 0, 0.26), skin, 0.012)
    box("lid", (0.96, 0.96, 0.20), (0, 0, 0.46), skin, 0.014)
    s = Surface("satin", Base_Color="#7c1f2b", Roughness=0.34, Sheen=0.4, Anisotropic=0.5)
    s.bump(s.math("SINE", s.node("SeparateXYZ", s.at((520, 520, 520))).outputs[2]), 0.05, 0.002)
    satin, wide = s.material, 0.075
    lid, low = 0.486, 0.466
    for across in (0, 1):
        ring = rounded(
            [(0, 0.565, 0), (lid, 0.565, 0.02), (lid, 0.362, 0.004), (low, 0.352, 0.004), (low, 0.004, 0)], 6
        )
        for sign in (-1, 1):
            path = [Vector((0, sign * x, z)) if across else Vector((sign * x, 0, z)) for x, z in ring]
            sweep(
                "ribbon",
                path,
                lambda _: (0.004, wide),
                satin,
                side=(1, 0, 0) if across else (0, 1, 0),
                square=6,
            )
    for sign, lift in ((-1, 1.0), (1, 0.94)):
        loop = [
            (0, 0.585),
            (0.13, 0.69),
            (0.30, 0.80 * lift),
            (0.41, 0.75 * lift),
            (0.40, 0.65),
            (0.25, 0.60),
            (0.10, 0.588),
            (0, 0.585),
        ]
        path = [Vector((sign * x, -0.10 * x, z)) for x, z in (tuple(p) for p in spline(loop, 12))]
        sweep(
            "bow",
            path,
            lambda t: (0.005, 0.030 + 0.055 * math.sin(math.pi * t) ** 0.7),
            satin,
            side=(0.12 * sign, 1, 0),
            square=6,
        )
        tail = spline(
            [
                (0, 0, 0.59),
                (sign * 0.12, -0.12, 0.605),
                (sign * 0.22, -0.27, 0.585),
                (sign * 0.29, -0.40, 0.59),
            ],
            12,
        )
        sweep("tail", tail, lambda t: (0.004, 0.035 + 0.035 * t), satin, side=(1, 0.5 * sign, 0), square=6)
    knot = spline([(0, 0.075, 0.585), (0, 0.07, 0.635), (0, 0, 0.668), (0, -0.07, 0.635), (0, -0.075, 0.585)], 8)
    sweep(
        "knot",
        knot,
        lambda t: (0.014, 0.055 + 0.01 * math.cos(2 * math.pi * t)),
        satin,
        side=(1, 0, 0),
        square=3,
    )
    turn(-30)
    portrait(26)


# --- details ----------------------------------------------------------------------------------------


@picture("enamel-blue-rim", (640, 640), 90)
def enamel_blue_rim() -> None:
    """Rim and handle of the cobalt mug."""
    studio(ground="#d9d7d3")
    blue_mug()
    camera((1.7, -4.2, 2.1), (0.34, -0.22, 0.60), 150, (0.36, -0.34, 0.72), 13)


@picture("bowl-ochre-glaze", (640, 640), 100)
def bowl_ochre_glaze() -> None:
    """The glaze of the ochre bowl."""
    studio(ground="#d9d7d3")
    ochre_bowl()
    camera((1.1, -3.7, 3.0), (0.28, -0.42, 0.32), 135, (0.33, -0.70, 0.44), 9)


# --- references -------------------------------------------------------------------------------------


@picture("linen", (768, 640), 160, suffix=".jpg")
def linen() -> None:
    """Natural linen in soft folds."""
    area((-6.5, 3.0, 4.2), (3, 3), 900, "#fff6e8")
    area((4.0, -2.0, 8.0), (6, 6), 220)
    world(0.25)
    rows, columns = 620, 760
    y, x = np.meshgrid(np.linspace(-2.3, 2.5, rows), np.linspace(-2.9, 2.9, columns), indexing="ij")
    z = 0.05 * noise(y.shape, (4, 5), 3) + 0.012 * noise(y.shape, (11, 14), 4)
    folds = [
        (-1.55, 0.62, 0.30, 0.24),
        (-0.75, 0.70, 0.17, 0.14),
        (-0.1, 0.58, 0.34, 0.28),
        (0.62, 0.66, 0.15, 0.13),
        (1.25, 0.60, 0.30, 0.22),
        (2.0, 0.74, 0.20, 0.2),
    ]
    for i, (shift, angle, high, broad) in enumerate(folds):
        along = x * math.sin(angle) + y * math.cos(angle)
        aside = x * math.cos(angle) - y * math.sin(angle) - shift + 0.16 * noise(y.shape, (3, 3), 20 + i)
        aside = aside * (1 + 0.35 * np.tanh(aside / broad))
        taper = 0.62 + 0.38 * np.sin(along * 0.9 + 1.7 * i)
        z += high * taper / np.cosh(aside / broad) ** 2
    s = Surface("linen", Roughness=0.9, Specular=0.12, Sheen=0.35)
    pitch = 2 * math.pi * 34
    u, v, _ = s.node("SeparateXYZ", s.node("Mapping", Vector=s.at(), Rotation=(0, 0, 0.22)).outputs[0]).outputs[:3]
    wob = s.math("MULTIPLY", s.math("SUBTRACT", s.noise(5.0, 2), 0.5), 0.05)
    u, v = s.math("ADD", u, wob), s.math("ADD", v, wob)
    wave_u, wave_v = (s.math("SINE", s.math("MULTIPLY", c, pitch)) for c in (u, v))
    weave = s.math("MULTIPLY", wave_u, wave_v)
    slub_u = s.noise(1.0, 2, s.node("Mapping", Vector=s.at(turn=0.22), Scale=(46, 1.6, 0)).outputs[0])
    slub_v = s.noise(1.0, 2, s.node("Mapping", Vector=s.at(turn=0.22), Scale=(1.6, 46, 0)).outputs[0])
    tone = s.math("ADD", s.math("MULTIPLY", weave, 0.16), s.math("ADD", slub_u, slub_v))
    s.set(Base_Color=s.mix(s.ramp(tone, 0.62, 1.38), "#a3927a", "#e4d8c3"))
    s.bump(s.math("ADD", weave, s.math("MULTIPLY", s.math("ADD", slub_u, slub_v), 1.6)), 0.55, 0.012)
    grid("linen", x, y, z, s.material)
    camera((0, -3.6, 5.6), (0, -0.05, 0.1), 62)


@picture("oak", (768, 640), 140, suffix=".jpg")
def oak() -> None:
    """Oiled oak boards."""
    area((-5.0, 6.5, 4.5), (5, 4), 900, "#fff8ee")
    area((3.0, -3.0, 8.0), (6, 6), 300)
    world(0.30)
    s = Surface("oak", Specular=0.35)
    seed = s.node("ObjectInfo").outputs["Random"]
    place = s.node(
        "VectorMath",
        s.at(),
        s.node("CombineXYZ", s.math("MULTIPLY", seed, 40.0), s.math("MULTIPLY", seed, 17.0), 0.0).outputs[0],
        operation="ADD",
    ).outputs[0]

    def stretched(*scale: float) -> Any:
        return s.node("Mapping", Vector=place, Scale=scale).outputs[0]

    bend = s.noise(1.0, 3, stretched(0.22, 0.9, 1.0))
    across = s.node("SeparateXYZ", place).outputs[1]
    rings = s.math("FRACT", s.math("MULTIPLY", s.math("ADD", across, s.math("MULTIPLY", bend, 1.1)), 6.5))
    rings = s.math("MULTIPLY", s.ramp(rings, 0.0, 0.85), s.ramp(rings, 0.88, 1.0, (1.0, 0.0)))
    fibre = s.noise(1.0, 6, stretched(2.2, 60, 10), 0.65)
    pores = s.ramp(s.noise(1.0, 2, stretched(4.5, 130, 10)), 0.60, 0.70)
    base = s.mix(s.math("MULTIPLY", rings, 0.75), "#b88d5e", "#8c6136")
    base = s.mix(s.ramp(fibre, 0.3, 0.75, (0.0, 0.55)), base, "#caa67a")
    base = s.mix(s.math("MULTIPLY", pores, 0.55), base, "#4f331a")
    base = s.mix(s.ramp(seed, 0.0, 1.0, (0.0, 0.34)), base, "#7a5330")
    s.set(Base_Color=base, Roughness=s.ramp(fibre, 0.3, 0.7, (0.34, 0.5)))
    s.bump(s.math("SUBTRACT", s.math("MULTIPLY", fibre, 0.4), pores), 0.22, 0.012)
    for i in range(-5, 9):
        box("board", (14, 0.948, 0.4), (0.0, i * 0.95, -0.2), s.material, 0.014)
    camera((0.5, -4.6, 3.9), (0.05, 0.15, 0), 60, (0, -0.2, 0), 11)


@picture("slate", (768, 640), 56, suffix=".jpg")
def slate() -> None:
    """A dark slab of riven slate."""
    area((-4.5, 5.5, 3.0), (4, 3), 900, "#f6f9ff")
    area((4.0, -2.0, 8.0), (5, 5), 260)
    world(0.28)
    rows, columns = 420, 620
    v, u = np.meshgrid(np.linspace(-1, 1, rows), np.linspace(-1, 1, columns), indexing="ij")
    cleft = 0.6 * noise(v.shape, (3, 5), 11) + 0.3 * noise(v.shape, (8, 11), 12) + 0.1 * noise(v.shape, (24, 34), 13)
    steps = 5.0 * cleft
    part = steps - np.floor(steps)
    layers = (np.floor(steps) + np.clip((part - 0.5) / 0.10 + 0.5, 0, 1) * 0.8 + part * 0.2) / 5
    edge = np.maximum(np.abs(u) * 1.0, np.abs(v))
    chip = 0.012 * noise(v.shape, (40, 60), 14) + 0.02 * noise(v.shape, (9, 12), 15)
    z = 0.12 + 0.030 * layers + 0.004 * noise(v.shape, (70, 100), 16)
    z -= np.clip((edge - 0.975 + chip) / 0.025, 0, 6) ** 1.5 * 0.09
    x, y = u * 2.05 + 0.03 * noise(v.shape, (12, 2), 17), v * 1.42 + 0.03 * noise(v.shape, (2, 16), 18)
    s = Surface("slate", Specular=0.45)
    cloud = s.noise(2.2, 6, warp=0.8)
    s.set(
        Base_Color=s.mix(s.ramp(cloud, 0.35, 0.7), "#2b3036", "#41474d"),
        Roughness=s.ramp(s.noise(9.0, 5), 0.3, 0.7, (0.42, 0.62)),
    )
    s.bump(s.math("ADD", s.noise(9.0, 8, rough=0.65), s.math("MULTIPLY", s.noise(60.0, 3), 0.3)), 0.35, 0.03)
    grid("slate", x, y, np.maximum(z, -0.02), s.material)
    verts = [(-30, -30, 0), (30, -30, 0), (30, 30, 0), (-30, 30, 0)]
    add_mesh("ground", verts, [(0, 1, 2, 3)], plain("ground", "#bdbab5", 0.8))
    camera((0.5, -4.9, 4.6), (0.0, -0.04, 0.05), 45)


@picture("terrazzo", (768, 640), 140, suffix=".jpg")
def terrazzo() -> None:
    """Light, polished terrazzo."""
    area((-3.0, 7.0, 4.5), (5, 3), 300, "#fffaf2")
    area((3.0, -3.0, 8.0), (6, 6), 420)
    world(0.3)
    s = Surface("terrazzo", Specular=0.5)
    base = s.mix(s.ramp(s.noise(30.0, 4), 0.35, 0.65), "#e9e4da", "#ddd7cb")
    palette = ["#b9a58c", "#8f8a84", "#c98f6c", "#f7f4ee", "#5f6a66", "#d8b48a", "#a7b0a8", "#77665a"]
    for scale, share, shift in ((15.0, 0.30, 0.0), (8.0, 0.30, 3.7), (4.2, 0.26, 9.1)):
        warp = s.node("TexNoise", Vector=s.at(), Scale=scale * 1.1, Detail=2.0).outputs["Color"]
        place = s.mix(0.10, s.node("Mapping", Vector=s.at(), Location=(shift, shift, 0)).outputs[0], warp, "ADD")
        cell = s.node("TexVoronoi", Vector=place, Scale=scale, Randomness=1.0, voronoi_dimensions="2D")
        seam = s.node(
            "TexVoronoi",
            Vector=place,
            Scale=scale,
            Randomness=1.0,
            voronoi_dimensions="2D",
            feature="DISTANCE_TO_EDGE",
        )
        r, g, b = s.node("SeparateColor", cell.outputs["Color"]).outputs[:3]
        chip = s.math("MULTIPLY", s.ramp(seam.outputs["Distance"], 0.075, 0.09), s.math("LESS_THAN", r, share))
        ramp = s.node("ValToRGB", g)
        ramp.color_ramp.interpolation = "CONSTANT"
        for i, code in enumerate(palette):
            stop = ramp.color_ramp.elements[i] if i < 2 else ramp.color_ramp.elements.new(i / len(palette))
            stop.position, stop.color = i / len(palette), colour(code)
        stone = s.mix(s.ramp(s.noise(18.0, 4), 0.3, 0.7, (0.0, 0.25)), ramp.outputs[0], s.mix(b, "#ffffff", "#4d4640"))
        base = s.mix(chip, base, stone)
    s.set(Base_Color=base, Roughness=s.ramp(s.noise(6.0, 4), 0.3, 0.7, (0.14, 0.22)))
    verts = [(-30, -30, 0), (30, -30, 0), (30, 30, 0), (-30, 30, 0)]
    add_mesh("ground", verts, [(0, 1, 2, 3)], s.material)
    camera((0.3, -4.3, 4.6), (0.0, 0.1, 0), 58)


@picture("morning-window", (768, 640), 56, suffix=".jpg")
def morning_window() -> None:
    """A bare wall in the light of a morning window, with the shadows of its frame and of leaves."""
    world(0.56, "#f3efe9")
    s = Surface("plaster", Roughness=0.92, Specular=0.15)
    s.set(Base_Color=s.mix(s.ramp(s.noise(1.3, 5), 0.3, 0.7), "#e9e2d7", "#dfd7ca"))
    s.bump(s.math("ADD", s.noise(4.0, 6, rough=0.6), s.math("MULTIPLY", s.noise(45.0, 3), 0.12)), 0.30, 0.05)
    add_mesh("wall", [(-30, 0, -30), (30, 0, -30), (30, 0, 30), (-30, 0, 30)], [(0, 1, 2, 3)], s.material)
    black = plain("frame", "#3b3833", 0.8)
    sun = bpy.data.lights.new("sun", "SUN")
    sun.energy, sun.angle, sun.color = 4.4, math.radians(1.5), colour("#ffe0b0")[:3]
    lamp = bpy.data.objects.new("sun", sun)
    bpy.context.collection.objects.link(lamp)
    far = Vector((-4.2, -6.0, 2.3))
    lamp.location = far
    aim(lamp, (0, 0, 0))
    holder = bpy.data.objects.new("window", None)
    bpy.context.collection.objects.link(holder)
    holder.location = far * 0.80
    holder.rotation_euler = (0, 0, math.radians(18))
    wide, high = 2.9, 2.9
    for x in (-wide / 2, 0, wide / 2):
        box("bar", (0.09 if x == 0 else 0.16, 0.06, high), (x, 0, 0), black)
    for z in (-high / 2, -high / 6, high / 6, high / 2):
        box("bar", (wide, 0.06, 0.07 if abs(z) < high / 3 else 0.16), (0, 0, z), black)
    for x, z, w, h in (
        (-6 - wide / 2, 0, 12, 30),
        (6 + wide / 2, 0, 12, 30),
        (0, 8 + high / 2, wide, 16),
        (0, -8 - high / 2, wide, 16),
    ):
        box("wall", (w, 0.06, h), (x, 0, z), black)
    for item in bpy.context.scene.objects:
        if item.name.startswith(("bar", "wall.")):
            item.parent = holder
            item.visible_camera = item.visible_diffuse = False
    rng = np.random.default_rng(SEED)
    for start, lean in (((-0.3, -1.2), 0.55), ((0.1, -1.4), 0.2), ((-0.9, -1.3), 0.15)):
        stem = spline(
            [(start[0] + math.sin(lean * t) * 1.9 * t, 0, start[1] + 1.9 * t) for t in np.linspace(0, 1.15, 6)],
            8,
        )
        parts = [sweep("stem", stem, lambda t: (0.012 * (1.2 - t), 0.012), black, sides=8)]
        for k in range(6, len(stem), 4):
            for sign in (-1, 1):
                angle = sign * rng.uniform(0.7, 1.15) + lean
                size = rng.uniform(0.42, 0.6) * (1.15 - 0.5 * k / len(stem))
                way = Vector((math.sin(angle), 0, math.cos(angle)))
                path = [
                    stem[k] + way * (size * t) + Vector((0, 0, -0.12 * size * t * t)) for t in np.linspace(0, 1, 14)
                ]
                half = size * 0.19
                parts.append(
                    sweep(
                        "leaf",
                        path,
                        lambda t, half=half: (
                            half * math.sin(math.pi * min(max(t, 0.01), 0.99)) ** 0.8,
                            0.002,
                        ),
                        black,
                        sides=12,
                    )
                )
        for part in parts:
            part.parent = holder
            part.location = (0.35, 0.9, -0.1)
            part.visible_camera = part.visible_diffuse = False
    camera((0.1, -9.0, 0.0), (0.1, 0, 0.0), 84)


# --- rendering --------------------------------------------------------------------------------------


def png(path: Path, pixels: Array) -> None:
    """Write 8-bit RGB or RGBA rows, top first, as a small PNG without metadata."""
    rows, columns, channels = pixels.shape
    raw = pixels.reshape(rows, columns * channels).astype(np.int16)
    left = np.pad(raw, ((0, 0), (channels, 0)))[:, :-channels]
    up = np.pad(raw, ((1, 0), (0, 0)))[:-1]
    corner = np.pad(up, ((0, 0), (channels, 0)))[:, :-channels]
    guess = left + up - corner
    a, b, c = abs(guess - left), abs(guess - up), abs(guess - corner)
    paeth = np.where((a <= b) & (a <= c), left, np.where(b <= c, up, corner))
    ways = np.stack([(raw - p).astype(np.uint8) for p in (np.zeros_like(raw), left, up, (left + up) // 2, paeth)])
    cost = abs(ways.astype(np.int8).astype(np.int32)).sum(-1)
    best = cost.argmin(0)
    data = b"".join(bytes([way]) + ways[way, row].tobytes() for row, way in enumerate(best))

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", columns, rows, 8, 6 if channels == 4 else 2, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"sRGB", b"\0")
        + chunk(b"IDAT", zlib.compress(data, 9))
        + chunk(b"IEND", b"")
    )


def load(path: Path) -> Array:
    """The pixels of an 8-bit picture as RGBA rows, top first, 0 … 1, as stored."""
    image = bpy.data.images.load(str(path))
    image.alpha_mode = "CHANNEL_PACKED"
    columns, rows = image.size
    pixels = np.empty(rows * columns * 4, np.float32)
    image.pixels.foreach_get(pixels)
    return pixels.reshape(rows, columns, 4)[::-1].copy()


def blur(values: Array, sigma: float) -> Array:
    """Gaussian blur of a plane."""
    reach = int(sigma * 3) + 1
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    kernel /= kernel.sum()
    for axis in (0, 1):
        wide = np.pad(values, [(reach, reach) if a == axis else (0, 0) for a in (0, 1)], mode="edge")
        values = sum(k * np.take(wide, range(i, i + values.shape[axis]), axis) for i, k in enumerate(kernel))
    return values


def calm(colours: Array, inside: Array, reach: int = 3) -> Array:
    """Non-local means: take the sampling noise, measured `inside`, out of a picture and keep its edges."""
    rows, columns, _ = colours.shape
    rough = colours - sum(np.roll(colours, (i, j), (0, 1)) for i in (-1, 0, 1) for j in (-1, 0, 1)) / 9
    sigma = max(1.48 * float(np.median(abs(rough[inside]))), 1e-3)
    wide = np.pad(colours, ((reach, reach), (reach, reach), (0, 0)), mode="reflect")
    total, weights = np.zeros_like(colours), np.zeros((rows, columns, 1), np.float32)
    for i in range(2 * reach + 1):
        for j in range(2 * reach + 1):
            other = wide[i : i + rows, j : j + columns]
            apart = np.pad(((colours - other) ** 2).mean(-1), 1, mode="edge")
            apart = sum(apart[k : k + rows, m : m + columns] for k in range(3) for m in range(3)) / 9
            weight = np.exp(-np.maximum(apart - 2 * sigma**2, 0) / (1.1 * sigma) ** 2)[..., None].astype(np.float32)
            total += weight * other
            weights += weight
    return total / weights


def soft_shadow(path: Path, size: tuple[int, int]) -> Array:
    """The rendered shadow at full size, smooth, and running out well before the border."""
    raw = load(path)[..., 3]
    close, far = blur(raw, 1.5), blur(raw, 8.0)
    deep = np.clip((far - 0.2) / 0.25, 0, 1)
    small = far + (close - far) * deep
    columns, rows = size
    v = np.clip(np.linspace(-0.5, small.shape[0] - 0.5, rows), 0, small.shape[0] - 1.001)[:, None]
    u = np.clip(np.linspace(-0.5, small.shape[1] - 0.5, columns), 0, small.shape[1] - 1.001)[None, :]
    i, j = v.astype(int), u.astype(int)
    a, b = v - i, u - j
    top = small[i, j] * (1 - b) + small[i, j + 1] * b
    low = small[i + 1, j] * (1 - b) + small[i + 1, j + 1] * b
    shadow = top * (1 - a) + low * a
    x, y = np.arange(columns)[None, :], np.arange(rows)[:, None]
    fade = 1.0
    for near, reach in (
        (np.minimum(x, columns - 1 - x), 0.17 * columns),
        (np.minimum(y, rows - 1 - y), 0.21 * rows),
    ):
        t = np.clip((near - 3) / reach, 0, 1)
        fade = fade * (t * t * (3 - 2 * t))
    return np.clip(shadow - 0.015, 0, 1) * fade * 0.74


def still(path: Path, *, samples: int, scale: int) -> None:
    """Render the scene once to a PNG."""
    scene = bpy.context.scene
    scene.cycles.samples = samples
    scene.render.resolution_percentage = scale
    scene.render.filepath = str(path)
    bpy.ops.render.render(write_still=True)


def cut_out(scratch: Path, samples: int, scale: int) -> Array:
    """The product with clean edges over its own shadow, rendered apart so that it can be smoothed."""
    floor = bpy.data.objects["shadow"]
    floor.visible_camera = floor.visible_glossy = False
    still(scratch / "product.png", samples=samples, scale=scale)
    floor.visible_camera = floor.is_shadow_catcher = True
    for item in bpy.context.scene.objects:
        if item is not floor:
            item.visible_camera = False
    still(scratch / "shadow.png", samples=min(samples, 48), scale=scale // 2)
    pixels = load(scratch / "product.png")
    alpha = pixels[..., 3:]
    solid = calm(pixels[..., :3] * alpha, alpha[..., 0] > 0.99)
    shadow = soft_shadow(scratch / "shadow.png", (pixels.shape[1], pixels.shape[0]))[..., None]
    whole = alpha + (1 - alpha) * shadow
    return np.dstack([np.clip(solid / np.maximum(whole, 1e-4), 0, 1) * (whole > 1 / 255), whole])


def render(name: str, folder: Path, *, draft: bool) -> Path:
    """Build, render and store one picture."""
    spec = PICTURES[name]
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    scene.render.engine = "CYCLES"
    scene.render.threads_mode, scene.render.threads = "FIXED", 2
    scene.render.resolution_x, scene.render.resolution_y = spec.size
    scene.render.film_transparent = spec.alpha
    scene.render.use_stamp, scene.render.dither_intensity = False, 0
    scene.view_settings.view_transform = "Filmic"
    scene.view_settings.look = "Medium High Contrast"
    scene.view_settings.exposure = 0.55
    cycles = scene.cycles
    cycles.seed = SEED
    cycles.use_adaptive_sampling, cycles.adaptive_threshold = True, 0.015
    cycles.use_denoising = False
    cycles.max_bounces, cycles.diffuse_bounces, cycles.glossy_bounces = 20, 3, 4
    cycles.transmission_bounces, cycles.transparent_max_bounces = 20, 8
    cycles.caustics_reflective = cycles.caustics_refractive = False
    cycles.blur_glossy, cycles.sample_clamp_indirect = 0.5, 3.0
    spec.build()
    samples, scale = (24, 40) if draft else (spec.samples, 100)
    target = folder / (name + spec.suffix)
    settings = scene.render.image_settings
    settings.color_depth = "8"
    if spec.suffix == ".jpg":
        settings.file_format, settings.color_mode, settings.quality = "JPEG", "RGB", 90
        still(target, samples=samples, scale=scale)
        return target
    settings.file_format, settings.color_mode, settings.compression = "PNG", "RGBA", 15
    with tempfile.TemporaryDirectory() as scratch:
        if spec.alpha:
            pixels = cut_out(Path(scratch), samples, scale)
        else:
            still(Path(scratch) / "raw.png", samples=samples, scale=scale)
            pixels = load(Path(scratch) / "raw.png")[..., :3]
            pixels = calm(pixels, np.ones(pixels.shape[:2], bool))
    png(target, np.round(pixels * 255).astype(np.uint8))
    return target


def main(arguments: Sequence[str]) -> int:
    """Render the named pictures, or all of them."""
    draft = "--draft" in arguments
    words = [a for a in arguments if a != "--draft"]
    unknown = [w for w in words[1:] if w not in PICTURES]
    if not words or unknown:
        sys.stderr.write(f"usage: … -- OUTPUT_DIR [NAME ...] [--draft]; names: {', '.join(PICTURES)}\n")
        return 2
    folder = Path(words[0])
    folder.mkdir(parents=True, exist_ok=True)
    for name in words[1:] or PICTURES:
        path = render(name, folder, draft=draft)
        sys.stdout.write(f"made {path.name}: {path.stat().st_size} bytes\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[sys.argv.index("--") + 1 :] if "--" in sys.argv else []))
